using System.Diagnostics;
using System.Globalization;
using System.Text;
using Moq;
using Pengx.Testing;
using static Pengx.Storage.Tests.TestImages;

namespace Pengx.Storage.Tests;

public sealed class ImageCopierTests : IDisposable
{
    private readonly TemporaryStorlink _directory = new();
    private readonly ImageCopier _copier = new(new ProcessRunner()) { MayShare = false };

    public ImageCopierTests() => Requires.Tool("qemu-img", "qemu");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("raw", DiskFormat.Raw, CopyMethod.Extents)]
    [InlineData("raw", DiskFormat.Qcow2, CopyMethod.Convert)]
    [InlineData("qcow2", DiskFormat.Raw, CopyMethod.Convert)]
    [InlineData("qcow2", DiskFormat.Qcow2, CopyMethod.Extents)]
    [InlineData("chain", DiskFormat.Raw, CopyMethod.Convert)]
    [InlineData("chain", DiskFormat.Qcow2, CopyMethod.Convert)]
    public async Task A_copy_is_the_same_to_the_guest_and_stands_alone(string kind, DiskFormat format, CopyMethod method)
    {
        var raw = await CreateRawAsync(_directory.PathOf("source.raw"));
        var source = kind switch
        {
            "raw" => raw,
            "qcow2" => await ConvertAsync(raw, _directory.PathOf("source.qcow2")),
            _ => await OverlayAsync(await ConvertAsync(raw, _directory.PathOf("base.qcow2")), _directory.PathOf("top.qcow2")),
        };
        var before = _directory.Names();
        DiskLayer target = new(new FileLocation(_directory.PathOf("copy")), format);
        Recorder progress = new();
        var result = await _copier.CopyAsync(new() { Source = source, Target = target }, progress, Token);

        Assert.Equal(method, result.Plan.Method);
        var command = $"{(format == DiskFormat.Raw ? "-O raw" : "-O qcow2")} -t unsafe {PathOf(source)} {_directory.PathOf(".copy.part")}";
        Assert.Equal(method == CopyMethod.Convert, result.Plan.Steps[1].StartsWith("qemu-img convert -p -m ", StringComparison.Ordinal) && result.Plan.Steps[1].EndsWith(command, StringComparison.Ordinal));
        await AssertSameAsync(source, target);
        Assert.Equal([.. before.Append("copy").Order()], _directory.Names().Order());
        Assert.Equal(new(result.Plan.Size.Bytes, result.Plan.Size.Bytes), progress.Reports[^1]);
        Assert.Equal(progress.Reports.OrderBy(report => report.Done), progress.Reports);
        Assert.Single(ImageChain.Read(target).Layers);
        if (method == CopyMethod.Extents)
        {
            Assert.Equal(await File.ReadAllBytesAsync(PathOf(source), Token), await File.ReadAllBytesAsync(PathOf(target), Token));
        }
    }

    [Fact]
    public async Task Holes_stay_holes_and_stored_zeros_become_some()
    {
        var source = Raw(_directory.PathOf("source.raw"));
        await using (var file = File.Create(PathOf(source)))
        {
            await file.WriteAsync(new byte[16 * 1024 * 1024], Token);
            file.Position = (1L << 30) + 5000;
            await file.WriteAsync(new byte[] { 1 }, Token);
            file.SetLength(2L << 30);
            file.Flush(flushToDisk: true);
        }

        Assert.InRange(Allocated(PathOf(source)), 16 * 1024 * 1024, 17 * 1024 * 1024);
        var target = Raw(_directory.PathOf("copy.raw"));
        await _copier.CopyAsync(new() { Source = source, Target = target }, null, Token);

        Assert.InRange(Allocated(PathOf(target)), 512, 128 * 1024);
        await AssertSameAsync(source, target);
    }

    [Fact]
    public void The_kernel_copies_within_a_file_system_and_says_when_it_does_not()
    {
        const int size = 1024 * 1024;
        var bytes = new byte[size];
        Random.Shared.NextBytes(bytes);
        using TemporaryStorlink elsewhere = new("/dev/shm");
        var (near, far) = (_directory.PathOf("a"), elsewhere.PathOf("a"));
        File.WriteAllBytes(near, bytes);
        using var source = Posix.OpenRead(near);
        using (var target = Posix.CreateNew(_directory.PathOf("b")))
        {
            Assert.Equal(size / 2, Posix.CopyRange(source, near, target, "b", size / 4, size / 2));

            // Where the source ends, no more is copied.
            Assert.Equal(size / 8, Posix.CopyRange(source, near, target, "b", size / 8 * 7, size / 2));
            Assert.Equal(0, Posix.CopyRange(source, near, target, "b", size, size));
        }

        Array.Clear(bytes, 0, size / 4);
        Array.Clear(bytes, size / 4 * 3, size / 8);
        Assert.Equal(bytes, File.ReadAllBytes(_directory.PathOf("b")));

        using (var target = Posix.CreateNew(far))
        {
            Assert.Null(Posix.CopyRange(source, near, target, far, 0, size));
        }

        Assert.Equal(0, new FileInfo(far).Length);
    }

    [Fact]
    public async Task A_qcow2_image_is_copied_byte_by_byte_to_another_file_system_too()
    {
        using TemporaryStorlink elsewhere = new("/dev/shm");
        var source = await ConvertAsync(await CreateRawAsync(_directory.PathOf("source.raw")), _directory.PathOf("source.qcow2"));
        DiskLayer target = new(new FileLocation(elsewhere.PathOf("copy.qcow2")), DiskFormat.Qcow2);
        Assert.Equal(CopyMethod.Extents, (await _copier.CopyAsync(new() { Source = source, Target = target }, null, Token)).Plan.Method);
        Assert.Equal(await File.ReadAllBytesAsync(PathOf(source), Token), await File.ReadAllBytesAsync(PathOf(target), Token));
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task A_copy_may_be_larger_and_not_smaller(DiskFormat format)
    {
        var source = await CreateRawAsync(_directory.PathOf("source.raw"), 8 * 1024 * 1024);
        DiskLayer target = new(new FileLocation(_directory.PathOf("copy")), format);
        await _copier.CopyAsync(new() { Source = source, Target = target, Size = DataSize.FromMiB(20) }, null, Token);

        Assert.Equal(DataSize.FromMiB(20), ImageChain.Read(target).Size);
        await AssertSameAsync(source, target);
        var failure = await Assert.ThrowsAsync<StorageException>(() => _copier.PlanAsync(
            new() { Source = source, Target = target with { Location = new FileLocation(_directory.PathOf("small")) }, Size = DataSize.FromMiB(4) }, Token));
        Assert.Contains("4 MiB cannot hold", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_there_is_not_written_over()
    {
        var source = await CreateRawAsync(_directory.PathOf("source.raw"));
        var target = Raw(_directory.PathOf("copy.raw"));
        await File.WriteAllTextAsync(PathOf(target), "mine", Token);
        var failure = await Assert.ThrowsAsync<StorageException>(() => _copier.CopyAsync(new() { Source = source, Target = target }, null, Token));

        Assert.Contains("is there already", failure.Message, StringComparison.Ordinal);
        Assert.Equal("mine", await File.ReadAllTextAsync(PathOf(target), Token));
        Assert.Equal(2, _directory.Names().Length);
    }

    [Theory]
    [InlineData("relative", "/t/x", "absolute path")]
    [InlineData("/t/../x", "/t/x", "absolute path")]
    [InlineData("/t/x", "/t/./y", "absolute path")]
    [InlineData("/t/x", "/t/x", "onto itself")]
    public async Task A_request_that_makes_no_sense_is_refused(string source, string target, string words)
    {
        var failure = await Assert.ThrowsAsync<ArgumentException>(() => _copier.PlanAsync(new() { Source = Raw(source), Target = Raw(target) }, Token));
        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DiskFormat.Raw, DiskFormat.Raw)]
    [InlineData(DiskFormat.Raw, DiskFormat.Qcow2)]
    [InlineData(DiskFormat.Qcow2, DiskFormat.Qcow2)]
    public async Task A_source_that_is_written_to_is_refused_or_warned_about(DiskFormat from, DiskFormat to)
    {
        Requires.Tool("qemu-io", "qemu");
        var source = await CreateRawAsync(_directory.PathOf("source.raw"));
        source = from == DiskFormat.Raw ? source : await ConvertAsync(source, _directory.PathOf("source.qcow2"));
        CopyRequest request = new() { Source = source, Target = new(new FileLocation(_directory.PathOf("copy")), to) };
        await using (await OpenImage.ForWritingAsync(source))
        {
            var failure = await Assert.ThrowsAsync<InUseException>(() => _copier.CopyAsync(request, null, Token));
            Assert.Contains(PathOf(source), failure.Message, StringComparison.Ordinal);
            Assert.False(File.Exists(PathOf(request.Target)));

            var result = await _copier.CopyAsync(request with { WhileInUse = true }, null, Token);
            Assert.Contains("no one moment", Assert.Single(result.Plan.Warnings), StringComparison.Ordinal);
        }

        await AssertSameAsync(source, request.Target);
    }

    [Fact]
    public async Task Nothing_begins_to_write_to_a_source_while_it_is_copied()
    {
        Requires.Tool("qemu-io", "qemu");
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(32));
        ProcessResult? writer = null;
        CallbackProgress progress = new(_ => writer ??= new ProcessRunner()
            .RunAsync(new() { FileName = "qemu-io", Arguments = ["-f", "raw", "-c", "write 0 512", PathOf(source)] }, Token).GetAwaiter().GetResult());
        await _copier.CopyAsync(new() { Source = source, Target = Raw(_directory.PathOf("copy.raw")) }, progress, Token);

        Assert.NotNull(writer);
        Assert.NotEqual(0, writer.ExitCode);
        Assert.Contains("lock", writer.Error, StringComparison.Ordinal);

        // And afterwards it may.
        await WriteAsync(source, 0, 512, 1);
    }

    [Fact]
    public async Task A_source_that_a_stranger_writes_to_meanwhile_is_noticed()
    {
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(32));
        CallbackProgress progress = new(_ =>
        {
            using var file = File.OpenWrite(PathOf(source));
            file.WriteByte(0);
            file.Flush();
            File.SetLastWriteTimeUtc(PathOf(source), DateTimeOffset.UnixEpoch.UtcDateTime);
        });
        var failure = await Assert.ThrowsAsync<StorageException>(() => _copier.CopyAsync(new() { Source = source, Target = Raw(_directory.PathOf("copy.raw")) }, progress, Token));

        Assert.Contains("was written while it was copied", failure.Message, StringComparison.Ordinal);
        Assert.Equal(["source.raw"], _directory.Names());
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task A_cancelled_copy_stops_leaves_nothing_and_works_again(DiskFormat format)
    {
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(96));
        CopyRequest request = new() { Source = source, Target = new(new FileLocation(_directory.PathOf("copy")), format), RateLimit = DataSize.FromMiB(16) };
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        CallbackProgress progress = new(report =>
        {
            if (report.Done > 0)
            {
                cancel.Cancel();
            }
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _copier.CopyAsync(request, progress, cancel.Token));

        Assert.Equal(["source.raw"], _directory.Names());
        await _copier.CopyAsync(request with { RateLimit = default }, null, Token);
        await AssertSameAsync(source, request.Target);
    }

    [Fact]
    public async Task A_rate_limit_is_kept()
    {
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(6));
        var started = Stopwatch.GetTimestamp();
        await _copier.CopyAsync(new() { Source = source, Target = Raw(_directory.PathOf("copy.raw")), RateLimit = DataSize.FromMiB(8) }, null, Token);

        // A quarter of a second's worth is free: 4 MiB are left.
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalSeconds, 0.49, 30);
    }

    [Fact]
    public async Task A_copy_that_was_kept_goes_on_where_it_was()
    {
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(96));
        CopyRequest request = new() { Source = source, Target = Raw(_directory.PathOf("copy.raw")), KeepWhenInterrupted = true };
        long recorded = 0;

        // What the slowest thread has in hand, and all behind that, does not count; another attempt goes on from there.
        for (var attempt = 0; attempt < 3 && recorded < DataSize.FromMiB(16).Bytes; attempt++)
        {
            await InterruptAsync(request);
            Assert.Equal([".copy.raw.part", ".copy.raw.part.resume", "source.raw"], _directory.Names().Order(StringComparer.Ordinal));
            var record = Encoding.ASCII.GetString(await File.ReadAllBytesAsync(_directory.PathOf(".copy.raw.part.resume"), Token));
            recorded = long.Parse(record.Split("\ndone ")[1].Split('\n')[0], CultureInfo.InvariantCulture);
        }

        Recorder progress = new();
        var result = await _copier.CopyAsync(request, progress, Token);

        Assert.InRange(result.Resumed.Bytes, DataSize.FromMiB(16).Bytes, DataSize.FromMiB(95).Bytes);
        Assert.Equal(recorded, result.Resumed.Bytes);
        Assert.True(progress.Reports[0].Done > result.Resumed.Bytes);
        Assert.Equal(["copy.raw", "source.raw"], _directory.Names().Order(StringComparer.Ordinal));
        await AssertSameAsync(source, request.Target);
    }

    [Theory]
    [InlineData("torn")]
    [InlineData("empty")]
    [InlineData("source changed")]
    [InlineData("source replaced")]
    [InlineData("part replaced")]
    [InlineData("part cut off")]
    public async Task What_is_not_certain_is_copied_again(string what)
    {
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(96));
        CopyRequest request = new() { Source = source, Target = Raw(_directory.PathOf("copy.raw")), KeepWhenInterrupted = true };
        await InterruptAsync(request);
        var (part, journal) = (_directory.PathOf(".copy.raw.part"), _directory.PathOf(".copy.raw.part.resume"));
        switch (what)
        {
            case "torn":
                var bytes = await File.ReadAllBytesAsync(journal, Token);
                bytes[^40] ^= 1;
                await File.WriteAllBytesAsync(journal, bytes, Token);
                break;
            case "empty":
                await File.WriteAllBytesAsync(journal, [], Token);
                break;
            case "source changed":
                await WriteAsync(source, 4096, 512, 0x33);
                break;
            case "source replaced":
                File.Copy(PathOf(source), PathOf(source) + ".new");
                File.Move(PathOf(source) + ".new", PathOf(source), overwrite: true);
                break;
            case "part replaced":
                File.Delete(part);
                await File.WriteAllBytesAsync(part, new byte[96 * 1024 * 1024], Token);
                break;
            case "part cut off":
                await using (var file = File.OpenWrite(part))
                {
                    file.SetLength(4096);
                }

                break;
        }

        var result = await _copier.CopyAsync(request, null, Token);

        Assert.Equal(DataSize.Zero, result.Resumed);
        await AssertSameAsync(source, request.Target);
        Assert.DoesNotContain(_directory.Names(), name => name.StartsWith('.'));
    }

    [Fact]
    public async Task A_killed_copy_leaves_no_lie_and_goes_on()
    {
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(64));
        CopyRequest request = new() { Source = source, Target = Raw(_directory.PathOf("copy.raw")) };
        using (var victim = Victim.StartCopier(_directory.Directory))
        {
            try
            {
                // It writes down how far it is after some MiB, at 16 MiB a second.
                for (var rest = 600; rest > 0 && !victim.HasExited && !(File.Exists(_directory.PathOf(".copy.raw.part.resume")) && new FileInfo(_directory.PathOf(".copy.raw.part.resume")).Length > 0); rest--)
                {
                    await Task.Delay(50, Token);
                }

                Assert.False(victim.HasExited, "The process ended by itself.");
            }
            finally
            {
                victim.Kill();
                await victim.WaitForExitAsync(CancellationToken.None);
            }
        }

        Assert.Equal([".copy.raw.part", ".copy.raw.part.resume", "source.raw"], _directory.Names().Order(StringComparer.Ordinal));
        var result = await _copier.CopyAsync(request, null, Token);

        Assert.InRange(result.Resumed.Bytes, DataSize.FromMiB(8).Bytes, DataSize.FromMiB(63).Bytes);
        Assert.Equal(["copy.raw", "source.raw"], _directory.Names().Order(StringComparer.Ordinal));
        await AssertSameAsync(source, request.Target);
    }

    /// <summary>As when the service is killed then: what the copy holds by now is not what the source held there.</summary>
    [Fact]
    public async Task A_copy_that_ended_after_it_was_made_larger_begins_anew()
    {
        var source = await ConvertAsync(await CreateFullAsync(_directory.PathOf("full.raw"), DataSize.FromMiB(64)), _directory.PathOf("source.qcow2"));
        CopyRequest request = new()
        {
            Source = source,
            Target = Qcow2(_directory.PathOf("copy.qcow2")),
            KeepWhenInterrupted = true,

            // Its first table becomes longer, and moves.
            Size = DataSize.FromMiB(2048),
        };
        ImageCopier ending = new(new EndingRunner("resize")) { MayShare = false, JournalStep = 1 << 20 };
        await Assert.ThrowsAsync<OperationCanceledException>(() => ending.CopyAsync(request, null, Token));
        Assert.Contains(".copy.qcow2.part", _directory.Names());

        var result = await _copier.CopyAsync(request, null, Token);

        Assert.Equal((CopyMethod.Extents, DataSize.Zero), (result.Plan.Method, result.Resumed));
        await QemuImgAsync("check", "-q", "-f", "qcow2", PathOf(request.Target));
        await AssertSameAsync(source, request.Target);
        Assert.DoesNotContain(_directory.Names(), name => name.StartsWith('.'));
    }

    [Fact]
    public async Task Two_that_make_the_same_copy_do_not_mix()
    {
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(64));
        CopyRequest request = new() { Source = source, Target = Raw(_directory.PathOf("copy.raw")) };
        Task? second = null;
        CallbackProgress progress = new(_ =>
        {
            // The first stays at it until the second has given up.
            second ??= new ImageCopier(new ProcessRunner()) { MayShare = false }.CopyAsync(request, null, Token);
            Assert.True(((IAsyncResult)second).AsyncWaitHandle.WaitOne(TimeSpan.FromSeconds(30)));
        });
        await _copier.CopyAsync(request, progress, Token);

        Assert.NotNull(second);
        Assert.IsType<InUseException>(await Record.ExceptionAsync(() => second));
        await AssertSameAsync(source, request.Target);
    }

    [Fact]
    public async Task A_file_that_names_an_image_in_Ceph_lies_in_no_allowed_directory()
    {
        var path = _directory.PathOf("top.qcow2");
        var backing = """json:{"driver":"raw","file":{"driver":"rbd","pool":"p","image":"i","conf":"/tmp/mine.conf","user":"admin"}}""";
        await new ProcessRunner().RunAsync(new() { FileName = "qemu-img", Arguments = ["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", backing, path, "1M"] }, Token);
        CopyRequest request = new() { Source = new(new FileLocation(path), DiskFormat.Qcow2), Target = Raw(_directory.PathOf("copy.raw")), Roots = new([_directory.Directory]) };
        var refused = await Assert.ThrowsAsync<StorageException>(() => _copier.PlanAsync(request, Token));
        Assert.Contains("in Ceph beneath it", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_chain_that_leaves_the_allowed_directories_is_not_opened()
    {
        using TemporaryStorlink elsewhere = new();
        var secret = await CreateRawAsync(elsewhere.PathOf("secret.raw"));
        var top = await OverlayAsync(secret, _directory.PathOf("top.qcow2"));
        CopyRequest request = new() { Source = top, Target = Raw(_directory.PathOf("copy.raw")), Roots = new([_directory.Directory]) };
        var failure = await Assert.ThrowsAsync<StorageException>(() => _copier.CopyAsync(request, null, Token));

        Assert.Contains("none of the directories", failure.Message, StringComparison.Ordinal);
        Assert.Equal(["top.qcow2"], _directory.Names());
        await _copier.CopyAsync(request with { Roots = new([_directory.Directory, elsewhere.Directory]) }, null, Token);
        await AssertSameAsync(top, request.Target);
    }

    [Fact]
    public async Task A_qcow2_image_with_snapshots_is_copied_without_them()
    {
        var source = await ConvertAsync(await CreateRawAsync(_directory.PathOf("source.raw")), _directory.PathOf("source.qcow2"));
        await QemuImgAsync("snapshot", "-c", "before", PathOf(source));
        await WriteAsync(source, 0, 65536, 0x55);
        var target = Qcow2(_directory.PathOf("copy.qcow2"));
        var result = await _copier.CopyAsync(new() { Source = source, Target = target }, null, Token);

        Assert.Equal(CopyMethod.Convert, result.Plan.Method);
        Assert.Equal(0, Qcow2Header.Read(PathOf(target)).SnapshotCount);
        await AssertSameAsync(source, target);
    }

    [Fact]
    public async Task A_storage_that_can_clone_is_let_to()
    {
        var source = await CreateRawAsync(_directory.PathOf("source.raw"));
        var target = Raw(_directory.PathOf("copy.raw"));
        Mock<IVolumeClone> storage = new();
        var storlink = TemporaryStorlink.For("/dev/vg", level: StorlinkLevel.Block);
        var disk = DiskId.New();
        VolumeSpec spec = new() { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromGiB(1) };
        storage.Setup(port => port.CanCloneAsync(storlink, disk, It.IsAny<CancellationToken>())).ReturnsAsync(true);
        CopyRequest request = new() { Source = source, Target = target, Native = new() { Storage = storage.Object, Storlink = storlink, Disk = disk, Volume = spec } };
        var result = await _copier.CopyAsync(request, null, Token);

        Assert.Equal(CopyMethod.NativeClone, result.Plan.Method);
        storage.Verify(port => port.CloneAsync(storlink, disk, spec, It.IsAny<CancellationToken>()), Times.Once);
        Assert.Equal(["source.raw"], _directory.Names());

        // Too small a clone is refused, and one that is another format is no clone.
        await Assert.ThrowsAsync<StorageException>(() => _copier.PlanAsync(request with { Native = request.Native with { Volume = spec with { Size = new(512) } } }, Token));
        await Assert.ThrowsAsync<ArgumentException>(() => _copier.PlanAsync(request with { Native = request.Native with { Volume = spec with { Format = DiskFormat.Qcow2 } } }, Token));

        // A storage that cannot has its bytes moved.
        storage.Setup(port => port.CanCloneAsync(storlink, disk, It.IsAny<CancellationToken>())).ReturnsAsync(false);
        Assert.NotEqual(CopyMethod.NativeClone, (await _copier.CopyAsync(request, null, Token)).Plan.Method);
        await AssertSameAsync(source, target);
    }

    /// <summary>Ends what it runs for once a certain command is done.</summary>
    private sealed class EndingRunner(string command) : IProcessRunner
    {
        private readonly ProcessRunner _inner = new();

        public async Task<ProcessResult> RunAsync(ProcessCommand run, CancellationToken cancellationToken = default)
        {
            var result = await _inner.RunAsync(run, cancellationToken);
            return run.Arguments[0] == command ? throw new OperationCanceledException() : result;
        }
    }

    private async Task InterruptAsync(CopyRequest request)
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        CallbackProgress progress = new(report =>
        {
            if (report.Done >= DataSize.FromMiB(32).Bytes)
            {
                cancel.Cancel();
            }
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _copier.CopyAsync(request with { RateLimit = DataSize.FromMiB(128) }, progress, cancel.Token));
    }

    internal sealed class Recorder : IProgress<ByteProgress>
    {
        public List<ByteProgress> Reports { get; } = [];

        public void Report(ByteProgress value)
        {
            lock (Reports)
            {
                Reports.Add(value);
            }
        }
    }

    internal sealed class CallbackProgress(Action<ByteProgress> report) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => report(value);
    }
}
