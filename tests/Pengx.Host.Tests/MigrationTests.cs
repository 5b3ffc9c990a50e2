using System.Globalization;
using System.Net;
using System.Text.Json;
using Pengx.Qemu.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>Two services with a database in common, as on two physical machines, and an ssh between them: a real guest moves.</summary>
public sealed class MigrationTests
{
    /// <summary>How often a service is killed during a move; more than the usual 2 take long.</summary>
    private const string RoundsVariable = "PENGX_MIGRATION_ROUNDS";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_running_guest_moves_and_whichever_service_dies_runs_on_one_side()
    {
        await using var pair = await HostPair.StartAsync();
        var (guests, here, there, pm1, pm2) = (pair.Guests, pair.Guests.Host, pair.There, pair.Pm1, pair.Pm2);
        var vm = await guests.AddAsync("mover");
        await here.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");

        // Refused before anything is done; then everything that stood in the way is gone.
        var refused = await here.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", To(pm2), HttpStatusCode.BadRequest);
        Assert.Contains("not shared", refused, StringComparison.Ordinal);
        await here.ChangeAsync(HttpMethod.Put, $"/storlinks/{guests.Storlink}/", "<storlink><shared>True</shared></storlink>", HttpStatusCode.NoContent);
        await there.StopAsync();
        refused = await here.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", To(pm2), HttpStatusCode.BadRequest);
        Assert.Contains("Host pm2 does not answer", refused, StringComparison.Ordinal);
        await there.StartAsync();
        List<string> consoles = [];

        // There, without a death; the name is still this machine's, and its row says where it is.
        await here.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", To(pm2), HttpStatusCode.OK);
        await AssertAtAsync(there, here, pm2);
        consoles.Add(Serial(here, vm));
        await CountsPastAsync(there, GuestNumbers.Last(consoles[^1]));

        // Back, and the service that it leaves is killed somewhere on the way; the move then ends one way or the other.
        var random = new Random(20261126);
        var (at, other) = (there, here);
        var rounds = int.TryParse(Environment.GetEnvironmentVariable(RoundsVariable), NumberStyles.None, CultureInfo.InvariantCulture, out var more) ? more : 2;
        for (var round = 0; round < rounds; round++)
        {
            var target = at == here ? pm2 : pm1;
            var (status, body, _) = await at.SendAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", To(target), ("Prefer", "respond-async"));
            Assert.True(status == HttpStatusCode.Accepted, body);

            // The moment is random on purpose: it is what the test varies, not what it waits for.
            var victim = round % 2 == 0 ? at : other;
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(300, 6000)), TimeProvider.System, Token);
            await victim.KillAsync();
            await victim.StartAsync();
            await ServedMachines.EventuallyAsync(
                async () => (await here.GetXmlAsync("/operations/")).Elements().All(operation => operation.Element("state")!.Value is not ("PENDING" or "RUNNING")),
                $"the move ends after the restart:\n{at.Log}\n{other.Log}",
                120);
            await ServedMachines.EventuallyAsync(() => Task.FromResult(here.GuestProcesses().Count + there.GuestProcesses().Count == 1), "exactly one side has the guest");
            if (other.GuestProcesses().Count == 1)
            {
                consoles.Add(Serial(at, vm));
                (at, other) = (other, at);
            }

