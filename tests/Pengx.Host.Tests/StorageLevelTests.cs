using System.Globalization;
using System.Net;
using Pengx.Storage;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>A machine made from a template on each level that a storage link can have, run by QEMU; what its guest flushed is there
/// after a power cut.</summary>
public sealed class StorageLevelTests(CephCluster cluster)
{
    private readonly ProcessRunner _runner = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task File_level_in_a_directory()
    {
        await using var guests = await RealGuests.StartAsync();
        using TemporaryStorlink store = new();
        var storlink = await guests.Host.AddStorlinkAsync(store.Directory, "directory");
        await CountsAsync(guests, storlink, new LocalStorage(_runner), store.Storlink);
    }

    [Fact]
    public async Task Block_level_in_a_volume_group()
    {
        await using var lvm = await LvmTestHost.CreateAsync();
        await using var guests = await RealGuests.StartAsync(Configuration(lvm));
        var storlink = await guests.Host.AddStorlinkAsync($"/dev/{lvm.Group}", "group", level: "BL");
        await CountsAsync(guests, storlink, new LvmStorage(_runner, lvm.Options), lvm.Storlink);
    }

    [Fact]
    public async Task What_a_volume_group_rounds_up_can_be_frozen_copied_and_moved()
    {
        await using var lvm = await LvmTestHost.CreateAsync();
        await using var host = await HostProcess.StartAsync("simulator", Configuration(lvm));
        using TemporaryStorlink store = new();
        var files = await host.AddStorlinkAsync(store.Directory, "files");
        var group = await host.AddStorlinkAsync($"/dev/{lvm.Group}", "group", level: "BL");

        // Extents are 4 MiB.
        var vm = await host.AddMachineAsync(group, "rounded", rest: "<os_disk_size>5</os_disk_size><disk_format>raw</disk_format>");
        var snapshot = await host.ChangeAsync(
            HttpMethod.Post, $"/vms/{vm}/snapshots/", $"<snapshot><name>s1</name><storlink>{group}</storlink><desc>a test</desc></snapshot>", HttpStatusCode.Created);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/copy/", $"<vm><name>copied</name><storlink>{files}</storlink></vm>", HttpStatusCode.Created);
        await host.ChangeAsync(HttpMethod.Delete, snapshot, null, HttpStatusCode.NoContent);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/smigrate/", $"<vm><storlink>{files}</storlink></vm>", HttpStatusCode.Created);
        Assert.Empty(await new LvmStorage(_runner, lvm.Options).ListAsync(lvm.Storlink, Token).ToListAsync(Token));
        foreach (var path in Directory.GetFiles(store.Directory))
        {
            Assert.Equal(DataSize.FromMiB(8), (await new ImageTool(_runner).InfoAsync(new(new FileLocation(path), DiskFormat.Qcow2), Token)).Size);
        }

        Assert.Equal(2, Directory.GetFiles(store.Directory).Length);
    }

