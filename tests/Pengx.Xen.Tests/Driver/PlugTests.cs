using System.Globalization;

namespace Pengx.Xen.Tests;

/// <summary>Disks and interfaces of a running guest: xl says 0 for much that did not come about.</summary>
public sealed class PlugTests : XenDriverTest
{
    [Fact]
    public async Task Interface_whose_hotplug_script_fails_is_an_error_although_xl_says_0_and_is_taken_away_again()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Xen.HotplugError = "Could not find bridge device lo";
        var nic = new DomainNic { Mac = MacAddress.NewXen(), Switch = FakeXen.Bridge };
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugNicAsync(id, nic, Stop));
        Assert.Contains("Could not find bridge device lo", error.Message, StringComparison.Ordinal);
        Assert.Contains(Xen.CallsOf("network-detach"), call => call.SequenceEqual(["network-detach", Number(Xen.Get(id).Number), nic.Mac.ToString()]));
        Assert.Null(Store.Read($"{Xen.Get(id).Record}/device/vif/1/mac"));
    }

    [Fact]
    public async Task Interface_that_is_not_there_afterwards_is_an_error_although_xl_says_0()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Xen.DropsNics = true;
        var nic = new DomainNic { Mac = MacAddress.NewXen(), Switch = FakeXen.Bridge };
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugNicAsync(id, nic, Stop));
        Assert.Contains(nic.Mac.ToString(), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Interface_that_the_guest_does_not_take_up_is_an_error_and_taken_away_again()
    {
        var driver = await StartDriverAsync(options => options.DeviceTimeout = TimeSpan.FromSeconds(6));
        var id = await RunAsync(driver, Define());
        Xen.Guests.ConnectsDevices = false;
        var nic = new DomainNic { Mac = MacAddress.NewXen(), Switch = FakeXen.Bridge };
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugNicAsync(id, nic, Stop));
        Assert.Contains("state 2", error.Message, StringComparison.Ordinal);
        Assert.Null(Store.Read($"{Xen.Get(id).Record}/device/vif/1/mac"));
    }

    [Fact]
    public async Task Missing_switch_is_told_before_xl_plugs_the_interface_into_nothing()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var nic = new DomainNic { Mac = MacAddress.NewXen(), Switch = "nobridge9" };
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugNicAsync(id, nic, Stop));
        Assert.Contains("nobridge9", error.Message, StringComparison.Ordinal);
        Assert.Empty(Xen.CallsOf("network-attach"));
    }

    [Fact]
    public async Task Interface_is_given_to_xl_one_key_in_each_argument()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var nic = new DomainNic { Mac = MacAddress.NewXen(), Switch = FakeXen.Bridge };
        await driver.Devices().PlugNicAsync(id, nic, Stop);
        Assert.Equal(["network-attach", Number(Xen.Get(id).Number), $"mac={nic.Mac}", $"bridge={FakeXen.Bridge}"], Assert.Single(Xen.CallsOf("network-attach")));
        Assert.Equal(FakeXen.Bridge, Store.Read($"{Xen.Get(id).Record}/device/vif/1/bridge"));

        Xen.Guests.LetsDevicesGo = false;
        var stuck = await StartDriverAgainAsync(driver);
        var error = await Assert.ThrowsAsync<HypervisorException>(() => stuck.Devices().UnplugNicAsync(id, nic.Mac, Stop));
        Assert.Contains("keeps it", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Disk_that_the_guest_does_not_take_up_is_an_error_and_taken_away_again()
    {
        var driver = await StartDriverAsync(options => options.DeviceTimeout = TimeSpan.FromSeconds(6));
        var id = await RunAsync(driver, Define());
        Xen.Guests.ConnectsDevices = false;
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugDiskAsync(id, Disk(1), Stop));
        Assert.Contains("xvdb", error.Message, StringComparison.Ordinal);
        Assert.Equal("--force", Assert.Single(Xen.CallsOf("block-detach"))[1]);
        Assert.Equal(["xvda", "hdc"], Disks(id));
    }

    [Fact]
    public async Task Disk_of_a_paused_guest_is_not_waited_for()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        await driver.Domains.PauseAsync(id, Stop);
        Xen.Guests.ConnectsDevices = false;
        await driver.Devices().PlugDiskAsync(id, Disk(1), Stop);
        Assert.Equal(["xvda", "hdc", "xvdb"], Disks(id));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Disk_that_the_guest_does_not_let_go_is_an_error_and_stays(bool isTold)
    {
        var driver = await StartDriverAsync(options => options.DeviceTimeout = TimeSpan.FromSeconds(6));
        var id = await RunAsync(driver, Define());
        var disk = Disk(1);
        await driver.Devices().PlugDiskAsync(id, disk, Stop);
        Xen.Guests.LetsDevicesGo = false;
        Xen.Guests.IsRefusalTold = isTold;
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().UnplugDiskAsync(id, disk.Id, Stop));
        Assert.Contains(isTold ? "libxl_device_disk_safe_remove failed" : "keeps the disk", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Xen.CallsOf("block-detach"), call => call.Contains("--force"));
        Assert.Equal(["xvda", "hdc", "xvdb"], Disks(id));

        Xen.Guests.LetsDevicesGo = true;
        await driver.Devices().UnplugDiskAsync(id, disk.Id, Stop);
        Assert.Equal(["xvda", "hdc"], Disks(id));
    }

    [Fact]
    public async Task Disk_is_found_by_our_mark_whatever_its_image_is_called()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var disk = Disk(1);
        File.Move(disk.Layers[0].Location.ToString()!, Folder.At("snapshot-7.raw"));
        disk = disk with { Layers = [new(new FileLocation(Folder.At("snapshot-7.raw")), DiskFormat.Raw)] };
        await driver.Devices().PlugDiskAsync(id, disk, Stop);
        await driver.Devices().UnplugDiskAsync(id, disk.Id, Stop);
        Assert.Equal(["xvda", "hdc"], Disks(id));
    }

    [Fact]
    public async Task Disk_without_our_mark_is_found_by_its_definition()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        var second = Disk(1);
        File.Move(second.Layers[0].Location.ToString()!, Folder.At("overlay.raw"));
        second = second with { Layers = [new(new FileLocation(Folder.At("overlay.raw")), DiskFormat.Raw)] };
        var id = await RunAsync(driver, definition with { Disks = [definition.Disks[0], second] });
        await driver.Devices().UnplugDiskAsync(id, second.Id, Stop);
        Assert.Equal(["xvda", "hdc"], Disks(id));
    }

    [Fact]
    public async Task Disk_that_is_in_no_definition_and_has_no_mark_is_found_by_its_image()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var disk = Disk(1);
        await driver.Devices().PlugDiskAsync(id, disk, Stop);
        Store.Remove($"{Xen.Get(id).Record}/device/vbd/51728/pengx-disk");
        await driver.Devices().UnplugDiskAsync(id, DiskId.New(), Stop);
        Assert.Equal(["xvda", "hdc", "xvdb"], Disks(id));
        await driver.Devices().UnplugDiskAsync(id, disk.Id, Stop);
        Assert.Equal(["xvda", "hdc"], Disks(id));
    }

    [Fact]
    public async Task Mark_of_another_disk_outweighs_the_definition()
    {
        // The definition says xvdb is this disk, and what is there was noted as another: it is not taken away in its place.
        var driver = await StartDriverAsync();
        var definition = Define();
        var id = await RunAsync(driver, definition);
        var (there, wanted) = (Disk(1), Disk(1));
        await driver.Devices().PlugDiskAsync(id, there, Stop);
        await driver.Domains.DefineAsync(definition with { Disks = [definition.Disks[0], wanted] }, Stop);
        await driver.Devices().UnplugDiskAsync(id, wanted.Id, Stop);
        Assert.Equal(["xvda", "hdc", "xvdb"], Disks(id));
    }

    [Fact]
    public async Task Occupied_device_is_told_with_what_is_there()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        var id = await RunAsync(driver, definition);
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugDiskAsync(id, Disk(0), Stop));
        Assert.Contains(definition.Disks[0].Layers[0].Location.ToString()!, error.Message, StringComparison.Ordinal);
        Assert.Contains("xvda", error.Message, StringComparison.Ordinal);
        Assert.Empty(Xen.CallsOf("block-attach"));
    }

    [Fact]
    public async Task Failed_attach_tells_xls_own_words()
    {
        var recorded = Recorded.Read("xl/063");
        Xen.Instead = call => call[0] == "block-attach" ? (recorded.ExitCode, recorded.Error) : null;
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugDiskAsync(id, Disk(1), Stop));
        Assert.Contains("device already exists in xenstore", error.Message, StringComparison.Ordinal);
    }

    private async Task<XenHypervisorDriver> StartDriverAgainAsync(XenHypervisorDriver driver)
    {
        await driver.DisposeAsync();
        return await StartDriverAsync(options => options.DeviceTimeout = TimeSpan.FromSeconds(6));
    }

    // xvda, hdc, xvdb.
    private static readonly int[] s_devices = [51712, 5632, 51728];

    private List<string> Disks(DomainId id)
    {
        var record = Xen.Get(id).Record;
        return [.. s_devices
            .Select(number => Store.Read(string.Create(CultureInfo.InvariantCulture, $"{record}/device/vbd/{number}/dev")))
            .OfType<string>()];
    }
}

/// <summary>Shorter ways to a driver's parts.</summary>
internal static class DriverParts
{
    public static IDeviceOperations Devices(this XenHypervisorDriver driver) => ((IHypervisorDriver)driver).Devices;
}
