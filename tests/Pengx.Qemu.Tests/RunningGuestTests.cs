using System.Globalization;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>What a running guest itself sees of the verbs, told on its console.</summary>
public sealed class RunningGuestTests : IAsyncLifetime
{
    private readonly QemuTestHost _host = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        QemuTestHost.RequireQemu();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    [Fact]
    public async Task Guest_sees_its_devices_processors_and_memory_change()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var (domains, devices) = (driver.Domains, ((IHypervisorDriver)driver).Devices);
        var definition = _host.CreateBootable();
        var id = definition.Id;
        await domains.DefineAsync(definition, Token);
        await domains.StartAsync(id, Token);
        await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
        await console.ExpectAsync("PENGX-GUEST nic eth0 " + definition.Nics[0].Mac);
        var before = MemoryOf(await console.ExpectAsync("PENGX-GUEST memory "));
        await console.ExpectUpAsync();

        // A disk comes, is kept while the guest cannot answer, and goes.
        var disk = _host.CreateDisk("xvdd");
        await devices.PlugDiskAsync(id, disk, Token);
        Assert.Contains("vdb added 2097152", await console.ExpectAsync("added"), StringComparison.Ordinal);
        await devices.UnplugDiskAsync(id, disk.Id, Token);
        await console.ExpectAsync("disk vdb removed");
        Assert.DoesNotContain(
            ((FileLocation)disk.Layers[0].Location).Path,
            Directory.EnumerateFiles($"/proc/{_host.PidOf(id)}/fd").Select(fd => File.ResolveLinkTarget(fd, false)?.FullName));

        // A network interface with its own address comes, reaches the network, and goes.
        var nic = new DomainNic { Mac = MacAddress.NewXen(), Switch = "nosuchbridge" };
        await devices.PlugNicAsync(id, nic, Token);
        await console.ExpectAsync($"nic eth1 {nic.Mac} up");
        await console.ExpectAsync("nic eth1 ip ");
        await devices.UnplugNicAsync(id, nic.Mac, Token);
        await console.ExpectAsync("nic eth1 removed");

        // Growing is at once; processors cannot be taken away without KVM, and the answer says so.
        var grown = await domains.ResizeAsync(id, 2, definition.Memory + DataSize.FromMiB(100), Token);
        Assert.Equal(new ResizeOutcome(true, true, null), grown);
        await console.ExpectAsync("PENGX-GUEST cpus 2");
        var after = MemoryOf(await console.ExpectAsync("PENGX-GUEST memory "));
        while (after < before + 90)
        {
            after = MemoryOf(await console.ExpectAsync("PENGX-GUEST memory "));
        }

        var status = await domains.FindAsync(id, Token);
        Assert.Equal((2, definition.Memory + DataSize.FromMiB(100)), (status!.Cpus, status.Memory));

        var shrunk = await domains.ResizeAsync(id, 1, definition.Memory, Token);
        Assert.False(shrunk.CpusApplied);
        Assert.True(shrunk.MemoryApplied, shrunk.Detail);
        Assert.Contains("next start", shrunk.Detail, StringComparison.Ordinal);
        Assert.Equal((2, definition.Memory), ((await domains.FindAsync(id, Token))!.Cpus, (await domains.FindAsync(id, Token))!.Memory));

        var tooMuch = await domains.ResizeAsync(id, 4, DataSize.FromGiB(2), Token);
        Assert.Equal((false, false), (tooMuch.CpusApplied, tooMuch.MemoryApplied));
        Assert.Contains("room for 3 processors", tooMuch.Detail, StringComparison.Ordinal);
        Assert.Contains("room for 544 MiB", tooMuch.Detail, StringComparison.Ordinal);

        // A guest that does not answer keeps its disk, and the caller is told; asked again later it lets go.
        await using var impatient = new ImpatientHost(_host.Options);
        await devices.PlugDiskAsync(id, disk, Token);
        await console.ExpectAsync("vdb added");
        await driver.DisposeAsync();
        await using var second = await impatient.StartDriverAsync(Token);
        var other = ((IHypervisorDriver)second).Devices;
        await second.Domains.PauseAsync(id, Token);
        var kept = await Assert.ThrowsAsync<HypervisorException>(() => other.UnplugDiskAsync(id, disk.Id, Token));
        Assert.Contains("keeps it", kept.Message, StringComparison.Ordinal);
        await second.Domains.ResumeAsync(id, Token);
        await other.UnplugDiskAsync(id, disk.Id, Token);
        var counters = await second.Domains.FindCountersAsync(id, Token);
        Assert.True(counters!.CpuTime > TimeSpan.FromMilliseconds(100));
        Assert.True(counters.Memory > DataSize.FromMiB(64));
        Assert.True(counters.DiskReadBytes > 1_000_000);

