using Pengx.Testing;
using static Pengx.Storage.Tests.TestImages;

namespace Pengx.Storage.Tests;

/// <summary>Copies on file systems and devices of their own: shared blocks, devices, and what breaks.</summary>
public sealed class FileSystemCopyTests : IDisposable
{
    private readonly TemporaryStorlink _directory = new();
    private readonly ImageCopier _copier = new(new ProcessRunner());

    public FileSystemCopyTests() => Requires.Tool("qemu-img", "qemu");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Where_blocks_can_be_shared_a_copy_takes_no_space()
    {
        await using var xfs = await LoopFileSystem.MountAsync("xfs", DataSize.FromMiB(512));
        var raw = await CreateFullAsync(xfs.PathOf("source.raw"), DataSize.FromMiB(100));
        var qcow2 = await ConvertAsync(raw, xfs.PathOf("source.qcow2"));
        var chain = await OverlayAsync(qcow2, xfs.PathOf("top.qcow2"));
        await RunAsync("sync", "-f", xfs.Directory);
        (DiskLayer Source, DiskFormat Format, CopyMethod Method)[] copies =
        [
            (raw, DiskFormat.Raw, CopyMethod.Clone),
            (raw, DiskFormat.Qcow2, CopyMethod.Offload),
            (qcow2, DiskFormat.Raw, CopyMethod.Offload),
            (qcow2, DiskFormat.Qcow2, CopyMethod.Clone),
            (chain, DiskFormat.Raw, CopyMethod.Offload),
            (chain, DiskFormat.Qcow2, CopyMethod.Offload),
        ];
        foreach (var (source, format, method) in copies)
        {
            var free = Free(xfs);
            DiskLayer target = new(new FileLocation(xfs.PathOf("copy")), format);

            // A limit is no obstacle: nothing is moved.
            var result = await _copier.CopyAsync(new() { Source = source, Target = target, RateLimit = new(4096) }, null, Token);

            Assert.Equal(method, result.Plan.Method);
            Assert.InRange(free - Free(xfs), long.MinValue, 4 * 1024 * 1024);
            await AssertSameAsync(source, target);

            // They are shared until one is written to, and then no more.
            await WriteAsync(target, 0, 65536, 0x12);
            Assert.NotEqual(0, (await new ProcessRunner().RunAsync(
                new() { FileName = "qemu-img", Arguments = ["compare", "-f", source.Format.Name, "-F", format.Name, PathOf(source), PathOf(target)] }, Token)).ExitCode);
            File.Delete(PathOf(target));
        }
    }

    [Fact]
    public async Task An_image_that_is_in_use_is_cloned_as_of_one_moment()
    {
        Requires.Tool("qemu-io", "qemu");
        await using var xfs = await LoopFileSystem.MountAsync("xfs", DataSize.FromMiB(384));
        var source = await CreateFullAsync(xfs.PathOf("source.raw"), DataSize.FromMiB(16));
        var target = Raw(xfs.PathOf("copy.raw"));
        await using (await OpenImage.ForWritingAsync(source))
        {
            var result = await _copier.CopyAsync(new() { Source = source, Target = target, WhileInUse = true }, null, Token);
            Assert.Equal(CopyMethod.Clone, result.Plan.Method);
            Assert.Contains("of one moment", Assert.Single(result.Plan.Warnings), StringComparison.Ordinal);
        }

        await AssertSameAsync(source, target);
    }

    [Fact]
    public async Task A_layer_on_another_file_system_is_copied_and_the_rest_shared()
    {
        await using var xfs = await LoopFileSystem.MountAsync("xfs", DataSize.FromMiB(384));
        var below = await CreateRawAsync(_directory.PathOf("below.raw"));
        var top = await OverlayAsync(below, xfs.PathOf("top.qcow2"));
        var target = Qcow2(xfs.PathOf("copy.qcow2"));
        var result = await _copier.CopyAsync(new() { Source = top, Target = target }, null, Token);

        Assert.Equal(CopyMethod.Offload, result.Plan.Method);
        Assert.True(result.Plan.ExpectedBytes > DataSize.Zero);
        await AssertSameAsync(top, target);
        Assert.Equal(CopyMethod.Extents, (await _copier.PlanAsync(new() { Source = below, Target = Raw(xfs.PathOf("copy.raw")) }, Token)).Method);
    }

