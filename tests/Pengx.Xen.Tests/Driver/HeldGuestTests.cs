using System.Globalization;

namespace Pengx.Xen.Tests;

/// <summary>Merges of a guest's own layer where xl, the service or the guest's driver does not do its part in time. What the disks of real guests hold
/// afterwards: <see cref="LiveDisksTests"/>.</summary>
public sealed class HeldGuestTests : XenDriverTest
{
    private FakeBlocks? _blocks;

    [Fact]
    public async Task What_is_so_already_is_given_whatever_stands_before_the_disk()
    {
        var disk = Disk(0);
        var (_, live, id) = await RunOnAsync(disk);
        _blocks!.IsEmulated = true;
        await live.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop);
        await Assert.ThrowsAsync<WrongStateException>(() => live.OverlayAsync(id, [new(disk, Overlaid(disk))], cancellationToken: Stop));
    }

    [Fact]
    public async Task A_merge_waits_for_a_guest_that_has_just_rebooted_to_leave_its_emulated_drive()
    {
        var disk = Disk(0);
        var (driver, live, id) = await RunOnAsync(Overlaid(disk));
        _blocks!.IsEmulated = true;
        var merge = live.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop);
        await EventuallyAsync(() => _blocks.Looks > 1 || merge.IsCompleted, "it looks again");
        Assert.Null(_blocks.Job);
        _blocks.IsEmulated = false;
        await merge;
        Assert.True(_blocks.StoodStill);
        Assert.Equal(disk, (await driver.Domains.FindDefinitionAsync(id, Stop))?.Disks[0]);
    }

    [Fact]
    public async Task A_merge_of_a_disk_that_stays_behind_its_emulated_drive_is_refused()
    {
        var disk = Disk(0);
        var (_, live, id) = await RunOnAsync(Overlaid(disk), options => options.DeviceTimeout = TimeSpan.FromSeconds(2));
        _blocks!.IsEmulated = true;
        var refused = await Assert.ThrowsAsync<WrongStateException>(() => live.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop));
        Assert.Contains("emulated drive", refused.Message, StringComparison.Ordinal);
        Assert.Null(_blocks.Job);
    }

    [Fact]
    public async Task An_unpause_that_hangs_once_is_tried_again()
    {
        var disk = Disk(0);
        var (driver, live, id) = await RunOnAsync(Overlaid(disk));
        var hangs = 1;
        Xen.Before = (call, _) => call[0] == "unpause" && hangs-- > 0 ? throw Hung() : Task.CompletedTask;
        await live.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop);
        Assert.False(Xen.Get(id).IsPaused);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.False(File.Exists(RecordOf(id)));
    }

    [Fact]
    public async Task A_guest_that_xl_does_not_let_go_on_is_held_until_it_does()
    {
        var disk = Disk(0);
        var (driver, live, id) = await RunOnAsync(Overlaid(disk));
        var isHung = true;
        Xen.Before = (call, _) => call[0] == "unpause" && isHung ? throw Hung() : Task.CompletedTask;
        var failed = await Assert.ThrowsAsync<HypervisorException>(() => live.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop));
        Assert.Contains("stands still", failed.Message, StringComparison.Ordinal);
        Assert.True(Xen.Get(id).IsPaused);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));

        // Who asks again finds nothing left to do, and takes nothing from the guest's way back.
        await live.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop);
        Assert.True(Xen.Get(id).IsPaused);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));

        isHung = false;
        await EventuallyAsync(() => !Xen.Get(id).IsPaused && !File.Exists(RecordOf(id)), "the guest goes on");
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.Single(Xen.CallsOf("pause"));
        Assert.Equal(disk, (await driver.Domains.FindDefinitionAsync(id, Stop))?.Disks[0]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_guest_that_does_not_stand_still_although_it_is_noted_changes_over_only_when_it_does(bool canBePaused)
    {
        var disk = Disk(0);
        var (driver, live, id) = await RunOnAsync(Overlaid(disk));
        var isDead = false;
        Xen.Before = (call, _) =>
        {
            isDead |= call[0] == "pause";
            return isDead ? throw new DeadServiceException() : Task.CompletedTask;
        };
        await Assert.ThrowsAsync<DeadServiceException>(() => live.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop));
        await driver.DisposeAsync();
        Assert.False(Xen.Get(id).IsPaused);
        Assert.True(File.Exists(RecordOf(id)));
        Xen.Before = null;

        Xen.Guests.CanBePaused = canBePaused;
        var second = await StartDriverAsync();
        Assert.True(second.TryGetFeature<ILiveDisks>(out var again));
        if (canBePaused)
        {
            Assert.True(_blocks!.StoodStill);
            Assert.Equal(disk, (await second.Domains.FindDefinitionAsync(id, Stop))?.Disks[0]);
        }
        else
        {
            // It stays on its overlay, and the merge waits for whoever asks for it.
            Assert.Null(_blocks!.StoodStill);
            Assert.NotNull(_blocks.Job);
            Xen.Guests.CanBePaused = true;
            await again.CommitAsync(id, new(Overlaid(disk), disk), cancellationToken: Stop);
            Assert.True(_blocks.StoodStill);
        }

        Assert.False(Xen.Get(id).IsPaused);
        Assert.Equal(VmState.Running, await StateAsync(second, id));
        Assert.False(File.Exists(RecordOf(id)));
    }

    private static ProcessFailedException Hung() => ProcessFailedException.TimedOut(new() { FileName = "xl", Arguments = ["unpause"] }, "");

    private static DomainDisk Overlaid(DomainDisk disk)
    {
        var path = Path.ChangeExtension(disk.Layers[0].Location.ToString()!, ".qcow2");
        File.WriteAllBytes(path, []);
        return disk with { Layers = [new(new FileLocation(path), DiskFormat.Qcow2), .. disk.Layers] };
    }

    private string RecordOf(DomainId id) => Path.Combine(Folder.At("run"), string.Create(CultureInfo.InvariantCulture, $"{id}.json"));

    private async Task<(XenHypervisorDriver Driver, ILiveDisks Live, DomainId Id)> RunOnAsync(DomainDisk disk, Action<XenOptions>? configure = null)
    {
        _blocks = new(disk);
        Xen.Guests.HasQemu = true;
        Xen.Guests.Blocks = _blocks;
        Open(_blocks);
        var driver = await StartDriverAsync(configure);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        return (driver, live, await RunAsync(driver, Define() with { Disks = [disk] }));
    }

    private sealed class DeadServiceException : Exception;
}