            await AssertAtAsync(at, other, at == here ? pm1 : pm2);
            await CountsPastAsync(at, GuestNumbers.Last(consoles[^1]));
        }

        // It never ran twice, and never was started again: the numbers go on, each once, over all consoles.
        GuestNumbers.AssertOneGuest([.. consoles, Serial(at, vm)]);
        await at.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        var last = GuestNumbers.Last(Serial(at, vm));
        var disk = (await at.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").ElementAt(1);
        Assert.True(await ShownDisks.CounterAsync(disk, guests.Store) >= last);
        await at.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await guests.AssertWholeAsync();

        async Task AssertAtAsync(HostProcess runs, HostProcess not, string pm)
        {
            var machine = await runs.GetXmlAsync($"/vms/{vm}/");
            Assert.Equal((pm, "RUNNING"), (machine.Element("pm")!.Attribute("id")!.Value, machine.Element("status")!.Value));
            Assert.Single(runs.GuestProcesses());
            Assert.Empty(not.GuestProcesses());
        }

        Task CountsPastAsync(HostProcess host, long number) => ServedMachines.EventuallyAsync(
            () => Task.FromResult(GuestNumbers.Last(Serial(host, vm)) > number), $"the guest counts past {number}");
    }

    /// <summary>What QEMU notes of a guest's writes moves with it: a backup made after a move holds all that the guest flushed on either side.</summary>
    [Fact]
    public async Task A_guest_that_moves_is_backed_up_incrementally_on_both_sides()
    {
        var folder = Directory.CreateTempSubdirectory("pengx-vault-").FullName;
        await using var pair = await HostPair.StartAsync();
        var (guests, here, there) = (pair.Guests, pair.Guests.Host, pair.There);
        var vault = await here.AddStorlinkAsync(folder, "vault");
        foreach (var link in (string[])[guests.Storlink, vault])
        {
            await here.ChangeAsync(HttpMethod.Put, $"/storlinks/{link}/", "<storlink><shared>True</shared></storlink>", HttpStatusCode.NoContent);
        }

        var vm = await guests.AddAsync("mover", format: "qcow2");
        await here.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(vm, "PENGX-GUEST flushed 3");
        await BackUpAsync(here, "full");
        await here.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", To(pair.Pm2), HttpStatusCode.OK);
        await BackUpAsync(there, "incremental");
        await BackUpAsync(there, "incremental");
        await there.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", To(pair.Pm1), HttpStatusCode.OK);
        var (backup, held) = await BackUpAsync(here, "incremental");

        await here.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        await here.ChangeAsync(HttpMethod.Post, backup, null, HttpStatusCode.Created);
        var disk = (await here.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").ElementAt(1);
        Assert.Equal(held, await ShownDisks.CounterAsync(disk, guests.Store));
        await guests.AssertWholeAsync();
        Directory.Delete(folder, recursive: true);

        async Task<(string Path, long Held)> BackUpAsync(HostProcess host, string type)
        {
            var before = GuestNumbers.Last(Serial(host, vm));
            await ServedMachines.EventuallyAsync(() => Task.FromResult(GuestNumbers.Last(Serial(host, vm)) > before + 2), "the guest writes on");
            before = GuestNumbers.Last(Serial(host, vm));
            var path = await host.ChangeAsync(
                HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><backup_name>{Guid.NewGuid():N}</backup_name><storlink>{vault}</storlink><type>incremental</type></vm>", HttpStatusCode.OK);
            var after = GuestNumbers.Last(Serial(host, vm));
            var id = path.Split('/')[4];
            using var description = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(folder, $"{id}.backup.json"), Token));
            Assert.True(description.RootElement.GetProperty("type").GetString() == type, description.RootElement.ToString());
            var disk = (await host.GetXmlAsync($"/vms/{vm}/disks/backups/{id}/")).Elements("disk").ElementAt(1);
            var held = await ShownDisks.CounterAsync(disk, folder);

            // A record may be on the disk before its line is on the console.
            Assert.InRange(held, before, after + 1);
            return (path, held);
        }
    }

    private static string To(string pm) => $"<vm><pm_id>{pm}</pm_id></vm>";

    private static string Serial(HostProcess host, string vm)
    {
        var path = Path.Combine(host.DataDirectory, "qemu", vm, "serial.log");
        if (!File.Exists(path))
        {
            return "";
        }

        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    /// <summary>The two services.</summary>
    private sealed class HostPair : IAsyncDisposable
    {
        private readonly SshServer _ssh;
        private readonly string _sockets;

        private HostPair(SshServer ssh, string sockets, RealGuests guests, HostProcess there, string pm1, string pm2)
        {
            _ssh = ssh;
            _sockets = sockets;
            (Guests, There, Pm1, Pm2) = (guests, there, pm1, pm2);
        }

        /// <summary>The guests of the first.</summary>
        public RealGuests Guests { get; }

        /// <summary>The second.</summary>
        public HostProcess There { get; }

        public string Pm1 { get; }

        public string Pm2 { get; }

        public static async Task<HostPair> StartAsync()
        {
            var ssh = await SshServer.StartAsync();
            var sockets = Directory.CreateTempSubdirectory("pengx-moves-").FullName;
            var guests = await RealGuests.StartAsync(Arguments("pm1", "pm2"));
            var there = await HostProcess.StartAsync(
                "qemu", [$"--ConnectionStrings:Pengx=Data Source={Path.Combine(guests.Host.DataDirectory, "pengx.db")}", .. Arguments("pm2", "pm1")]);
            return new(ssh, sockets, guests, there, (await guests.Host.GetXmlAsync("/pms/")).Attribute("id")!.Value, (await there.GetXmlAsync("/pms/")).Attribute("id")!.Value);

            string[] Arguments(string own, string other) =>
            [
                $"--Pengx:Pm:Name={own}", "--Pengx:Qemu:MigrationMiBPerSecond=24",
                $"--Pengx:Qemu:MigrationSocket={Path.Combine(sockets, own)}", $"--Pengx:Qemu:PeerMigrationSocket={Path.Combine(sockets, other)}",
                .. ssh.ClientOptions.Select((option, index) => $"--Pengx:Qemu:SshOptions:{index}={option}"),
            ];
        }

        public async ValueTask DisposeAsync()
        {
            await There.DisposeAsync();
            await Guests.DisposeAsync();
            await _ssh.DisposeAsync();
            Directory.Delete(_sockets, recursive: true);
        }
    }
}
