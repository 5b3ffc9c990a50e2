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
        await using var guests = await RealGuests.StartAsync(
            $"--Pengx:Lvm:Activation={lvm.Options.Activation}",
            $"--Pengx:Lvm:SystemDirectory={lvm.Options.SystemDirectory}",
            $"--Pengx:Lvm:LeaseDirectory={lvm.Options.LeaseDirectory}",
            $"--Pengx:Lvm:HostName={lvm.Options.HostName}");
        var storlink = await guests.Host.AddStorlinkAsync($"/dev/{lvm.Group}", "group", level: "BL");
        await CountsAsync(guests, storlink, new LvmStorage(_runner, lvm.Options), lvm.Storlink);
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
        Assert.NotEmpty(await host.AddStorlinkAsync(store.Directory));
        var group = await host.RefusedAsync(HttpMethod.Post, "/storlinks/create/", Storlink("/dev/vg", "LO", "BL"), HttpStatusCode.InternalServerError);
        Assert.Contains("no-such-lvm", group, StringComparison.Ordinal);
        var pool = await host.RefusedAsync(HttpMethod.Post, "/storlinks/create/", Storlink("pool", "CEP", "OB"), HttpStatusCode.BadRequest);
        Assert.Contains("/nonexistent/ceph.conf", pool, StringComparison.Ordinal);

        static string Storlink(string link, string type, string level) =>
            $"<storlink><name>{level}</name><link>{link}</link><type>{type}</type><level>{level}</level><shared>False</shared></storlink>";
    }

    /// <summary>Makes a machine from the template, lets it count on its second disk, cuts its power, and reads the disk.</summary>
    /// <param name="guests">The service.</param>
    /// <param name="storlink">The storage link to make it on, as the service knows it.</param>
    /// <param name="storage">A backend beside the service, which the disk is read through.</param>
    /// <param name="place">The storage link as that backend is told of it.</param>
    private async Task CountsAsync(RealGuests guests, string storlink, IStorageBackend storage, Storlink place)
    {
        var host = guests.Host;
        var vm = await guests.AddAsync("counts", storlink: storlink);
        DiskId[] disks = [.. (await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").Select(disk => DiskId.TryParse(disk.Attribute("id")!.Value, out var id) ? id : default)];
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
