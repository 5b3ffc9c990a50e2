using System.Globalization;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>What becomes of changed disks when a real guest reboots by itself or lets them go: libxl does not learn of them by itself.</summary>
public sealed class LiveDisksTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>PVH: rebooted on its overlay, and on what took that in again; a disk with layers is unplugged and plugged in again.</summary>
    [Fact]
    public Task PVH_guest_reboots_on_the_disks_it_had() => RebootAsync(XlGuestKind.Pvh);

    /// <summary>PV does.</summary>
    [Fact]
    public Task PV_guest_reboots_on_the_disks_it_had() => RebootAsync(XlGuestKind.Pv);

    private static async Task RebootAsync(XlGuestKind kind)
    {
        await using var host = XenTestHost.Create(kind);
        await using var driver = host.CreateDriver();
        await driver.StartAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = await host.CreateBootableAsync();
        var id = definition.Id;
        var bottom = definition.Disks[1];
        await driver.Domains.DefineAsync(definition, Token);
        try
        {
            await driver.Domains.StartAsync(id, Token);
            await XenTestHost.FlushAnotherAsync(id);
            var overlay = await OverlayAsync(host, bottom);
            await live.OverlayAsync(id, [overlay], cancellationToken: Token);
            await ExpectNotesAsync(id, overlay.After);
            var before = await XenTestHost.FlushAnotherAsync(id);

            // On the overlay: what was flushed is beneath and in it, and the guest goes on from there.
            await RebootByItselfAsync(driver, id);
            Assert.True(await XenTestHost.FlushAnotherAsync(id) > before);
            Assert.Equal(overlay.After, (await live.ReadAsync(id, Token)).Single(disk => disk.Vdev == "xvdb"));

            // A disk with layers of its own comes and goes: QEMU keeps nothing of it that would be in the way of the next.
            var hot = await host.CreateDiskAsync("xvde");
            IHypervisorDriver port = driver;
            await port.Devices.PlugDiskAsync(id, hot, Token);
            var grown = await OverlayAsync(host, hot);
            await live.OverlayAsync(id, [grown], cancellationToken: Token);
            var alone = new DiskReplacement(grown.After, grown.After with { Layers = [grown.After.Layers[0]] });
            await live.StreamAsync(id, alone, cancellationToken: Token);
            await port.Devices.UnplugDiskAsync(id, grown.After.Id, Token);
            await port.Devices.PlugDiskAsync(id, hot, Token);
            var again = await OverlayAsync(host, hot);
            await live.OverlayAsync(id, [again], cancellationToken: Token);
            await port.Devices.UnplugDiskAsync(id, again.After.Id, Token);
            await port.Devices.PlugDiskAsync(id, hot, Token);
            await port.Devices.UnplugDiskAsync(id, hot.Id, Token);

            // Merged: on the disk beneath, whose overlay is gone.
            await live.CommitAsync(id, new(overlay.After, bottom), cancellationToken: Token);
            await ExpectNotesAsync(id, bottom);
            before = await XenTestHost.FlushAnotherAsync(id);
            File.Delete(overlay.After.Layers[0].Location.ToString()!);
            await RebootByItselfAsync(driver, id);
            var last = await XenTestHost.FlushAnotherAsync(id);
            Assert.True(last > before);
            await driver.Domains.DestroyAsync(id, Token);
            Assert.True(await host.Guests.ReadCounterAsync(bottom.Layers[0].Location.ToString()!) >= last);
        }
        finally
        {
            await driver.Domains.DestroyAsync(id, CancellationToken.None);
        }
    }

    private static async Task<DiskReplacement> OverlayAsync(XenTestHost host, DomainDisk disk)
    {
        var id = DiskId.New();
        return new(disk, disk with { Id = id, Layers = [await host.CreateOverlayAsync(disk.Layers[0], id), .. disk.Layers] });
    }

    private static async Task RebootByItselfAsync(XenHypervisorDriver driver, DomainId id)
    {
        var first = await XenTestHost.DomainOfAsync(id);
        await LabHost.OutputAsync("xl", "sysrq", first.ToString(CultureInfo.InvariantCulture), "b");
        await LabHost.UntilAsync("reboot", () => XlDomain.TryFindAsync(id.Value), found => found is { IsPaused: false } now && now.Domain != first);
        await LabHost.UntilAsync("running", () => driver.Domains.FindAsync(id, Token), found => found is { State: VmState.Running });
    }

    private static async Task ExpectNotesAsync(DomainId id, DomainDisk disk)
    {
        var domain = await XenTestHost.DomainOfAsync(id);
        var record = string.Create(CultureInfo.InvariantCulture, $"/libxl/{domain}/device/vbd/51728");
        var top = disk.Layers[0];
        var expected = $"{(top.Format == DiskFormat.Raw ? "aio" : "qcow2")}:{top.Location}";
        Assert.Equal(disk.Id.ToString(), (await LabHost.OutputAsync("xenstore-read", $"{record}/pengx-disk")).Trim());
        Assert.Equal(expected, (await LabHost.OutputAsync("xenstore-read", $"{record}/params")).Trim());
        var backend = (await LabHost.OutputAsync("xenstore-read", $"{record}/backend")).Trim();
        Assert.Equal(expected, (await LabHost.OutputAsync("xenstore-read", $"{backend}/params")).Trim());
    }
}
