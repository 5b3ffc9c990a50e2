using System.Diagnostics;
using System.Net;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>The service is ended with SIGKILL; what users have must not notice.</summary>
public sealed class CrashTests
{
    [Fact]
    public async Task Guests_outlive_the_service_and_are_taken_up_again()
    {
        await using var guests = await RealGuests.StartAsync();
        var host = guests.Host;
        var runs = await guests.AddAsync("runs");
        var paused = await guests.AddAsync("paused");
        var dies = await guests.AddAsync("dies");
        foreach (var vm in (string[])[runs, paused, dies])
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        }

        await guests.PrintsAsync(runs, "PENGX-GUEST flushed 3");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{paused}/suspend/", null, HttpStatusCode.OK);
        var before = host.GuestProcesses();
        Assert.Equal(3, before.Count);

        await host.KillAsync();
        Assert.Equal(before.Order(), host.GuestProcesses().Order());
        var flushed = RealGuests.LastFlushed(guests.Serial(runs));
        await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(guests.Serial(runs)) > flushed + 2), "the guest goes on writing without the service");

        // One guest ends while nobody looks.
        using (var process = Process.GetProcessById(before.Single(pid => File.ReadAllText($"/proc/{pid}/cmdline").Contains(dies, StringComparison.Ordinal))))
        {
            process.Kill();
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        await host.StartAsync();
        Assert.Equal("RUNNING", await host.StatusAsync(runs));
        Assert.Equal("PAUSED", await host.StatusAsync(paused));
        Assert.NotEqual("RUNNING", await host.StatusAsync(dies));
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{paused}/resume/", null, HttpStatusCode.OK);
        await guests.PrintsAsync(paused, "PENGX-GUEST flushed 1");
        var disk = await host.ChangeAsync(HttpMethod.Post, $"/vms/{runs}/disks/", $"<disk><size>1</size><storlink>{guests.Storlink}</storlink></disk>", HttpStatusCode.Created);
        await guests.PrintsAsync(runs, "PENGX-GUEST disk vdc added 1048576");
        await host.ChangeAsync(HttpMethod.Delete, disk, null, HttpStatusCode.NoContent);

        // An orderly stop leaves guests alone, too.
        Assert.Equal(0, await host.StopAsync());
        Assert.Equal(2, host.GuestProcesses().Count);
        await host.StartAsync();
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{runs}/shutdown/", null, HttpStatusCode.OK);
        Assert.Equal("SHUTDOWN", await host.StatusAsync(runs));
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{paused}/poweroff/", null, HttpStatusCode.OK);

        // What a guest said it had flushed is on its disk.
        flushed = RealGuests.LastFlushed(guests.Serial(runs));
        var counterDisk = (await host.GetXmlAsync($"/vms/{runs}/disks/")).Elements("disk").ElementAt(1);
        var newest = await ShownDisks.CounterAsync(counterDisk, guests.Store);
        Assert.True(newest >= flushed, $"The guest printed {flushed}, its disk holds {newest}.");

        foreach (var vm in (string[])[runs, paused, dies])
        {
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        }

        Assert.Empty(host.GuestProcesses());
        await guests.AssertWholeAsync();
    }

    [Fact]
    public async Task Killed_at_any_moment_of_a_change_it_ends_whole()
    {
        const int Rounds = 10;
        await using var guests = await RealGuests.StartAsync();
        var host = guests.Host;
        var random = new Random(20261123);
        var standing = await guests.AddAsync("standing");
        for (var round = 0; round < Rounds; round++)
        {
            (HttpMethod Method, string Path, string? Xml)[] changes =
            [
                (HttpMethod.Post, "/vms/", $"<vm><name>r{round}</name><template>{guests.Template}</template><storlink>{guests.Storlink}</storlink><cpu_core>1</cpu_core><memory>128</memory><extra_disk_size>4</extra_disk_size></vm>"),
                (HttpMethod.Post, $"/vms/{standing}/disks/", $"<disk><size>8</size><storlink>{guests.Storlink}</storlink></disk>"),
                (HttpMethod.Post, $"/vms/{standing}/start/", null),
                (HttpMethod.Post, $"/vms/{standing}/poweroff/", null),
            ];
            using var started = new SemaphoreSlim(0);
            var pending = changes.Select(async change =>
            {
                started.Release();
                try
                {
                    await host.SendAsync(change.Method, change.Path, change.Xml);
                }
                catch (Exception exception) when (exception is HttpRequestException or IOException)
                {
                    // The service died under the request, as it shall.
                }
            }).ToList();
            await started.WaitAsync(TestContext.Current.CancellationToken);

            // The moment is random on purpose: it is what the test varies, not what it waits for.
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(0, 700)), TimeProvider.System, TestContext.Current.CancellationToken);
            await host.KillAsync();
            await Task.WhenAll(pending);
            await host.StartAsync();
            await ServedMachines.EventuallyAsync(
                async () => (await host.GetXmlAsync("/operations/")).Elements().All(operation => operation.Element("state")!.Value is not ("PENDING" or "RUNNING")),
                "every operation ends after the restart");
            await guests.AssertWholeAsync();
            Assert.Equal(await host.StatusAsync(standing) is "RUNNING" ? 1 : 0, host.GuestProcesses().Count);
        }

        // Whatever was left half done before is whole enough to be used and removed.
        if (await host.StatusAsync(standing) != "SHUTDOWN")
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{standing}/poweroff/", null, HttpStatusCode.OK);
        }

        foreach (var vm in (await host.GetXmlAsync("/vms/")).Elements("vm").Select(vm => vm.Attribute("id")!.Value))
        {
            await host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        }

        await guests.AssertWholeAsync();
        Assert.Empty(host.GuestProcesses());
    }
}