    [Theory]
    [InlineData("raw", CopyMethod.Extents)]
    [InlineData("qcow2", CopyMethod.Convert)]
    public async Task A_device_of_unknown_content_becomes_the_image_and_zeros(string kind, CopyMethod method)
    {
        await using var device = await LoopDevice.CreateAsync(DataSize.FromMiB(40).Bytes, Token);
        await FillAsync(device.File, 40);
        var raw = await CreateRawAsync(_directory.PathOf("source.raw"));
        var source = kind == "raw" ? raw : await ConvertAsync(raw, _directory.PathOf("source.qcow2"));
        var result = await _copier.CopyAsync(new() { Source = source, Target = Block(device.Path) }, null, Token);

        Assert.Equal(method, result.Plan.Method);
        await AssertSameAsync(source, Block(device.Path));

        // What lay behind the image's end would be a stranger's data.
        var bytes = await File.ReadAllBytesAsync(device.Path, Token);
        Assert.False(bytes.AsSpan((24 * 1024 * 1024) + 512).ContainsAnyExcept((byte)0));
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task Zeros_are_not_written_to_a_device_that_has_nothing_else(string kind)
    {
        await using var device = await LoopDevice.CreateAsync(DataSize.FromMiB(256).Bytes, Token);
        var raw = await CreateRawAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(256).Bytes);
        File.Delete(PathOf(raw));
        await QemuImgAsync("create", "-q", "-f", "raw", PathOf(raw), "256M");
        await WriteAsync(raw, 100 * 1024 * 1024, 1024 * 1024, 0x21);
        var source = kind == "raw" ? raw : await ConvertAsync(raw, _directory.PathOf("source.qcow2"));
        await _copier.CopyAsync(new() { Source = source, Target = Block(device.Path), TargetContent = CopyTargetContent.Zero }, null, Token);

        await AssertSameAsync(source, Block(device.Path));
        Assert.InRange(Allocated(device.File), 1024 * 1024, 8 * 1024 * 1024);
    }

    [Fact]
    public async Task A_device_is_copied_into_a_sparse_file_and_between_devices()
    {
        await using var device = await LoopDevice.CreateAsync(DataSize.FromMiB(64).Bytes, Token);
        await using var other = await LoopDevice.CreateAsync(DataSize.FromMiB(64).Bytes, Token);
        await WriteAsync(Block(device.Path), 5 * 1024 * 1024, 3 * 1024 * 1024, 0x31);
        await FillAsync(other.File, 64);
        var file = Raw(_directory.PathOf("copy.raw"));
        await _copier.CopyAsync(new() { Source = Block(device.Path), Target = file }, null, Token);
        await _copier.CopyAsync(new() { Source = Block(device.Path), Target = Block(other.Path) }, null, Token);

        await AssertSameAsync(Block(device.Path), file);
        await AssertSameAsync(Block(device.Path), Block(other.Path));
        Assert.InRange(Allocated(PathOf(file)), 3 * 1024 * 1024, 4 * 1024 * 1024);
    }

    [Fact]
    public async Task A_device_that_is_mounted_too_small_or_none_is_refused()
    {
        await using var ext4 = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(64));
        await using var small = await LoopDevice.CreateAsync(DataSize.FromMiB(8).Bytes, Token);
        var source = await CreateRawAsync(_directory.PathOf("source.raw"));
        var mounted = (await File.ReadAllLinesAsync("/proc/self/mounts", Token)).Single(line => line.Contains(ext4.Directory, StringComparison.Ordinal)).Split(' ')[0];

        Assert.Contains("mounted", (await Assert.ThrowsAsync<InUseException>(() => CopyToAsync(mounted))).Message, StringComparison.Ordinal);
        Assert.Contains("8 MiB cannot hold", (await Assert.ThrowsAsync<StorageException>(() => CopyToAsync(small.Path))).Message, StringComparison.Ordinal);
        Assert.Contains("not a block device", (await Assert.ThrowsAsync<StorageException>(() => CopyToAsync(PathOf(source) + "x"))).Message, StringComparison.Ordinal);

