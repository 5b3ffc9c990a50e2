using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>Incremental backups of a real guest that writes all the time. Its counter is the judge.</summary>
public sealed class IncrementalBackupTests : IDisposable
{
    private readonly string _vault = Directory.CreateTempSubdirectory("pengx-vault-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_vault, recursive: true);

    [Fact]
    public async Task A_guest_that_writes_is_backed_up_incrementally_healed_after_a_kill_and_restored()
    {
        await using var guests = await RealGuests.StartAsync();
        var host = guests.Host;
        var vault = await host.AddStorlinkAsync(_vault, "vault");
        var vm = await guests.AddAsync("writes", format: "qcow2");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");

        // A full one, and what changed since, and what changed since that.
        var (first, _) = await BackUpAsync("first", full: "there is no earlier backup");
        var (second, secondHeld) = await BackUpAsync("second", full: null);
        var (third, _) = await BackUpAsync("third", full: null);
        var shown = await host.GetXmlAsync(third);
        Assert.Equal(("incremental", IdOf(second)), (shown.Element("type")!.Value, shown.Element("parent")!.Value));
        Assert.Null((await host.GetXmlAsync(first)).Element("type"));
        var files = await FilesAsync(third);
        Assert.All(files.Zip(await FilesAsync(first)), pair => Assert.InRange(new FileInfo(pair.First).Length, 1, Math.Max(new FileInfo(pair.Second).Length, 2 * 1024 * 1024)));

        // The whole folder, taken elsewhere, can be read without us.
        var elsewhere = Directory.CreateTempSubdirectory("pengx-elsewhere-").FullName;
        try
        {
            foreach (var file in Directory.GetFiles(_vault))
            {
                File.Copy(file, Path.Combine(elsewhere, Path.GetFileName(file)));
            }

            var moved = Path.Combine(elsewhere, Path.GetFileName((await FilesAsync(second))[1]));
            var info = await ToolAsync("qemu-img", "info", "--output=json", "-f", "qcow2", moved);
            using var told = JsonDocument.Parse(info);
            Assert.Equal(Path.GetFileName((await FilesAsync(first))[1]), told.RootElement.GetProperty("backing-filename").GetString());
            Assert.Equal("qcow2", told.RootElement.GetProperty("backing-filename-format").GetString());
            Assert.Equal(secondHeld, await ShownDisks.CounterAsync(moved, "qcow2"));
        }
        finally
        {
            Directory.Delete(elsewhere, recursive: true);
        }

        Assert.Contains("'second'", await host.RefusedAsync(HttpMethod.Delete, first, null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Assert.Contains("type 'some'", await host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><backup_name>x</backup_name><storlink>{vault}</storlink><type>some</type></vm>", HttpStatusCode.BadRequest), StringComparison.Ordinal);

        // QEMU is killed: what it noted is worthless. The next backup says so and is a full one; the one after it is incremental again.
        using (var guest = Process.GetProcessById(Assert.Single(host.GuestProcesses())))
        {
            guest.Kill();
            await guest.WaitForExitAsync(Token);
        }

        await ServedMachines.EventuallyAsync(async () => await host.StatusAsync(vm) is "CRASHED" or "SHUTDOWN", "the service notices the guest's end");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > secondHeld), "the guest writes on after the kill", 120);
        await BackUpAsync("healed", full: "since backup 'third' is worthless: it was not stored when QEMU or the host ended, and is inconsistent");
        var (last, lastHeld) = await BackUpAsync("last", full: null);

        // A service that is killed finds what QEMU notes again.
        await host.KillAsync();
        await host.StartAsync();
        var (after, afterHeld) = await BackUpAsync("after a restart", full: null);
        Assert.True(afterHeld > lastHeld);

        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);

        // Nothing notes what changes at rest: the disks are compared with the backup before, and no more than what differs is kept.
        var atRest = await AskAsync("at rest");
        var stopped = await CounterOfAsync($"/vms/{vm}/disks/", guests.Store);
        Assert.Equal(stopped, await ShownDisks.CounterAsync((await FilesAsync(atRest))[1], "qcow2"));
        Assert.True(stopped >= afterHeld);
        shown = await host.GetXmlAsync(atRest);
        Assert.Equal(("incremental", IdOf(after)), (shown.Element("type")!.Value, shown.Element("parent")!.Value));
        Assert.All((await FilesAsync(atRest)).Zip(await FilesAsync(first)), pair => Assert.InRange(new FileInfo(pair.First).Length, 1, Math.Max(new FileInfo(pair.Second).Length / 4, 2 * 1024 * 1024)));
        var damaged = (await FilesAsync(first))[1];
        Flip(damaged);
        Assert.Contains(Path.GetFileName(damaged), await host.RefusedAsync(HttpMethod.Post, second, null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Flip(damaged);
        await host.ChangeAsync(HttpMethod.Post, second, null, HttpStatusCode.Created);
        Assert.Equal(secondHeld, await CounterOfAsync($"/vms/{vm}/disks/", guests.Store));
        await host.ChangeAsync(HttpMethod.Post, atRest, null, HttpStatusCode.Created);
        Assert.Equal(stopped, await CounterOfAsync($"/vms/{vm}/disks/", guests.Store));
        await host.ChangeAsync(HttpMethod.Post, after, null, HttpStatusCode.Created);
        Assert.Equal(afterHeld, await CounterOfAsync($"/vms/{vm}/disks/", guests.Store));
        await host.ChangeAsync(HttpMethod.Post, last, null, HttpStatusCode.Created);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, $"PENGX-GUEST flushed {lastHeld + 1}");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        Assert.Empty((await host.GetXmlAsync("/consistency/")).Elements("inconsistency"));
        foreach (var backup in (await host.GetXmlAsync($"/vms/{vm}/backups/")).Elements().Reverse().Select(element => element.Attribute("id")!.Value).ToList())
        {
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/backups/{backup}/", null, HttpStatusCode.NoContent);
        }

        Assert.Empty(Directory.GetFileSystemEntries(_vault));

        async Task<(string Path, long Held)> BackUpAsync(string name, string? full)
        {
            var before = RealGuests.LastFlushed(guests.Serial(vm));
            await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(vm)) > before + 1), "the guest writes on");
            before = RealGuests.LastFlushed(guests.Serial(vm));
            var path = await AskAsync(name);
            var after = RealGuests.LastFlushed(guests.Serial(vm));
            using var description = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(_vault, $"{IdOf(path)}.backup.json"), Token));
            Assert.True(
                full is null ? description.RootElement.GetProperty("type").GetString() == "incremental" : description.RootElement.GetProperty("full_because").GetString()!.Contains(full, StringComparison.Ordinal),
                description.RootElement.ToString());
            var held = await ShownDisks.CounterAsync((await FilesAsync(path))[1], "qcow2");

            // A record may be on the disk before its line is on the console.
            Assert.InRange(held, before, after + 1);
            return (path, held);
        }

        Task<string> AskAsync(string name) => host.ChangeAsync(
            HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><backup_name>{name}</backup_name><storlink>{vault}</storlink><type>incremental</type></vm>", HttpStatusCode.OK);

        async Task<IReadOnlyList<string>> FilesAsync(string backup) =>
            [.. (await host.GetXmlAsync($"/vms/{vm}/disks/backups/{IdOf(backup)}/")).Elements("disk").Select(disk => ShownDisks.PathOf(disk, _vault))];

        async Task<long> CounterOfAsync(string disks, string directory) =>
            await ShownDisks.CounterAsync((await host.GetXmlAsync(disks)).Elements("disk").ElementAt(1), directory);
    }

    private static string IdOf(string backup) => backup.Split('/')[4];

    private static void Flip(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        file.Position = file.Length / 2;
        var old = file.ReadByte();
        file.Position--;
        file.WriteByte((byte)~old);
    }

    private static async Task<string> ToolAsync(string program, params string[] arguments) =>
        (await new ProcessRunner().RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess().Output;
}
