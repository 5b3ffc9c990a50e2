using System.Globalization;
using System.Net;
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
        await using var ssh = await SshServer.StartAsync();
        var sockets = Directory.CreateTempSubdirectory("pengx-moves-").FullName;
        string[] Arguments(string own, string other) =>
        [
            $"--Pengx:Pm:Name={own}", "--Pengx:Qemu:MigrationMiBPerSecond=24",
            $"--Pengx:Qemu:MigrationSocket={Path.Combine(sockets, own)}", $"--Pengx:Qemu:PeerMigrationSocket={Path.Combine(sockets, other)}",
            .. ssh.ClientOptions.Select((option, index) => $"--Pengx:Qemu:SshOptions:{index}={option}"),
        ];
        await using var guests = await RealGuests.StartAsync(Arguments("pm1", "pm2"));
        var here = guests.Host;
        await using var there = await HostProcess.StartAsync(
            "qemu", [$"--ConnectionStrings:Pengx=Data Source={Path.Combine(here.DataDirectory, "pengx.db")}", .. Arguments("pm2", "pm1")]);
        var (pm1, pm2) = ((await here.GetXmlAsync("/pms/")).Attribute("id")!.Value, (await there.GetXmlAsync("/pms/")).Attribute("id")!.Value);
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
        Directory.Delete(sockets, recursive: true);

        async Task AssertAtAsync(HostProcess runs, HostProcess not, string pm)
        {
            var machine = await runs.GetXmlAsync($"/vms/{vm}/");
            Assert.Equal((pm, "RUNNING"), (machine.Element("pm")!.Attribute("id")!.Value, machine.Element("status")!.Value));
            Assert.Single(runs.GuestProcesses());
            Assert.Empty(not.GuestProcesses());
        }

        Task CountsPastAsync(HostProcess host, long number) => ServedMachines.EventuallyAsync(
            () => Task.FromResult(GuestNumbers.Last(Serial(host, vm)) > number), $"the guest counts past {number}");

        static string To(string pm) => $"<vm><pm_id>{pm}</pm_id></vm>";
    }

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
}
