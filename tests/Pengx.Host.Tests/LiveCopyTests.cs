using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Xml.Linq;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>Copies, backups and moves of a real guest that writes all the time. Its counter is the judge.</summary>
public sealed class LiveCopyTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_guest_that_writes_is_copied_backed_up_moved_and_restored()
    {
        await using var guests = await RealGuests.StartAsync();
        using var stores = new Stores();
        var host = guests.Host;
        var vault = await host.AddStorlinkAsync(stores.Vault, "vault");
        var target = await host.AddStorlinkAsync(stores.Target, "target");
        var vm = await guests.AddAsync("writes");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");
        var process = Assert.Single(host.GuestProcesses());

        // A copy shows one instant between the operation's start and its end.
        var copied = "";
        await BetweenAsync(async () => copied = await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/copy/", $"<vm><name>copied</name><storlink>{guests.Storlink}</storlink></vm>", HttpStatusCode.Created), () => CounterAsync($"{copied}disks/"));

        var backup = "";
        var backedUp = await BetweenAsync(
            async () => backup = await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><backup_name>nightly</backup_name><storlink>{vault}</storlink></vm>", HttpStatusCode.OK),
            () => CounterAsync($"/vms/{vm}/disks/backups/{backup.Split('/')[4]}/"));
        var template = "";
        await BetweenAsync(
            async () => template = await host.ChangeAsync(HttpMethod.Post, $"/templates/create/vms/{vm}/", $"<template><name>golden</name><storlink>{vault}</storlink></template>", HttpStatusCode.Created),
            () => CounterAsync($"{template}disks/"));

        // Moved while it writes: the same process goes on, on the target alone.
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/smigrate/", $"<vm><storlink>{target}</storlink></vm>", HttpStatusCode.Created);
        var moved = RealGuests.LastFlushed(guests.Serial(vm));
        await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > moved + 2), "the guest writes on after the move");
        Assert.Equal([process], host.GuestProcesses());
        var disks = (await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").ToList();
        Assert.All(disks, disk => Assert.Equal((target, "qcow2"), (disk.Element("storlink")!.Value, disk.Element("format")!.Value)));
        await AssertFilesAsync();

        // A guest that boots again finds what it flushed before the move.
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        var flushed = RealGuests.LastFlushed(guests.Serial(vm));
        AssertNeverBack(guests.Serial(vm));
        var newest = await CounterAsync($"/vms/{vm}/disks/");
        Assert.True(newest >= flushed, $"The guest printed {flushed}, its moved disk holds {newest}.");

        // A damaged backup is refused by its name; a whole one brings its moment back.
        var images = (await host.GetXmlAsync($"/vms/{vm}/disks/backups/{backup.Split('/')[4]}/")).Elements("disk").Select(ShownDisks.FileOf).ToList();
        var damaged = Path.Combine(stores.Vault, images[1]);
        var byteThere = Flip(damaged);
        Assert.Contains(images[1], await host.RefusedAsync(HttpMethod.Post, backup, null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Assert.Equal(newest, await CounterAsync($"/vms/{vm}/disks/"));
        Assert.NotEqual(byteThere, Flip(damaged));
        await host.ChangeAsync(HttpMethod.Post, backup, null, HttpStatusCode.Created);
        Assert.Equal(backedUp, await CounterAsync($"/vms/{vm}/disks/"));
        await AssertFilesAsync();
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, $"PENGX-GUEST flushed {backedUp + 1}");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);

        Assert.Contains("1 backup", await host.RefusedAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Assert.Contains("1 backup", await host.RefusedAsync(HttpMethod.Delete, $"/storlinks/{vault}/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        foreach (var gone in (string[])[backup, template, copied, $"/vms/{vm}/"])
        {
            await host.ChangeAsync(HttpMethod.Delete, gone, null, HttpStatusCode.NoContent);
        }

        Assert.Empty(Directory.GetFileSystemEntries(stores.Vault));
        Assert.Empty(Directory.GetFileSystemEntries(stores.Target));
        await guests.AssertWholeAsync();

        async Task<long> BetweenAsync(Func<Task> act, Func<Task<long>> read)
        {
            var before = RealGuests.LastFlushed(guests.Serial(vm));
            await act();
            var after = RealGuests.LastFlushed(guests.Serial(vm));
            var held = await read();

            // A record may be on the disk before its line is on the console.
            Assert.InRange(held, before, after + 1);
            await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > after), "the guest writes on");
            Assert.Equal([process], host.GuestProcesses());
            return held;
        }

        async Task<long> CounterAsync(string path) =>
            await ShownDisks.CounterAsync((await host.GetXmlAsync(path)).Elements("disk").ElementAt(1), guests.Store, stores.Vault, stores.Target);

        async Task AssertFilesAsync()
        {
            List<string> expected = [];
            foreach (var machine in (await host.GetXmlAsync("/vms/")).Elements("vm").Select(element => element.Attribute("id")!.Value))
            {
                expected.AddRange((await host.GetXmlAsync($"/vms/{machine}/disks/")).Elements("disk").Select(ShownDisks.FileOf));
                foreach (var id in (await host.GetXmlAsync($"/vms/{machine}/backups/")).Elements().Select(element => element.Attribute("id")!.Value))
                {
                    expected.Add($"{id}.backup.json");
                    expected.AddRange((await host.GetXmlAsync($"/vms/{machine}/disks/backups/{id}/")).Elements("disk").Select(ShownDisks.FileOf));
                }
            }

            foreach (var id in (await host.GetXmlAsync("/templates/")).Elements("template").Select(element => element.Attribute("id")!.Value))
            {
                expected.AddRange((await host.GetXmlAsync($"/templates/{id}/disks/")).Elements("disk").Select(ShownDisks.FileOf));
            }

            Assert.Equal(expected.Order(), new[] { guests.Store, stores.Vault, stores.Target }.SelectMany(Directory.GetFileSystemEntries).Select(path => Path.GetFileName(path)).Order());
        }
    }

    [Theory]
    [InlineData("copy", "copy disks", false)]
    [InlineData("copy", "copy disks", true)]
    [InlineData("smigrate", "move disks", false)]
    [InlineData("smigrate", "move disks", true)]
    public async Task Killed_in_the_middle_it_ends_whole_and_nothing_flushed_is_lost(string verb, string step, bool guestDies)
    {
        await using var guests = await RealGuests.StartAsync("--Pengx:Limits:CopyMiBPerSecond=2");
        using var stores = new Stores();
        var host = guests.Host;
        var target = await host.AddStorlinkAsync(stores.Target, "target");
        var vm = await guests.AddAsync("writes");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 2");
        var process = Assert.Single(host.GuestProcesses());
        var (status, _, response) = await host.SendAsync(HttpMethod.Post, $"/vms/{vm}/{verb}/", $"<vm><name>copied</name><storlink>{target}</storlink></vm>", ("Prefer", "respond-async"));
        Assert.Equal(HttpStatusCode.Accepted, status);
        var operation = response.Headers.Location!.OriginalString;
        XElement seen = new("none");
        await ServedMachines.EventuallyAsync(
            async () =>
            {
                seen = await host.GetXmlAsync(operation);
                Assert.True(seen.Element("state")!.Value is "PENDING" or "RUNNING", $"The operation ended before it was seen in '{step}': {seen}\n{host.Log}");
                return seen.Element("step")!.Value == step;
            },
            $"the operation is in the middle of '{step}'");
        await host.KillAsync();
        var flushed = RealGuests.LastFlushed(guests.Serial(vm));
        if (guestDies)
        {
            using var guest = Process.GetProcessById(process);
            guest.Kill();
            await guest.WaitForExitAsync(Token);
            flushed = RealGuests.LastFlushed(guests.Serial(vm));
        }
        else
        {
            await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > flushed + 2), "the guest writes on without the service");
        }

        await host.StartAsync();
        await ServedMachines.EventuallyAsync(async () => (seen = await host.GetXmlAsync(operation)).Element("state")!.Value is not ("PENDING" or "RUNNING"), "the operation ends after the restart", 120);
        Assert.Equal("SUCCEEDED", seen.Element("state")!.Value);
        if (!guestDies)
        {
            Assert.True(host.GuestProcesses() is [var still] && still == process, $"The guest did not survive; the service says:\n{host.Log}");
            var now = RealGuests.LastFlushed(guests.Serial(vm));
            await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > now + 1), "the guest writes on after the operation");
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
            flushed = RealGuests.LastFlushed(guests.Serial(vm));
        }

        AssertNeverBack(guests.Serial(vm));
        var disk = (await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").ElementAt(1);
        Assert.Equal(verb == "copy" ? guests.Storlink : target, disk.Element("storlink")!.Value);
        var newest = await ShownDisks.CounterAsync(disk, guests.Store, stores.Target);
        Assert.True(newest >= flushed, $"The guest printed {flushed}, its disk holds {newest}.");
        if (verb == "copy")
        {
            var copied = (await host.GetXmlAsync("/vms/")).Elements("vm").Single(element => element.Attribute("id")!.Value != vm).Attribute("id")!.Value;
            var held = await ShownDisks.CounterAsync((await host.GetXmlAsync($"/vms/{copied}/disks/")).Elements("disk").ElementAt(1), guests.Store, stores.Target);
            Assert.InRange(held, 2, newest);
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{copied}/", null, HttpStatusCode.NoContent);
        }

        // It starts on what it has, and goes on where it was.
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, $"PENGX-GUEST flushed {newest + 1}");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        Assert.Empty(Directory.GetFileSystemEntries(stores.Target));
        await guests.AssertWholeAsync();
    }

    /// <summary>The guest's counter, line by line, only ever went on.</summary>
    private static void AssertNeverBack(string serial)
    {
        const string Mark = "PENGX-GUEST flushed ";
        var numbers = serial.Split('\n').Where(line => line.StartsWith(Mark, StringComparison.Ordinal))
            .Select(line => long.Parse(line[Mark.Length..].Trim(), CultureInfo.InvariantCulture)).ToList();
        Assert.Equal(Enumerable.Range(0, numbers.Count).Select(index => numbers[0] + index), numbers);
    }

    /// <summary>Turns one byte of a file around, or back; returns what it was.</summary>
    private static int Flip(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        file.Position = file.Length / 2;
        var old = file.ReadByte();
        file.Position--;
        file.WriteByte((byte)~old);
        return old;
    }

    private sealed class Stores : IDisposable
    {
        public string Vault { get; } = Directory.CreateTempSubdirectory("pengx-vault-").FullName;

        public string Target { get; } = Directory.CreateTempSubdirectory("pengx-target-").FullName;

        public void Dispose()
        {
            Directory.Delete(Vault, recursive: true);
            Directory.Delete(Target, recursive: true);
        }
    }
}
