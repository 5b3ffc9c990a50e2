using System.Collections.Concurrent;
using System.Net;
using System.Xml.Linq;

namespace Pengx.Host.Tests;

public sealed class LoadTests
{
    private const int Clients = 50;
    private const int Guests = 20;
    private const int RequestsEach = 12;

    /// <summary>50 clients on 20 machines with real QEMU beneath: every answer is a documented one, and nothing stays behind.</summary>
    [Fact]
    public async Task Fifty_clients_meet_only_documented_answers_and_leave_nothing_behind()
    {
        await using var guests = await RealGuests.StartAsync();
        var host = guests.Host;
        var machines = await Task.WhenAll(Enumerable.Range(0, Guests).Select(number => guests.AddAsync($"guest {number}", 1)));
        host.HangUp();
        var files = OpenFiles(host.ProcessId);
        ConcurrentBag<string> undocumented = [];
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async client =>
        {
            var random = new Random(client);
            for (var request = 0; request < RequestsEach; request++)
            {
                var vm = machines[random.Next(machines.Length)];
                var (method, path, xml) = random.Next(14) switch
                {
                    0 => (HttpMethod.Post, $"/vms/{vm}/start/", null),
                    1 => (HttpMethod.Post, $"/vms/{vm}/poweroff/", null),
                    2 => (HttpMethod.Post, $"/vms/{vm}/suspend/", null),
                    3 => (HttpMethod.Post, $"/vms/{vm}/resume/", null),
                    4 => (HttpMethod.Post, $"/vms/{vm}/disks/", $"<disk><size>1</size><storlink>{guests.Storlink}</storlink></disk>"),
                    5 => (HttpMethod.Put, $"/vms/{vm}/edit/", $"<vm><desc>client {client}</desc></vm>"),
                    6 => (HttpMethod.Put, $"/vms/{vm}/update/", $"<vm><cpu_core>{random.Next(1, 3)}</cpu_core></vm>"),
                    7 => (HttpMethod.Post, $"/vms/{vm}/interfaces/", "<vms><interface_name>xenbr0</interface_name></vms>"),
                    8 => (HttpMethod.Get, $"/vms/{vm}/", (string?)null),
                    9 => (HttpMethod.Get, $"/vms/{vm}/disks/", null),
                    10 => (HttpMethod.Get, "/storlinks/", null),
                    11 => (HttpMethod.Get, "/pmperf/", null),
                    12 => (HttpMethod.Get, "/operations/", null),
                    _ => (HttpMethod.Get, "/vms/", null),
                };
                var (status, body, _) = await host.SendAsync(method, path, xml);
                var documented = method == HttpMethod.Get
                    ? status == HttpStatusCode.OK
                    : status is HttpStatusCode.OK or HttpStatusCode.Created or HttpStatusCode.NoContent or HttpStatusCode.BadRequest;
                if (!documented)
                {
                    undocumented.Add($"{method} {path}: {(int)status} {body}");
                }
                else if (body.Length > 0)
                {
                    _ = XElement.Parse(body);
                }
            }
        }));
        Assert.True(undocumented.IsEmpty, $"{string.Join('\n', undocumented.Take(10))}\n{host.Log}");
        await guests.AssertWholeAsync();

        foreach (var vm in machines)
        {
            if (await host.StatusAsync(vm) is not "SHUTDOWN")
            {
                await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
            }

            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        }

        Assert.Empty(host.GuestProcesses());
        Assert.DoesNotContain(Directory.GetFileSystemEntries(Path.Combine(host.DataDirectory, "qemu")), path => machines.Any(vm => path.Contains(vm, StringComparison.Ordinal)));
        Assert.Single(Directory.GetFileSystemEntries(guests.Store));

        // The clients' own connections are no leak.
        host.HangUp();
        await ServedMachines.EventuallyAsync(
            () => Task.FromResult(OpenFiles(host.ProcessId).Count <= files.Count + 10),
            $"open files fall back to {files.Count}; more than before: {string.Join(", ", OpenFiles(host.ProcessId).Except(files).Take(40))}");
    }

    /// <summary>What a process holds open, but for the database's pooled connections: those are as many as requests ran at once, and close after minutes.</summary>
    private static List<string> OpenFiles(int pid) =>
        [.. Directory.GetFileSystemEntries($"/proc/{pid}/fd").Select(file => new FileInfo(file).LinkTarget ?? "").Where(file => file.Length > 0 && !file.Contains("/pengx.db", StringComparison.Ordinal))];
}