    [Fact]
    public async Task A_guest_that_runs_moves_from_files_to_a_volume_group_and_back()
    {
        await using var lvm = await LvmTestHost.CreateAsync(megabytes: 2048);
        await using var guests = await RealGuests.StartAsync(Configuration(lvm));
        var host = guests.Host;
        var group = await host.AddStorlinkAsync($"/dev/{lvm.Group}", "group", level: "BL");
        LvmStorage storage = new(_runner, lvm.Options);
        var vm = await guests.AddAsync("moves");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");
        var process = Assert.Single(host.GuestProcesses());

        await MoveAsync(group);
        Assert.Equal(2, await CountAsync());
        var snapshot = await host.ChangeAsync(
            HttpMethod.Post, $"/vms/{vm}/snapshots/", $"<snapshot><name>s1</name><storlink>{group}</storlink><desc>a test</desc></snapshot>", HttpStatusCode.Created);
        await GoesOnAsync();
        var copy = await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/copy/", $"<vm><name>copied</name><storlink>{group}</storlink></vm>", HttpStatusCode.Created);
        await GoesOnAsync();
        await host.ChangeAsync(HttpMethod.Delete, snapshot, null, HttpStatusCode.NoContent);
        await GoesOnAsync();
        await host.ChangeAsync(HttpMethod.Delete, copy, null, HttpStatusCode.NoContent);
        Assert.Equal(2, await CountAsync());

        // It boots from the volumes, and what it flushed before is there.
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        var flushed = RealGuests.LastFlushed(guests.Serial(vm));
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > flushed), "the guest goes on where it was");
        process = Assert.Single(host.GuestProcesses());

        // Its memory lies in a volume, too.
        var remembers = await host.ChangeAsync(
            HttpMethod.Post, $"/vms/{vm}/snapshots/", $"<snapshot><name>s2</name><storlink>{group}</storlink><memory>true</memory></snapshot>", HttpStatusCode.Created);
        Assert.Equal(5, await CountAsync());
        await GoesOnAsync();
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start{remembers[$"/vms/{vm}".Length..]}", null, HttpStatusCode.OK);
        await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > flushed), "the guest goes on with its memory");
        Assert.DoesNotContain("PENGX-GUEST up", guests.Serial(vm), StringComparison.Ordinal);
        process = Assert.Single(host.GuestProcesses());

        await MoveAsync(guests.Storlink);
        Assert.Equal(0, await CountAsync());
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        flushed = RealGuests.LastFlushed(guests.Serial(vm));
        var newest = await ShownDisks.CounterAsync((await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").ElementAt(1), guests.Store);
        Assert.True(newest >= flushed, $"The guest printed {flushed}, its disk holds {newest}.");
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await guests.AssertWholeAsync();

        async Task MoveAsync(string target)
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/smigrate/", $"<vm><storlink>{target}</storlink></vm>", HttpStatusCode.Created);
            await GoesOnAsync();
            Assert.All((await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk"), disk => Assert.Equal(target, disk.Element("storlink")!.Value));
        }

        async Task GoesOnAsync()
        {
            await guests.GoesOnAsync(vm);
            Assert.Equal([process], host.GuestProcesses());
        }

        async Task<int> CountAsync() => await storage.ListAsync(lvm.Storlink, Token).CountAsync(Token);
    }

    [Fact]
    public async Task Object_level_in_a_pool_of_Ceph()
    {
        await cluster.RequireAsync();
        await using var guests = await RealGuests.StartAsync(
            $"--Pengx:Ceph:ConfigurationFile={cluster.ConfigurationFile}",
            $"--Pengx:Ceph:User={CephCluster.User}",
            $"--Pengx:Ceph:Keyring={cluster.Keyring}");
        var storlink = await guests.Host.AddStorlinkAsync(CephCluster.StoragePool, "pool", "CEP", "OB");
        await CountsAsync(
            guests,
            storlink,
            new RbdStorage(_runner, cluster.Options(guests.Host.DataDirectory)),
            TemporaryStorlink.For(CephCluster.StoragePool, StorlinkType.Ceph, StorlinkLevel.Object));
    }

    [Fact]
    public async Task A_level_whose_tools_are_not_there_is_refused_and_nothing_else_is()
    {
        await using var host = await HostProcess.StartAsync("simulator", "--Pengx:Lvm:Lvm=no-such-lvm", "--Pengx:Ceph:ConfigurationFile=/nonexistent/ceph.conf");
        using TemporaryStorlink store = new();
        var directory = await host.AddStorlinkAsync(store.Directory, "directory");
        Assert.NotEmpty(await host.AddMachineAsync(directory, "files"));

        // They can be recorded; what lies beneath is looked at when it is used.
        var group = await host.AddStorlinkAsync("/dev/vg", "group", level: "BL");
        Assert.Contains("no-such-lvm", await RefusedAsync(group), StringComparison.Ordinal);
        var pool = await host.AddStorlinkAsync("pool", "pool", "CEP", "OB");
        Assert.Contains("/nonexistent/ceph.conf", await RefusedAsync(pool), StringComparison.Ordinal);
        Assert.Equal(3, (await host.GetXmlAsync("/storlinks/")).Elements("storlink").Count());

        Task<string> RefusedAsync(string storlink) => host.RefusedAsync(
            HttpMethod.Post,
            "/vms/",
            $"<vm><name>on{storlink}</name><storlink>{storlink}</storlink><cpu_core>1</cpu_core><memory>128</memory><os_disk_size>8</os_disk_size><disk_format>raw</disk_format></vm>",
            HttpStatusCode.BadRequest);
    }

    private static string[] Configuration(LvmTestHost lvm) =>
    [
        $"--Pengx:Lvm:Activation={lvm.Options.Activation}",
        $"--Pengx:Lvm:SystemDirectory={lvm.Options.SystemDirectory}",
        $"--Pengx:Lvm:LeaseDirectory={lvm.Options.LeaseDirectory}",
        $"--Pengx:Lvm:HostName={lvm.Options.HostName}",
    ];

    /// <summary>Makes a machine from the template, lets it count on its second disk, cuts its power, and reads the disk.</summary>
    /// <param name="guests">The service.</param>
    /// <param name="storlink">The storage link to make it on, as the service knows it.</param>
    /// <param name="storage">A backend beside the service, which the disk is read through.</param>
    /// <param name="place">The storage link as that backend is told of it.</param>
    private async Task CountsAsync(RealGuests guests, string storlink, IStorageBackend storage, Storlink place)
    {
        var host = guests.Host;
        var vm = await guests.AddAsync("counts", storlink: storlink);
        DiskId[] disks = [.. (await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").Select(disk => new DiskId(Guid.Parse(disk.Attribute("id")!.Value)))];
        Assert.Equal(2, disks.Length);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        Assert.Empty(host.GuestProcesses());

        var flushed = RealGuests.LastFlushed(guests.Serial(vm));
        var copy = Path.Combine(host.DataDirectory, "counter.raw");
        DiskLayer counter = new(await storage.AttachAsync(place, disks[1], DiskFormat.Raw, Token), DiskFormat.Raw);
        await new ImageTool(_runner).ConvertAsync(counter, new(new FileLocation(copy), DiskFormat.Raw), direct: false, cancellationToken: Token);
        var newest = await GuestCounter.ReadNewestAsync(copy, Token);
        Assert.True(newest >= flushed, $"The guest printed {flushed}, its disk {counter.Location} holds {newest}.");

        // It goes on from there, and leaves nothing behind.
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, string.Create(CultureInfo.InvariantCulture, $"PENGX-GUEST flushed {newest + 1}"));
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await foreach (var left in storage.ListAsync(place, Token))
        {
            Assert.Fail($"{left} is left.");
        }

        await host.ChangeAsync(HttpMethod.Delete, $"/storlinks/{storlink}/", null, HttpStatusCode.NoContent);
    }
}
