using System.Net;
using System.Xml.Linq;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>Snapshots of real guests, over HTTP. The guest's counter is the judge: what it flushed before a snapshot is in it, and what
/// it said to have flushed is never lost.</summary>
public sealed class SnapshotTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_guest_goes_on_with_the_memory_that_was_kept_with_a_snapshot()
    {
        await using var guests = await RealGuests.StartAsync();
        var (host, vm) = (guests.Host, await guests.AddAsync("remembers"));
        string WithMemory(string name) => $"<snapshot><name>{name}</name><storlink>{guests.Storlink}</storlink><memory>true</memory></snapshot>";
        Assert.Contains("is SHUTDOWN", await host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/", WithMemory("early"), HttpStatusCode.BadRequest), StringComparison.Ordinal);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");
        var id = await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/", WithMemory("then"), HttpStatusCode.Created);
        id = id.Split('/', StringSplitOptions.RemoveEmptyEntries)[^1];
        Assert.Equal("True", (await host.GetXmlAsync($"/vms/{vm}/snapshots/{id}/")).Element("memory")?.Value);
        await guests.GoesOnAsync(vm);
        await AssertConsistentAsync(host);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        var then = await NewestAsync(guests, $"/vms/{vm}/disks/snapshots/{id}/");

        for (var round = 0; round < 2; round++)
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/snapshots/{id}/", null, HttpStatusCode.OK);
            await guests.GoesOnAsync(vm, then);
            var serial = guests.Serial(vm);
            Assert.DoesNotContain("PENGX-GUEST up", serial, StringComparison.Ordinal);
            Assert.True(serial.Contains($"PENGX-GUEST flushed {then + 1}\n", StringComparison.Ordinal) || serial.Contains($"PENGX-GUEST flushed {then + 1}\r", StringComparison.Ordinal), serial);
            await AssertConsistentAsync(host);
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        }

        // Restored, it boots.
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/{id}/", null, HttpStatusCode.Created);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, $"PENGX-GUEST counter resumes at {then}");
        foreach (var snapshot in (await host.GetXmlAsync($"/vms/{vm}/snapshots/")).Elements("snapshot"))
        {
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{snapshot.Attribute("id")!.Value}/", null, HttpStatusCode.NoContent);
        }

        await guests.GoesOnAsync(vm);
        await guests.AssertWholeAsync();
    }

    [Fact]
    public async Task A_running_guest_is_snapshot_merged_restored_and_started_again()
    {
        await using var guests = await RealGuests.StartAsync();
        var (host, vm) = (guests.Host, await guests.AddAsync("snap"));
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");

        var first = await TakeAsync(guests, vm, "first");
        var second = await TakeAsync(guests, vm, "second");
        var third = await TakeAsync(guests, vm, "third");
        var list = (await host.GetXmlAsync($"/vms/{vm}/snapshots/")).Elements("snapshot").ToList();
        Assert.Equal(["first", "second", "third"], list.Select(snapshot => snapshot.Element("name")!.Value));
        Assert.Equal(["", first.Id, second.Id], list.Select(snapshot => snapshot.Element("parent")!.Value));
        Assert.All(list, snapshot => Assert.Equal("S", snapshot.Element("type")!.Value));
        Assert.All((await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk"), disk => Assert.Equal(vm, disk.Element("vm")!.Attribute("id")!.Value));
        Assert.All((await host.GetXmlAsync($"/vms/{vm}/disks/snapshots/{first.Id}/")).Elements("disk"), disk => Assert.Equal(first.Id, disk.Element("snapshot")!.Attribute("id")!.Value));
        Assert.Contains("already taken", await host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/", Request("first", guests.Storlink), HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Assert.Contains("stop it first", await host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/{first.Id}/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        await AssertConsistentAsync(host);

        // The one in the middle goes while the guest writes.
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{second.Id}/", null, HttpStatusCode.NoContent);
        await guests.GoesOnAsync(vm);
        await AssertConsistentAsync(host);
        await host.RefusedAsync(HttpMethod.Get, $"/vms/{vm}/snapshots/{second.Id}/", null, HttpStatusCode.NotFound);
        Assert.Equal(["first", "third"], (await host.GetXmlAsync($"/vms/{vm}/snapshots/")).Elements("snapshot").Select(snapshot => snapshot.Element("name")!.Value));

        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        var flushed = RealGuests.LastFlushed(guests.Serial(vm));
        Assert.InRange(await NewestAsync(guests, $"/vms/{vm}/disks/"), flushed, long.MaxValue);
        await AssertConsistentAsync(host);

        // What was kept is of a moment while it was taken.
        foreach (var taken in (Taken[])[first, third])
        {
            Assert.InRange(await NewestAsync(guests, $"/vms/{vm}/disks/snapshots/{taken.Id}/"), taken.From, taken.To);
        }

        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/{first.Id}/", null, HttpStatusCode.Created);
        Assert.InRange(await NewestAsync(guests, $"/vms/{vm}/disks/"), first.From, first.To);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.GoesOnAsync(vm, first.From);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        flushed = RealGuests.LastFlushed(guests.Serial(vm));

        // What it wrote meanwhile is kept when it is started elsewhere in the tree.
        var (status, body, _) = await host.SendAsync(HttpMethod.Post, $"/vms/{vm}/start/snapshots/{third.Id}/");
        Assert.True(status == HttpStatusCode.OK, body);
        var kept = (await host.GetXmlAsync($"/vms/{vm}/snapshots/")).Elements("snapshot").Single(snapshot => snapshot.Element("name")!.Value.StartsWith("kept ", StringComparison.Ordinal));
        Assert.Contains(kept.Element("name")!.Value, body, StringComparison.Ordinal);
        Assert.Equal(first.Id, kept.Element("parent")!.Value);
        Assert.InRange(await NewestAsync(guests, $"/vms/{vm}/disks/snapshots/{kept.Attribute("id")!.Value}/"), flushed, long.MaxValue);
        await guests.GoesOnAsync(vm, third.From);
        await AssertConsistentAsync(host);

        // All go, the first of them with two upon it, while the guest writes.
        foreach (var id in (string[])[first.Id, kept.Attribute("id")!.Value, third.Id])
        {
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{id}/", null, HttpStatusCode.NoContent);
            await AssertConsistentAsync(host);
        }

        await guests.GoesOnAsync(vm);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        Assert.InRange(await NewestAsync(guests, $"/vms/{vm}/disks/"), RealGuests.LastFlushed(guests.Serial(vm)), long.MaxValue);
        await guests.AssertWholeAsync();
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await guests.AssertWholeAsync();
    }

    [Fact]
    public async Task Killed_within_a_snapshots_creation_and_deletion_the_service_ends_whole()
    {
        const int Rounds = 4;
        await using var guests = await RealGuests.StartAsync();
        var (host, vm) = (guests.Host, await guests.AddAsync("snap"));
        var random = new Random(20261125);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");
        for (var round = 0; round < Rounds; round++)
        {
            var name = $"s{round}";
            await KillWithinAsync(host, random, HttpMethod.Post, $"/vms/{vm}/snapshots/", Request(name, guests.Storlink));
            await guests.GoesOnAsync(vm);
            await AssertConsistentAsync(host);
            if ((await host.GetXmlAsync($"/vms/{vm}/snapshots/")).Elements("snapshot").All(snapshot => snapshot.Element("name")!.Value != name))
            {
                await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/", Request(name, guests.Storlink), HttpStatusCode.Created);
            }

            if (round % 2 == 0)
            {
                continue;
            }

            var oldest = (await host.GetXmlAsync($"/vms/{vm}/snapshots/")).Elements("snapshot").First().Attribute("id")!.Value;
            await KillWithinAsync(host, random, HttpMethod.Delete, $"/vms/{vm}/snapshots/{oldest}/", null);
            await guests.GoesOnAsync(vm);
            await AssertConsistentAsync(host);
        }

        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        Assert.InRange(await NewestAsync(guests, $"/vms/{vm}/disks/"), RealGuests.LastFlushed(guests.Serial(vm)), long.MaxValue);
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await guests.AssertWholeAsync();
    }

    [Fact]
    public async Task What_does_not_belong_is_reported_and_removed_on_request_alone()
    {
        Requires.Tool("qemu-img", "qemu");
        var store = Directory.CreateTempSubdirectory("pengx-store-").FullName;
        await using var host = await HostProcess.StartAsync("simulator");
        try
        {
            var storlink = await host.AddStorlinkAsync(store);
            var vm = await host.AddMachineAsync(storlink, "vm", rest: "<os_disk_size>8</os_disk_size><disk_format>qcow2</disk_format>");
            var snapshot = (await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/", Request("s", storlink), HttpStatusCode.Created)).Trim('/').Split('/')[^1];
            await AssertConsistentAsync(host);

            // An image of nobody's, and a current disk that suddenly stands alone.
            var orphan = Guid.NewGuid();
            await File.WriteAllBytesAsync(Path.Combine(store, $"{orphan}.raw"), new byte[4096], Token);
            var current = (await host.GetXmlAsync($"/vms/{vm}/disks/")).Element("disk")!.Attribute("id")!.Value;
            await QemuImgAsync("rebase", "-u", "-f", "qcow2", "-b", "", Path.Combine(store, $"{current}.qcow2"));
            var found = (await host.GetXmlAsync("/consistency/")).Elements("inconsistency").ToList();
            Assert.Equal(["VolumeWithoutDisk", "ChainDiffers"], found.Select(one => one.Element("kind")!.Value));
            Assert.Contains(orphan.ToString(), found[0].Element("subject")!.Value, StringComparison.Ordinal);
            Assert.Contains(current, found[1].Element("message")!.Value, StringComparison.Ordinal);
            Assert.Contains("nothing was changed", await host.RefusedAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{snapshot}/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);

            await host.ChangeAsync(HttpMethod.Delete, "/consistency/orphans/", null, HttpStatusCode.OK);
            Assert.False(File.Exists(Path.Combine(store, $"{orphan}.raw")));
            Assert.Equal("ChainDiffers", Assert.Single((await host.GetXmlAsync("/consistency/")).Elements("inconsistency")).Element("kind")!.Value);
            await host.StopAsync();
            await host.StartAsync();
            await ServedMachines.EventuallyAsync(() => Task.FromResult(host.Log.Contains("ChainDiffers storlink/", StringComparison.Ordinal)), "the log tells of it");
        }
        finally
        {
            Directory.Delete(store, recursive: true);
        }
    }

    [Fact]
    public async Task Logical_volumes_take_snapshots_as_files_do()
    {
        await using var lvm = await LvmTestHost.CreateAsync();
        await using var host = await HostProcess.StartAsync(
            "simulator",
            $"--Pengx:Lvm:Activation={lvm.Options.Activation}",
            $"--Pengx:Lvm:SystemDirectory={lvm.Options.SystemDirectory}",
            $"--Pengx:Lvm:LeaseDirectory={lvm.Options.LeaseDirectory}",
            $"--Pengx:Lvm:HostName={lvm.Options.HostName}");
        var storlink = await host.AddStorlinkAsync($"/dev/{lvm.Group}", "group", level: "BL");
        var vm = await host.AddMachineAsync(storlink, "vm");
        List<string> ids = [];
        foreach (var name in (string[])["s1", "s2", "s3"])
        {
            ids.Add((await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/", Request(name, storlink), HttpStatusCode.Created)).Trim('/').Split('/')[^1]);
        }

        await AssertConsistentAsync(host);
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{ids[1]}/", null, HttpStatusCode.NoContent);
        await AssertConsistentAsync(host);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/{ids[0]}/", null, HttpStatusCode.Created);
        await AssertConsistentAsync(host);
        foreach (var id in (string[])[ids[0], ids[2]])
        {
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/snapshots/{id}/", null, HttpStatusCode.NoContent);
            await AssertConsistentAsync(host);
        }

        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await AssertConsistentAsync(host);
        await host.ChangeAsync(HttpMethod.Delete, $"/storlinks/{storlink}/", null, HttpStatusCode.NoContent);
    }

    private static string Request(string name, string storlink) => $"<snapshot><name>{name}</name><storlink>{storlink}</storlink><desc>a test</desc></snapshot>";

    private static async Task<Taken> TakeAsync(RealGuests guests, string vm, string name)
    {
        await guests.GoesOnAsync(vm);
        var from = RealGuests.LastFlushed(guests.Serial(vm));
        var (status, body, response) = await guests.Host.SendAsync(HttpMethod.Post, $"/vms/{vm}/snapshots/", Request(name, guests.Storlink));
        Assert.True(status == HttpStatusCode.Created, $"{body}\n{guests.Host.Log}");

        // The newest that can be in it: one that was on its way to the disk while the last one was printed.
        var to = RealGuests.LastFlushed(guests.Serial(vm)) + 2;
        var answer = XElement.Parse(body);
        Assert.Equal(["name", "type", "parent", "date", "desc"], answer.Elements().Select(element => element.Name.LocalName));
        Assert.Equal($"/vms/{vm}/snapshots/{answer.Attribute("id")!.Value}/", response.Headers.Location!.OriginalString);
        await guests.GoesOnAsync(vm);
        return new(answer.Attribute("id")!.Value, from, to);
    }

    private static async Task KillWithinAsync(HostProcess host, Random random, HttpMethod method, string path, string? xml)
    {
        var pending = SendAsync();

        // The moment is random on purpose: it is what the test varies, not what it waits for.
        await Task.Delay(TimeSpan.FromMilliseconds(random.Next(5, 400)), TimeProvider.System, Token);
        await host.KillAsync();
        await pending;
        await host.StartAsync();
        await ServedMachines.EventuallyAsync(
            async () => (await host.GetXmlAsync("/operations/")).Elements().All(operation => operation.Element("state")!.Value is not ("PENDING" or "RUNNING")),
            "every operation ends after the restart");
        Assert.All((await host.GetXmlAsync("/operations/")).Elements(), operation => Assert.Equal("SUCCEEDED", operation.Element("state")!.Value));

        async Task SendAsync()
        {
            try
            {
                await host.SendAsync(method, path, xml);
            }
            catch (Exception exception) when (exception is HttpRequestException or IOException)
            {
                // The service died under the request, as it shall.
            }
        }
    }

    private static async Task AssertConsistentAsync(HostProcess host)
    {
        var found = (await host.GetXmlAsync("/consistency/")).Elements().ToList();
        Assert.True(found.Count == 0, $"{string.Join('\n', found)}\n{host.Log}");
    }

    /// <summary>The newest record on the second disk of a list.</summary>
    private static async Task<long> NewestAsync(RealGuests guests, string disks) =>
        await ShownDisks.CounterAsync((await guests.Host.GetXmlAsync(disks)).Elements("disk").ElementAt(1), guests.Store);

    private static async Task QemuImgAsync(params string[] arguments) =>
        (await new ProcessRunner().RunAsync(new() { FileName = "qemu-img", Arguments = arguments }, Token)).EnsureSuccess();

    private sealed record Taken(string Id, long From, long To);
}