        // The guest reboots by its own will: the run goes on.
        var events = second.WatchAsync(Token);
        await _host.TypeAsync(id, "reboot", Token);
        await foreach (var domainEvent in events)
        {
            Assert.Equal((DomainEventKind.Rebooted, VmState.Running), (domainEvent.Kind, domainEvent.State));
            break;
        }

        // While it starts it does not hear the power button: no reboot, and nothing has changed. Then a destroy ends a wait.
        Assert.False(await second.Domains.RebootAsync(id, TimeSpan.FromMilliseconds(200), Token));
        Assert.Equal(VmState.Running, (await second.Domains.FindAsync(id, Token))?.State);
        var waiting = second.Domains.RebootAsync(id, TimeSpan.FromHours(1), Token);
        await second.Domains.DestroyAsync(id, Token).WaitAsync(TimeSpan.FromSeconds(30), Token);
        await Assert.ThrowsAsync<HypervisorException>(() => waiting);
        await second.Domains.UndefineAsync(id, Token);
    }

    [Fact]
    public async Task What_the_guest_flushed_is_on_the_disk_after_a_destroy_and_nothing_else_is_left()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var domains = driver.Domains;
        var counterDisk = _host.CreateDisk("xvdb");
        var definition = _host.CreateBootable(counterDisk);
        var id = definition.Id;
        await domains.DefineAsync(definition, Token);
        await domains.StartAsync(id, Token);
        await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
        await console.ExpectUpAsync();
        await console.ExpectAsync("flushed 10");

        // It counts on after a pause, from where it stood.
        await domains.PauseAsync(id, Token);
        await domains.ResumeAsync(id, Token);
        await console.ExpectAsync("flushed 20");
        await domains.DestroyAsync(id, Token);
        await console.ReadToEndAsync();
        var printed = console.Seen.Where(line => line.StartsWith("PENGX-GUEST flushed ", StringComparison.Ordinal)).Select(line => long.Parse(line.Split(' ')[2], CultureInfo.InvariantCulture)).Max();
        var path = ((FileLocation)counterDisk.Layers[0].Location).Path;
        await using var image = File.OpenRead(path);
        Assert.True((await GuestCounter.ReadAsync(image, Token)).Newest >= printed);

        await domains.UndefineAsync(id, Token);
        Assert.Empty(ProcessTable.Find(other => DomainFiles.PidFileOf(_host.Options.RunDirectory!, other)));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_host.Options.RunDirectory!));
        Assert.DoesNotContain(Directory.EnumerateFileSystemEntries(_host.Options.StateDirectory), entry => entry.Contains(id.ToString(), StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_guest_that_panics_has_crashed_also_for_the_next_service_until_it_is_started()
    {
        var definition = _host.CreateBootable();
        var id = definition.Id;
        await using (var driver = await _host.StartDriverAsync(Token))
        {
            await driver.Domains.DefineAsync(definition, Token);
            await driver.Domains.StartAsync(id, Token);
            await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
            await console.ExpectUpAsync();

            await _host.TypeAsync(id, "crash", Token);
            await driver.Domains.WaitUntilStoppedAsync(id, Token).WaitAsync(QemuTestHost.Patience, Token);
            Assert.Equal(VmState.Crashed, (await driver.Domains.FindAsync(id, Token))?.State);
        }

        await using var next = await _host.StartDriverAsync(Token);
        Assert.Equal(VmState.Crashed, (await next.Domains.FindAsync(id, Token))?.State);
        await next.Domains.StartAsync(id, Token);
        Assert.Equal(VmState.Running, (await next.Domains.FindAsync(id, Token))?.State);
        await next.Domains.DestroyAsync(id, Token);
        Assert.Null(await next.Domains.FindAsync(id, Token));
    }

    private static int MemoryOf(string line) => int.Parse(line.Split(' ')[2], CultureInfo.InvariantCulture);

    /// <summary>The same host, with less patience for guests.</summary>
    private sealed class ImpatientHost(QemuOptions options) : IAsyncDisposable
    {
        public async Task<QemuHypervisorDriver> StartDriverAsync(CancellationToken cancellationToken)
        {
            var driver = new QemuHypervisorDriver(new()
            {
                StateDirectory = options.StateDirectory,
                RunDirectory = options.RunDirectory,
                UnplugTimeout = TimeSpan.FromSeconds(5),
            });
            await driver.StartAsync(cancellationToken);
            return driver;
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
