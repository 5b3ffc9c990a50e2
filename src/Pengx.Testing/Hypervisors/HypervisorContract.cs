using Xunit;

namespace Pengx.Testing;

/// <summary>What every hypervisor driver must do, as tests: derive from it, say how to make a driver and something bootable, and
/// every sentence of <see cref="IHypervisorDriver"/> is held against the driver.</summary>
/// <remarks>Real guests take seconds to boot, so the tests on running guests follow one guest through many verbs.</remarks>
public abstract class HypervisorContract
{
    /// <summary>Makes a driver on the test's host, not started. Called again within a test, it makes another driver of the
    /// same host, as a restarted service would.</summary>
    protected abstract IHypervisorDriver CreateDriver();

    /// <summary>Makes the definition of a guest that boots from its own copy of a boot disk: one processor that can grow to at
    /// least two, a VNC password, one NIC.</summary>
    /// <param name="cancellationToken">Ends the making.</param>
    protected abstract Task<DomainDefinition> CreateBootableAsync(CancellationToken cancellationToken);

    /// <summary>Makes an empty disk that can be plugged into a running guest.</summary>
    /// <param name="index">Its place among the guest's disks.</param>
    /// <param name="cancellationToken">Ends the making.</param>
    protected abstract Task<DomainDisk> CreateDiskAsync(int index, CancellationToken cancellationToken);

    /// <summary>Waits until the started guest answers a shutdown request and has taken up its devices.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="id">The guest.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    protected abstract Task WaitUntilBootedAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken);

    /// <summary>Lets the guest end by a fault, as a panic or a dead process would.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="id">The guest.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    protected abstract Task CrashAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken);

    /// <summary>A disk that names an image which does not exist.</summary>
    /// <param name="index">Its place among the guest's disks.</param>
    protected virtual DomainDisk CreateMissingDisk(int index)
    {
        var id = DiskId.New();
        return new DomainDisk
        {
            Id = id,
            Layers = [new(new FileLocation($"/nonexistent/{id}.raw"), DiskFormat.Raw)],
            Vdev = Vdev.At(index),
        };
    }

    /// <summary>Makes a network interface that can be plugged in.</summary>
    protected virtual DomainNic CreateNic() => new() { Mac = MacAddress.NewXen(), Switch = "xenbr0" };

    /// <summary>Whether guests have a VNC console when their definition has a password for it.</summary>
    protected virtual bool HasVnc => true;

    /// <summary>How long a guest may take for anything.</summary>
    protected virtual TimeSpan Patience => TimeSpan.FromSeconds(90);