        async Task CopyToAsync(string path)
        {
            if (path.EndsWith('x'))
            {
                await File.WriteAllTextAsync(path, "", Token);
            }

            await _copier.CopyAsync(new() { Source = source, Target = Block(path) }, null, Token);
        }
    }

    [Fact]
    public async Task A_device_that_something_has_open_is_refused()
    {
        Requires.Tool("qemu-io", "qemu");
        await using var device = await LoopDevice.CreateAsync(DataSize.FromMiB(32).Bytes, Token);
        var source = await CreateRawAsync(_directory.PathOf("source.raw"));
        await using var open = await OpenImage.ForWritingAsync(Block(device.Path));
        await Assert.ThrowsAsync<InUseException>(() => _copier.CopyAsync(new() { Source = source, Target = Block(device.Path) }, null, Token));
    }

    [Fact]
    public async Task What_could_not_be_written_back_fails_the_copy_although_there_is_room_again()
    {
        await using var pool = await OverbookedFileSystem.MountAsync(DataSize.FromMiB(360), DataSize.FromMiB(64));
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(320));
        var hasGrown = 0;
        ImageCopierTests.CallbackProgress progress = new(report =>
        {
            // The pool is extended while the copy is still under way: what was lost before is told to nobody any more.
            if (report.Done >= DataSize.FromMiB(208).Bytes && Interlocked.Exchange(ref hasGrown, 1) == 0)
            {
                pool.GrowAsync(DataSize.FromMiB(400)).GetAwaiter().GetResult();
            }
        });
        await Assert.ThrowsAsync<InsufficientResourceException>(() => _copier.CopyAsync(
            new() { Source = source, Target = Raw(Path.Combine(pool.Directory, "copy.raw")) }, progress, Token));

        Assert.Empty(pool.Names());
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task A_file_system_that_fills_up_meanwhile_is_told_and_nothing_is_left(DiskFormat format)
    {
        await using var ext4 = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(200));
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(96));
        DiskLayer target = new(new FileLocation(ext4.PathOf("copy")), format);
        var filler = ext4.PathOf("filler");
        var failure = await Assert.ThrowsAsync<InsufficientResourceException>(() => _copier.CopyAsync(
            new() { Source = source, Target = target, RateLimit = DataSize.FromMiB(64) }, FillingUp(filler), Token));

        Assert.Contains("No space left on device", failure.Message, StringComparison.Ordinal);
        Assert.Equal(["filler"], ext4.Names());

        // Full from the beginning, it is told before anything is written.
        failure = await Assert.ThrowsAsync<InsufficientResourceException>(() => _copier.CopyAsync(new() { Source = source, Target = target }, null, Token));
        Assert.Matches("has [0-9] MiB free, and 9[67] MiB are needed", failure.Message);
        File.Delete(filler);
        await _copier.CopyAsync(new() { Source = source, Target = target }, null, Token);
        await AssertSameAsync(source, target);
    }

    [Fact]
    public async Task A_copy_beside_its_source_that_finds_no_room_any_more_is_told_and_nothing_is_left()
    {
        await using var ext4 = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(256));
        var raw = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(96));
        var source = await ConvertAsync(raw, ext4.PathOf("source.qcow2"));
        var target = Qcow2(ext4.PathOf("copy.qcow2"));
        var filler = ext4.PathOf("filler");
        var failure = await Assert.ThrowsAsync<InsufficientResourceException>(() => _copier.CopyAsync(
            new() { Source = source, Target = target, RateLimit = DataSize.FromMiB(64) }, FillingUp(filler), Token));
        Assert.Contains("No space left on device", failure.Message, StringComparison.Ordinal);
        Assert.Equal(["filler", "source.qcow2"], ext4.Names().Order());
        File.Delete(filler);
        await _copier.CopyAsync(new() { Source = source, Target = target }, null, Token);
        await AssertSameAsync(source, target);
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task A_source_that_cannot_be_read_is_told_and_nothing_is_left(DiskFormat format)
    {
        // The device ends where its file ends now: reading beyond is an I/O error.
        await using var device = await LoopDevice.CreateAsync(DataSize.FromMiB(64).Bytes, Token);
        await FillAsync(device.File, 64);
        await using (var file = File.OpenWrite(device.File))
        {
            file.SetLength(40 * 1024 * 1024);
        }

        DiskLayer target = new(new FileLocation(_directory.PathOf("copy")), format);
        var failure = await Assert.ThrowsAnyAsync<PengxException>(() => _copier.CopyAsync(new() { Source = Block(device.Path), Target = target }, null, Token));

        Assert.Contains("Input/output error", failure.Message, StringComparison.Ordinal);
        Assert.Empty(_directory.Names());
        if (format == DiskFormat.Raw)
        {
            Assert.Contains(device.Path, failure.Message, StringComparison.Ordinal);
            Assert.Matches("cannot be read at byte (4[1-9]|5[0-9]|6[0-6])[0-9]{6}:", failure.Message);
        }

        // When it can be read again, it is.
        await FillAsync(device.File, 64);
        await _copier.CopyAsync(new() { Source = Block(device.Path), Target = target }, null, Token);
        await AssertSameAsync(Block(device.Path), target);
    }

    [Fact]
    public async Task A_disk_that_cannot_be_written_is_told()
    {
        await using var device = await LoopDevice.CreateAsync(DataSize.FromMiB(64).Bytes, Token);
        var source = await CreateFullAsync(_directory.PathOf("source.raw"), DataSize.FromMiB(48));
        await using var full = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(48));

        // The device lies on a file system that has no room for it: what is written there fails at the flush.
        var backing = full.PathOf("backing");
        await using (var file = File.Create(backing))
        {
            file.SetLength(64 * 1024 * 1024);
        }

        var loop = (await RunAsync("losetup", "--show", "-f", backing)).Trim();
        try
        {
            var failure = await Assert.ThrowsAsync<StorageException>(() => _copier.CopyAsync(
                new() { Source = source, Target = Block(loop), TargetContent = CopyTargetContent.Zero }, null, Token));
            Assert.Contains(loop, failure.Message, StringComparison.Ordinal);
        }
        finally
        {
            await new ProcessRunner().RunAsync(new() { FileName = "losetup", Arguments = ["-d", loop] }, CancellationToken.None);
        }
    }

    [Fact]
    public async Task A_local_storage_shares_blocks_and_needs_no_room_for_it()
    {
        await using var xfs = await LoopFileSystem.MountAsync("xfs", DataSize.FromMiB(320));
        var storlink = TemporaryStorlink.For(xfs.Directory);
        LocalStorage storage = new(new ProcessRunner());
        VolumeSpec first = new() { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(160) };
        await storage.CreateAsync(storlink, first, cancellationToken: Token);
        var source = new DiskLayer(await storage.AttachAsync(storlink, first.Disk, DiskFormat.Raw, Token), DiskFormat.Raw);
        await WriteAsync(source, 0, DataSize.FromMiB(160).Bytes, 0x42);
        Assert.True(Free(xfs) < DataSize.FromMiB(160).Bytes);
        foreach (var format in new[] { DiskFormat.Raw, DiskFormat.Qcow2 })
        {
            var copy = first with { Disk = DiskId.New(), Format = format, Source = source };
            await storage.CreateAsync(storlink, copy, cancellationToken: Token);
            await AssertSameAsync(source, new(await storage.AttachAsync(storlink, copy.Disk, format, Token), format));
        }
    }

    /// <summary>Lets a stranger take all the room that there is, in a file, when a copy has begun.</summary>
    private static ImageCopierTests.CallbackProgress FillingUp(string filler) => new(report =>
    {
        if (report.Done > 0 && !File.Exists(filler))
        {
            // That it wanted more is its own failure.
            new ProcessRunner().RunAsync(new() { FileName = "fallocate", Arguments = ["-l", $"{DataSize.FromMiB(256).Bytes}", filler] }, Token).GetAwaiter().GetResult();
        }
    });

    private static long Free(LoopFileSystem system) => new DriveInfo(system.Directory).AvailableFreeSpace;

    private static async Task FillAsync(string path, int mebibytes)
    {
        var bytes = new byte[mebibytes * 1024 * 1024];
        new Random(3).NextBytes(bytes);
        await using var file = File.OpenWrite(path);
        await file.WriteAsync(bytes, Token);
        file.Flush(flushToDisk: true);
    }
}
