
namespace Pengx.Qemu.Tests;

/// <summary>What QEMU notes of a guest's writes, held against the images themselves: the copied blocks upon what was there before must
/// show what the frozen layer shows, byte by byte.</summary>
public sealed class QemuChangedBlocksTests : IAsyncLifetime
{
    private const long Size = 32 * 1024 * 1024;
    private const long ZeroedAt = 8 * 1024 * 1024;
    private const long ZeroedLength = 1024 * 1024;

    private readonly QemuTestHost _host = new();
    private readonly ImageFiles _images;

    public QemuChangedBlocksTests() => _images = new(_host);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        QemuTestHost.RequireQemu();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var entry in ProcessTable.Find(id => DomainFiles.PidFileOf(_host.Options.RunDirectory!, id)))
        {
            await KillAsync(entry.Domain);
        }

        await _host.DisposeAsync();
    }

    [Theory]
    [InlineData(DiskFormat.Qcow2)]
    [InlineData(DiskFormat.Raw)]
    public async Task Changed_blocks_upon_the_copy_before_show_the_frozen_disk(DiskFormat format)
    {
        var empty = _host.CreateDisk("xvdb", Size);
        var disk = empty;
        if (format == DiskFormat.Qcow2)
        {
            var id = DiskId.New();
            disk = QemuTestHost.DiskOf(id, ImageFiles.PathOf(await _images.CreateOverlayAsync(empty.Layers[0], id, Token)), "xvdb", DiskFormat.Qcow2);
            disk = disk with { Layers = [disk.Layers[0], empty.Layers[0]] };
        }

        await _images.WriteAsync(disk.Layers[0], 0x5A, ZeroedAt, 2 * ZeroedLength, Token);
        var definition = _host.CreateBootable(disk);
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        Assert.True(driver.TryGetFeature<IChangedBlocks>(out var changed));
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);
        var domain = definition.Id;
        await using var counter = new CounterFollower(_host, driver, domain, Token);
        await counter.ExpectWritingAsync();

        // The first backup, whole.
        var (first, second, third) = (BackupId.New(), BackupId.New(), BackupId.New());
        await changed.TrackAsync(domain, first, Token);
        await changed.TrackAsync(domain, first, Token);
        var overlay = await FreezeAsync(live, domain, disk);
        var parent = ImageFiles.Layer(await _images.FlattenAsync(disk.Layers[0], Token), DiskFormat.Raw);
        await live.CommitAsync(domain, new(overlay.After, overlay.Before), cancellationToken: Token);
        await counter.FlushAnotherAsync();

        // Zeros written over data must not let the old data show through.
        await using (var console = QemuTestHost.ConsoleOf(driver, domain, Token))
        {
            await _host.TypeAsync(domain, "dd if=/dev/zero of=/dev/vdb bs=1M seek=8 count=1 conv=fsync,notrunc; echo zeroed-$((1 + 1))", Token);
            await console.ExpectAsync("zeroed-2");
        }

        await changed.TrackAsync(domain, second, Token);
        overlay = await FreezeAsync(live, domain, disk);
        var notes = await changed.ReadAsync(domain, Token);
        Assert.All(notes, note => Assert.Null(note.Fault));
        var noted = Assert.Single(notes, note => note.Vdev == "xvdb" && note.Since == first);
        Assert.Equal((disk.Layers[0], Size), (noted.Layer, noted.Size.Bytes));
        Assert.InRange(noted.Bytes, 1, Size / 2);

        // The top layer is never copied from, and a target that breaks leaves nothing open.
        var target = await TargetAsync(parent);
        await Assert.ThrowsAsync<WrongStateException>(() => changed.CopyAsync(domain, first, overlay.After, target, cancellationToken: Token));
        Assert.Contains("no bitmap", (await Assert.ThrowsAsync<HypervisorException>(() => changed.CopyAsync(domain, third, disk, target, cancellationToken: Token))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<HypervisorException>(() => changed.CopyAsync(domain, first, disk, ImageFiles.Layer(_host.PathOf("missing.qcow2"), DiskFormat.Qcow2), cancellationToken: Token));

        var told = new LastReport();
        Assert.Equal(noted.Bytes, await changed.CopyAsync(domain, first, disk, target, progress: told, cancellationToken: Token));
        Assert.True(told.Last.Done > 0 && told.Last.Done == told.Last.Total, $"The last progress was {told.Last}.");
        await AssertSameAsync(disk.Layers[0], target);

        // Asked once more, as a caller does who did not hear the answer; and given up half way, which leaves the target free.
        await changed.CopyAsync(domain, first, disk, target, cancellationToken: Token);
        await AssertSameAsync(disk.Layers[0], target);
        using (var cancelled = CancellationTokenSource.CreateLinkedTokenSource(Token))
        {
            var copy = changed.CopyAsync(domain, first, disk, target, new() { BytesPerSecond = 1 }, new FirstReport(cancelled.Cancel), cancelled.Token);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => copy);
        }

        await changed.AbandonCopiesAsync(domain, Token);
        Assert.True(await _images.ShowsAsync(target, 0, ZeroedAt, ZeroedLength, Token));
        await _images.WriteAsync(target, 0x77, 0, 512, Token);
        await live.CommitAsync(domain, new(overlay.After, overlay.Before), cancellationToken: Token);
        await changed.ForgetAsync(domain, [first], Token);
        Assert.Equal([second], (await changed.ReadAsync(domain, Token)).Select(note => note.Since).Distinct());

        // A guest that shuts down keeps what its qcow2 images noted.
        var flushed = await counter.FlushAnotherAsync();
        if (format == DiskFormat.Qcow2)
        {
            await _host.TypeAsync(domain, "poweroff", Token);
            await driver.Domains.WaitUntilStoppedAsync(domain, Token).WaitAsync(QemuTestHost.Patience, Token);
            await driver.Domains.StartAsync(domain, Token);
            await using var again = new CounterFollower(_host, driver, domain, Token);
            await again.ExpectWritingAsync();
            flushed = await again.FlushAnotherAsync();
        }

        // What was written to the overlay came down with it and is noted: the changes since then show the guest's last number.
        Assert.Null(Assert.Single(await changed.ReadAsync(domain, Token), note => note.Vdev == "xvdb").Fault);
        overlay = await FreezeAsync(live, domain, disk);
        var upper = await TargetAsync(parent);
        await changed.CopyAsync(domain, second, disk, upper, cancellationToken: Token);
        Assert.True(await _images.ReadNewestAsync(upper, Token) >= flushed);
        await live.CommitAsync(domain, new(overlay.After, overlay.Before), cancellationToken: Token);

        // A process that is killed loses the notes, or leaves them worthless; nobody is led to believe in them.
        await KillAsync(domain);
        await driver.Domains.DestroyAsync(domain, Token);
        await driver.Domains.StartAsync(domain, Token);
        var left = (await changed.ReadAsync(domain, Token)).Where(note => note.Vdev == "xvdb").ToList();
        if (format == DiskFormat.Raw)
        {
            Assert.Empty(left);
        }
        else
        {
            Assert.Contains("inconsistent", Assert.Single(left).Fault, StringComparison.Ordinal);
            await FreezeAsync(live, domain, disk);
            var unused = await TargetAsync(parent);
            var refused = await Assert.ThrowsAsync<HypervisorException>(() => changed.CopyAsync(domain, second, disk, unused, cancellationToken: Token));
            Assert.Contains("worthless", refused.Message, StringComparison.Ordinal);
        }

        await driver.Domains.DestroyAsync(domain, Token);
    }

    private Task<DiskLayer> TargetAsync(DiskLayer parent) => _images.CreateOverlayAsync(parent, DiskId.New(), Token);

    private async Task AssertSameAsync(DiskLayer frozen, DiskLayer copy)
    {
        var (expected, actual) = (await _images.FlattenAsync(frozen, Token), await _images.FlattenAsync(copy, Token));
        Assert.Equal(await File.ReadAllBytesAsync(expected, Token), await File.ReadAllBytesAsync(actual, Token));
        File.Delete(expected);
        File.Delete(actual);
    }

    private async Task KillAsync(DomainId id)
    {
        using var process = QemuProcess.Open(_host.PidOf(id), TimeProvider.System);
        process?.Signal(NativeMethods.SigKill);
        Assert.True(process is null || await process.WaitForExitAsync(QemuTestHost.Patience, CancellationToken.None));
    }

    private async Task<DiskReplacement> FreezeAsync(ILiveDisks live, DomainId domain, DomainDisk disk)
    {
        var id = DiskId.New();
        var overlay = new DiskReplacement(disk, disk with { Id = id, Layers = [await _images.CreateOverlayAsync(disk.Layers[0], id, Token), .. disk.Layers] });
        await live.OverlayAsync(domain, [overlay], cancellationToken: Token);
        return overlay;
    }

    private sealed class FirstReport(Action act) : IProgress<ByteProgress>
    {
        private int _told;

        public void Report(ByteProgress value)
        {
            if (Interlocked.Exchange(ref _told, 1) == 0)
            {
                act();
            }
        }
    }

    private sealed class LastReport : IProgress<ByteProgress>
    {
        public ByteProgress Last { get; private set; }

        public void Report(ByteProgress value) => Last = value;
    }
}