    /// <summary>Skips the tests that need a guest where none can run.</summary>
    protected virtual void RequireGuests()
    {
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>The probe of a usable driver says so in a sentence, and facts and counters make sense.</summary>
    [Fact]
    public async Task Host_can_be_probed_and_read()
    {
        RequireGuests();
        await using var driver = CreateDriver();
        var capabilities = await driver.ProbeAsync(Token);
        Assert.True(capabilities.Usable, capabilities.Reason);
        Assert.NotEmpty(capabilities.Reason);
        Assert.NotEmpty(driver.Name);

        await driver.StartAsync(Token);
        var facts = await driver.GetHostFactsAsync(Token);
        Assert.True(facts.Cpus >= 1);
        Assert.True(facts.ThreadsPerCore >= 1);
        Assert.True(facts.Memory > DataSize.Zero);
        Assert.InRange(facts.FreeMemory.Bytes, 0, facts.Memory.Bytes);

        var counters = await driver.GetHostCountersAsync(Token);
        Assert.InRange(counters.CpuUtilization, 0, 100);
        Assert.InRange(counters.MemoryUtilization, 0, 100);
        Assert.True(counters.ReceivedBytes >= 0 && counters.SentBytes >= 0 && counters.Domains >= 0);
    }

    /// <summary>A stored configuration is found again, also by another driver; it is replaced and removed; repeats succeed.</summary>
    [Fact]
    public async Task Definitions_are_stored_replaced_and_removed()
    {
        var definition = await CreateBootableAsync(Token);
        var two = definition with { Name = "other name", Cpus = 1, MaxCpus = 3, Nics = [], IsWindows = true, VncPassword = "abcd1234" };
        await using (var driver = CreateDriver())
        {
            await driver.StartAsync(Token);
            Assert.Null(await driver.Domains.FindDefinitionAsync(definition.Id, Token));
            await driver.Domains.UndefineAsync(definition.Id, Token);
            await driver.Domains.DefineAsync(definition, Token);
            await driver.Domains.DefineAsync(definition, Token);
            Assert.Equal(definition, await driver.Domains.FindDefinitionAsync(definition.Id, Token));
            Assert.Contains(definition.Id, await driver.Domains.ListDefinedAsync(Token));
            Assert.Null(await driver.Domains.FindAsync(definition.Id, Token));
            await driver.Domains.DefineAsync(two, Token);
        }

        await using var restarted = CreateDriver();
        await restarted.StartAsync(Token);
        Assert.Equal(two, await restarted.Domains.FindDefinitionAsync(definition.Id, Token));
        await restarted.Domains.UndefineAsync(definition.Id, Token);
        await restarted.Domains.UndefineAsync(definition.Id, Token);
        Assert.Null(await restarted.Domains.FindDefinitionAsync(definition.Id, Token));
        Assert.DoesNotContain(definition.Id, await restarted.Domains.ListDefinedAsync(Token));
    }

    /// <summary>Verbs on a domain that does not run succeed where there is nothing to do, and refuse where there should be something.</summary>
    [Fact]
    public async Task Verbs_on_a_missing_domain()
    {
        var id = DomainId.New();
        await using var driver = CreateDriver();
        await driver.StartAsync(Token);
        var domains = driver.Domains;
        await domains.DestroyAsync(id, Token);
        await domains.RequestShutdownAsync(id, Token);
        await domains.WaitUntilStoppedAsync(id, Token);
        await domains.RenameAsync(id, "nobody", Token);
        var resized = await domains.ResizeAsync(id, 1, DataSize.FromMiB(64), Token);
        Assert.False(resized.CpusApplied);
        Assert.False(resized.MemoryApplied);
        Assert.Null(await domains.FindAsync(id, Token));
        Assert.Null(await domains.FindVncAsync(id, Token));
        Assert.Null(await domains.FindCountersAsync(id, Token));
        Assert.DoesNotContain(await domains.ListAsync(Token), status => status.Id == id);
        await Assert.ThrowsAsync<NotFoundException>(() => domains.StartAsync(id, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => domains.PauseAsync(id, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => domains.ResumeAsync(id, Token));
        var disk = CreateMissingDisk(1);
        await Assert.ThrowsAsync<WrongStateException>(() => driver.Devices.PlugDiskAsync(id, disk, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => driver.Devices.UnplugDiskAsync(id, disk.Id, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => driver.Devices.PlugNicAsync(id, CreateNic(), Token));
        await Assert.ThrowsAsync<WrongStateException>(() => driver.Devices.UnplugNicAsync(id, MacAddress.NewXen(), Token));
    }

    /// <summary>A start that the host cannot serve is refused with a reason and leaves nothing that runs.</summary>
    [Fact]
    public async Task Start_that_fails_leaves_nothing_behind()
    {
        RequireGuests();
        await using var driver = CreateDriver();
        await driver.StartAsync(Token);
        var definition = await CreateBootableAsync(Token);
        await driver.Domains.DefineAsync(definition with { Disks = [CreateMissingDisk(0)] }, Token);
        var missing = await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.StartAsync(definition.Id, Token));
        Assert.NotEmpty(missing.Message);
        Assert.Null(await driver.Domains.FindAsync(definition.Id, Token));

        var memory = (await driver.GetHostFactsAsync(Token)).Memory + DataSize.FromGiB(64);
        await driver.Domains.DefineAsync(definition with { Memory = memory, MaxMemory = memory }, Token);
        await Assert.ThrowsAsync<InsufficientResourceException>(() => driver.Domains.StartAsync(definition.Id, Token));
        Assert.Null(await driver.Domains.FindAsync(definition.Id, Token));

        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        await driver.Domains.DefineAsync(definition, Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => driver.Domains.StartAsync(definition.Id, cancelled.Token));
        Assert.Null(await driver.Domains.FindAsync(definition.Id, Token));
        await driver.Domains.UndefineAsync(definition.Id, Token);
    }

    /// <summary>One guest through its whole life: started, paused, given and taken devices, resized, renamed, shut down.</summary>
    [Fact]
    public async Task Guest_lives_a_whole_life()
    {
        RequireGuests();
        var definition = await CreateBootableAsync(Token);
        var id = definition.Id;
        await using var driver = CreateDriver();
        await driver.StartAsync(Token);
        var domains = driver.Domains;
        await using var events = Watch(driver, id);
        try
        {
            await domains.DefineAsync(definition, Token);
            await domains.StartAsync(id, Token);
            await events.ExpectAsync(DomainEventKind.Started, VmState.Running);
            await domains.StartAsync(id, Token);
            var status = await domains.FindAsync(id, Token);
            Assert.NotNull(status);
            Assert.Equal(VmState.Running, status.State);
            Assert.Equal(definition.Cpus, status.Cpus);
            Assert.True(status.Memory > DataSize.Zero);
            Assert.NotNull(status.StartedAt);
            Assert.Contains(await domains.ListAsync(Token), other => other.Id == id && other.State == VmState.Running);
            var vnc = await domains.FindVncAsync(id, Token);
            Assert.Equal(HasVnc, vnc is not null);
            Assert.True(vnc is null || vnc.Port is > 0 || vnc.SocketPath is not null);
            Assert.NotNull(await domains.FindCountersAsync(id, Token));
            Assert.True((await driver.GetHostCountersAsync(Token)).Domains >= 1);
            await Assert.ThrowsAsync<WrongStateException>(() => domains.UndefineAsync(id, Token));
            await WaitUntilBootedAsync(driver, id, Token);

            await domains.PauseAsync(id, Token);
            await events.ExpectAsync(DomainEventKind.Paused, VmState.Paused);
            await domains.PauseAsync(id, Token);
            await domains.StartAsync(id, Token);
            Assert.Equal(VmState.Paused, (await domains.FindAsync(id, Token))?.State);
            await domains.ResumeAsync(id, Token);
            await events.ExpectAsync(DomainEventKind.Resumed, VmState.Running);
            await domains.ResumeAsync(id, Token);
            Assert.Equal(VmState.Running, (await domains.FindAsync(id, Token))?.State);

            await DevicesComeAndGoAsync(driver, definition);

            await domains.RenameAsync(id, "renamed while it runs", Token);
            var resized = await domains.ResizeAsync(id, definition.Cpus + 1, definition.Memory, Token);
            Assert.True(resized.CpusApplied || resized.Detail is { Length: > 0 }, "what waits for the next start must be explained");
            await domains.DefineAsync(definition with { Name = "next start", Nics = [] }, Token);
            Assert.Equal(VmState.Running, (await domains.FindAsync(id, Token))?.State);

            using (var brief = CancellationTokenSource.CreateLinkedTokenSource(Token))
            {
                var waiting = domains.WaitUntilStoppedAsync(id, brief.Token);
                Assert.False(waiting.IsCompleted);
                await brief.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
            }

            await domains.RequestShutdownAsync(id, Token);
            await domains.WaitUntilStoppedAsync(id, Token).WaitAsync(Patience, Token);
            await events.ExpectAsync(DomainEventKind.Stopped, VmState.Shutdown);
            Assert.Null(await domains.FindAsync(id, Token));
            Assert.Null(await domains.FindVncAsync(id, Token));
            await domains.UndefineAsync(id, Token);
        }
        finally
        {
            await domains.DestroyAsync(id, CancellationToken.None);
        }
    }

    /// <summary>A guest outlives its driver; the next driver takes it up, and destroying it returns when it is gone.</summary>
    [Fact]
    public async Task Guest_outlives_the_driver()
    {
        RequireGuests();
        var definition = await CreateBootableAsync(Token);
        var id = definition.Id;
        DateTimeOffset? startedAt;
        await using (var first = CreateDriver())
        {
            await first.StartAsync(Token);
            await first.Domains.DefineAsync(definition, Token);
            await first.Domains.StartAsync(id, Token);
            startedAt = (await first.Domains.FindAsync(id, Token))?.StartedAt;
        }

        await using var second = CreateDriver();
        await using var events = Watch(second, id);
        await second.StartAsync(Token);
        try
        {
            await events.ExpectAsync(DomainEventKind.Started, VmState.Running);
            var found = await second.Domains.FindAsync(id, Token);
            Assert.Equal(VmState.Running, found?.State);
            Assert.NotNull(startedAt);
            Assert.InRange(found!.StartedAt!.Value, startedAt.Value.AddSeconds(-2), startedAt.Value.AddSeconds(2));
            Assert.Equal(definition, await second.Domains.FindDefinitionAsync(id, Token));
            var stopped = second.Domains.WaitUntilStoppedAsync(id, Token);
            await second.Domains.DestroyAsync(id, Token);
            Assert.Null(await second.Domains.FindAsync(id, Token));
            await stopped.WaitAsync(Patience, Token);
            await events.ExpectAsync(DomainEventKind.Stopped, VmState.Shutdown);
            await second.Domains.DestroyAsync(id, Token);
        }
        finally
        {
            await second.Domains.DestroyAsync(id, CancellationToken.None);
            await second.Domains.UndefineAsync(id, CancellationToken.None);
        }
    }

    /// <summary>A guest reboots when asked; one that ends by a fault is found crashed, and can be destroyed and started anew.</summary>
    [Fact]
    public async Task Guest_reboots_and_crashes()
    {
        RequireGuests();
        var definition = await CreateBootableAsync(Token);
        var id = definition.Id;
        await using var driver = CreateDriver();
        await driver.StartAsync(Token);
        var domains = driver.Domains;
        await using var events = Watch(driver, id);
        try
        {
            await domains.DefineAsync(definition, Token);
            await domains.StartAsync(id, Token);
            await WaitUntilBootedAsync(driver, id, Token);
            if (!await domains.RebootAsync(id, Patience, Token))
            {
                Assert.Fail($"The guest did not reboot. {await DescribeConsoleAsync(driver, id)}");
            }

            await events.ExpectAsync(DomainEventKind.Rebooted, VmState.Running);
            Assert.Equal(VmState.Running, (await domains.FindAsync(id, Token))?.State);

            var stopped = domains.WaitUntilStoppedAsync(id, Token);
            await CrashAsync(driver, id, Token);
            await stopped.WaitAsync(Patience, Token);
            await events.ExpectAsync(DomainEventKind.Crashed, VmState.Crashed);
            Assert.Equal(VmState.Crashed, (await domains.FindAsync(id, Token))?.State);
            Assert.Contains(await domains.ListAsync(Token), other => other.Id == id && other.State == VmState.Crashed);
            await domains.DestroyAsync(id, Token);
            Assert.Null(await domains.FindAsync(id, Token));
        }
        finally
        {
            await domains.DestroyAsync(id, CancellationToken.None);
            await domains.UndefineAsync(id, CancellationToken.None);
        }
    }

    /// <summary>A subscription is live from the call on, for every reader, and ends with its token.</summary>
    [Fact]
    public async Task Subscription_ends_with_its_token()
    {
        await using var driver = CreateDriver();
        await driver.StartAsync(Token);
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(Token);
        await using var reader = driver.WatchAsync(ends.Token).GetAsyncEnumerator(Token);
        var next = reader.MoveNextAsync().AsTask();
        await ends.CancelAsync();
        try
        {
            Assert.False(await next.WaitAsync(Patience, Token));
        }
        catch (OperationCanceledException) when (!Token.IsCancellationRequested)
        {
            // Ending by exception is as good as ending by the end of the sequence.
        }
    }

    private async Task DevicesComeAndGoAsync(IHypervisorDriver driver, DomainDefinition definition)
    {
        var (id, devices) = (definition.Id, driver.Devices);
        var disk = await CreateDiskAsync(definition.Disks.Count, Token);
        await devices.PlugDiskAsync(id, disk, Token);
        await devices.PlugDiskAsync(id, disk, Token);
        await devices.UnplugDiskAsync(id, disk.Id, Token);
        await devices.UnplugDiskAsync(id, disk.Id, Token);
        await devices.PlugDiskAsync(id, disk, Token);
        await devices.UnplugDiskAsync(id, disk.Id, Token);
        await Assert.ThrowsAsync<HypervisorException>(() => devices.PlugDiskAsync(id, CreateMissingDisk(definition.Disks.Count + 1), Token));
        var nic = CreateNic();
        await devices.PlugNicAsync(id, nic, Token);
        await devices.PlugNicAsync(id, nic, Token);
        await devices.UnplugNicAsync(id, nic.Mac, Token);
        await devices.UnplugNicAsync(id, nic.Mac, Token);
        Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
    }

    /// <summary>What a guest that does not obey said last, where it has a console.</summary>
    private static async Task<string> DescribeConsoleAsync(IHypervisorDriver driver, DomainId id)
    {
        if (!driver.TryGetFeature<ISerialConsole>(out var console))
        {
            return "It has no console.";
        }

        using var brief = CancellationTokenSource.CreateLinkedTokenSource(Token);
        brief.CancelAfter(TimeSpan.FromSeconds(5));
        Queue<string> lines = [];
        try
        {
            await foreach (var line in console.ReadLinesAsync(id, brief.Token))
            {
                lines.Enqueue(line);
                _ = lines.Count > 30 && lines.TryDequeue(out _);
            }
        }
        catch (OperationCanceledException) when (!Token.IsCancellationRequested)
        {
            // The console goes on for as long as the guest runs; what there was has been read.
        }

        return $"Its console ends with:\n{string.Join('\n', lines)}";
    }

    private EventReader Watch(IHypervisorDriver driver, DomainId id)
    {
        var ends = CancellationTokenSource.CreateLinkedTokenSource(Token);
        return new(driver.WatchAsync(ends.Token).GetAsyncEnumerator(ends.Token), ends, id, Patience);
    }

    private sealed class EventReader(IAsyncEnumerator<DomainEvent> events, CancellationTokenSource ends, DomainId id, TimeSpan patience) : IAsyncDisposable
    {
        public async Task ExpectAsync(DomainEventKind kind, VmState state)
        {
            ends.CancelAfter(patience);
            while (await events.MoveNextAsync())
            {
                if (events.Current.Domain == id && events.Current.Kind == kind)
                {
                    Assert.Equal(state, events.Current.State);
                    ends.CancelAfter(Timeout.InfiniteTimeSpan);
                    return;
                }
            }

            Assert.Fail($"The events ended without {kind} of {id}.");
        }

        public async ValueTask DisposeAsync()
        {
            await ends.CancelAsync();
            try
            {
                await events.DisposeAsync();
            }
            catch (OperationCanceledException)
            {
                // The subscription ends this way or silently.
            }

            ends.Dispose();
        }
    }
}
