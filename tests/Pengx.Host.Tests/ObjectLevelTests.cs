using System.Globalization;
using System.Net;
using System.Xml.Linq;
using Pengx.Storage;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>What rests on overlays, for a machine on a pool of a real Ceph cluster, run by QEMU. The guest's counter is the judge: what it
/// flushed before something was taken is in it, and what it said to have flushed is never lost.</summary>
public sealed class ObjectLevelTests(CephCluster cluster)
{
    private readonly ProcessRunner _runner = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_guest_on_a_pool_is_snapshot_copied_backed_up_restored_and_moved_while_it_runs()
    {
        await cluster.RequireAsync();
        await using var guests = await RealGuests.StartAsync(
            $"--Pengx:Ceph:ConfigurationFile={cluster.ConfigurationFile}",
            $"--Pengx:Ceph:User={CephCluster.User}",
            $"--Pengx:Ceph:Keyring={cluster.Keyring}");
        var host = guests.Host;
        using TemporaryStorlink files = new();
        var vault = await host.AddStorlinkAsync(files.Directory, "vault");
        var pool = await host.AddStorlinkAsync(CephCluster.StoragePool, "pool", "CEP", "OB");
        RbdStorage storage = new(_runner, cluster.Options(host.DataDirectory));
        var place = TemporaryStorlink.For(CephCluster.StoragePool, StorlinkType.Ceph, StorlinkLevel.Object);
        var vm = await guests.AddAsync("objects", storlink: pool);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");
        var process = Assert.Single(host.GuestProcesses());

        // Snapshots: one upon another, overlays in the pool upon raw images in the pool.
        var first = await TakeAsync("first");
        var second = await TakeAsync("second");
        Assert.Equal(6, await CountAsync());

        // A copy of one instant, and a backup of another; both read images that the guest has open.
        var (copy, copied) = await TakenAsync(() => host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/copy/", $"<vm><name>copied</name><storlink>{pool}</storlink></vm>", HttpStatusCode.Created));
        Assert.InRange(await NewestAsync($"{copy}disks/"), copied.From, copied.To);
        Assert.All((await host.GetXmlAsync($"{copy}disks/")).Elements("disk"), disk => Assert.Equal("raw", disk.Element("format")!.Value));
        await host.ChangeAsync(HttpMethod.Delete, copy, null, HttpStatusCode.NoContent);
        List<string> backups = [];
        foreach (var name in (string[])["full", "upon it"])
        {
            var (backup, backedUp) = await TakenAsync(() => host.ChangeAsync(
                HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><backup_name>{name}</backup_name><storlink>{vault}</storlink><type>incremental</type></vm>", HttpStatusCode.OK));
            Assert.InRange(await NewestAsync($"/vms/{vm}/disks/backups/{IdOf(backup)}/"), backedUp.From, backedUp.To);
            backups.Insert(0, IdOf(backup));
        }

        Assert.Contains("\"incremental\"", await File.ReadAllTextAsync(Path.Combine(files.Directory, $"{backups[0]}.backup.json"), Token), StringComparison.Ordinal);
        Assert.Equal(6, await CountAsync());

        // The first goes while the guest writes, which runs on what lies upon it.
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{first.Id}/", null, HttpStatusCode.NoContent);
        await guests.GoesOnAsync(vm);
        Assert.Equal([process], host.GuestProcesses());
        Assert.Equal(4, await CountAsync());
        await AssertConsistentAsync();

        // At rest: back to the second one.
        await PowerOffAsync();
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/{second.Id}/", null, HttpStatusCode.Created);
        Assert.InRange(await NewestAsync($"/vms/{vm}/disks/"), second.From, second.To);
        await StartAsync(second.From);

        // Moved to files and back while it writes. Its snapshot goes, and nothing is left in the pool.
        await MoveAsync(guests.Storlink);
        Assert.Equal(0, await CountAsync());
        await MoveAsync(pool);
        Assert.All((await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk"), disk => Assert.Equal("qcow2", disk.Element("format")!.Value));

        // A snapshot upon what was moved goes at rest, and the guest boots from the pool again.
        var third = await TakeAsync("third");
        await PowerOffAsync();
        await AssertConsistentAsync();
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{third.Id}/", null, HttpStatusCode.NoContent);
        Assert.Equal(2, await CountAsync());
        await StartAsync(RealGuests.LastFlushed(guests.Serial(vm)));
        await PowerOffAsync();

        // A backup of what changed, at rest: images in the pool are compared with those in the directory.
        backups.Insert(0, IdOf(await host.ChangeAsync(
            HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><backup_name>at rest</backup_name><storlink>{vault}</storlink><type>incremental</type></vm>", HttpStatusCode.OK)));
        Assert.Equal(await NewestAsync($"/vms/{vm}/disks/"), await NewestAsync($"/vms/{vm}/disks/backups/{backups[0]}/"));
        Assert.Contains(backups[1], await File.ReadAllTextAsync(Path.Combine(files.Directory, $"{backups[0]}.backup.json"), Token), StringComparison.Ordinal);
        foreach (var backup in backups)
        {
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/backups/{backup}/", null, HttpStatusCode.NoContent);
        }

        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await foreach (var left in storage.ListAsync(place, Token))
        {
            Assert.Fail($"{left} is left.");
        }

        Assert.Empty(Directory.GetFileSystemEntries(files.Directory));
        await guests.AssertWholeAsync();

        async Task<Taken> TakeAsync(string name)
        {
            var (path, taken) = await TakenAsync(() => host.ChangeAsync(
                HttpMethod.Post, $"/vms/{vm}/snapshots/", $"<snapshot><name>{name}</name><storlink>{pool}</storlink><desc>a test</desc></snapshot>", HttpStatusCode.Created));
            return taken with { Id = IdOf(path) };
        }

        // What is taken is of a moment while it is. A record may be on the disk before its line is on the console.
        async Task<(string Path, Taken Taken)> TakenAsync(Func<Task<string>> take)
        {
            var from = RealGuests.LastFlushed(guests.Serial(vm));
            var path = await take();
            var to = RealGuests.LastFlushed(guests.Serial(vm)) + 1;
            await guests.GoesOnAsync(vm);
            Assert.Equal([process], host.GuestProcesses());
            return (path, new("", from, to));
        }

        async Task MoveAsync(string target)
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/smigrate/", $"<vm><storlink>{target}</storlink></vm>", HttpStatusCode.Created);
            await guests.GoesOnAsync(vm);
            Assert.Equal([process], host.GuestProcesses());
            Assert.All((await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk"), disk => Assert.Equal(target, disk.Element("storlink")!.Value));
        }

        async Task StartAsync(long from)
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
            await guests.GoesOnAsync(vm, from);
            process = Assert.Single(host.GuestProcesses());
        }

        async Task PowerOffAsync()
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
            Assert.InRange(await NewestAsync($"/vms/{vm}/disks/"), RealGuests.LastFlushed(guests.Serial(vm)), long.MaxValue);
        }

        async Task AssertConsistentAsync() => Assert.Empty((await host.GetXmlAsync("/consistency/")).Elements("inconsistency").Select(found => found.ToString()));

        async Task<int> CountAsync() => await storage.ListAsync(place, Token).CountAsync(Token);

        // The newest record on the second of the disks that the API shows there.
        async Task<long> NewestAsync(string path)
        {
            var disk = (await host.GetXmlAsync(path)).Elements("disk").ElementAt(1);
            return disk.Element("storlink")!.Value == pool ? await ReadAsync(disk) : await ShownDisks.CounterAsync(disk, guests.Store, files.Directory);
        }

        async Task<long> ReadAsync(XElement disk)
        {
            Assert.True(DiskFormatNames.TryParse(disk.Element("format")!.Value, out var format));
            DiskLayer layer = new(await storage.AttachForMigrationAsync(place, new(Guid.Parse(disk.Attribute("id")!.Value)), format, Token), format);
            var raw = Path.Combine(host.DataDirectory, "counter.raw");
            await new ImageTool(_runner).ConvertAsync(layer, new(new FileLocation(raw), DiskFormat.Raw), direct: false, cancellationToken: Token);
            return await GuestCounter.ReadNewestAsync(raw, Token);
        }
    }

    private static string IdOf(string path) => path.Trim('/').Split('/')[^1];

    /// <summary>What was taken of a guest's disks, and between which of its records.</summary>
    private sealed record Taken(string Id, long From, long To);
}
