using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Runtime.CompilerServices;

namespace Pengx.Testing;

/// <summary>A hypervisor in memory: a driver on a <see cref="SimulatedHost"/>, for tests and for trying Pengx out where no guest
/// can run. Disposing it leaves the host's guests as they are.</summary>
/// <param name="host">The world that it drives.</param>
public sealed partial class SimulatedHypervisor(SimulatedHost host) : IHypervisorDriver, IDomainOperations, IDeviceOperations, ILiveDisks, IChangedBlocks
{
    private volatile bool _disposed;
    private volatile bool _started;

    /// <summary>The world that it drives.</summary>
    public SimulatedHost Host { get; } = host;

    /// <inheritdoc/>
    public string Name => "simulator";

    /// <inheritdoc/>
    public IDomainOperations Domains => this;

    /// <inheritdoc/>
    public IDeviceOperations Devices => this;

    /// <inheritdoc/>
    public Task<HypervisorCapabilities> ProbeAsync(CancellationToken cancellationToken = default) => Task.FromResult(Host.Reachable
        ? new HypervisorCapabilities { Usable = true, Reason = "Guests are simulated in memory." }
        : new HypervisorCapabilities { Usable = false, Reason = "The simulated hypervisor does not answer." });

    /// <inheritdoc/>
    async Task IHypervisorDriver.StartAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        await Host.EnterAsync(SimulatedVerb.Connect, null, cancellationToken);
        _started = true;
        Host.Locked(() =>
        {
            foreach (var (id, running) in Host.Domains.Where(domain => domain.Value.IsAlive))
            {
                Host.Publish(id, DomainEventKind.Started, running.State);
            }

            return true;
        });
    }

    /// <inheritdoc/>
    public async Task<HostFacts> GetHostFactsAsync(CancellationToken cancellationToken = default)
    {
        await EnterAsync(SimulatedVerb.HostFacts, null, cancellationToken);
        return Host.Locked(() => new HostFacts { Cpus = Host.Cpus, ThreadsPerCore = 1, Memory = Host.Memory, FreeMemory = Host.Memory - Host.UsedMemory });
    }

    /// <inheritdoc/>
    public async Task<HostCounters> GetHostCountersAsync(CancellationToken cancellationToken = default)
    {
        await EnterAsync(SimulatedVerb.HostCounters, null, cancellationToken);
        return Host.Locked(() =>
        {
            var alive = Host.Domains.Values.Where(running => running.IsAlive).ToList();
            var used = Host.UsedMemory;
            return new HostCounters
            {
                Domains = alive.Count,
                UsedCpus = alive.Sum(running => running.Cpus),
                UsedMemory = used,
                CpuUtilization = 0,
                MemoryUtilization = 100.0 * used.Bytes / Host.Memory.Bytes,
                ReceivedBytes = 0,
                SentBytes = 0,
            };
        });
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<DomainEvent> WatchAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var (reader, leave) = Host.Watch();
        var registration = cancellationToken.UnsafeRegister(static state => ((Action)state!)(), leave);
        return ReadAsync(cancellationToken);

        async IAsyncEnumerable<DomainEvent> ReadAsync(CancellationToken ends, [EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            using var linked = CancellationTokenSource.CreateLinkedTokenSource(ends, cancellationToken);
            try
            {
                await foreach (var happened in reader.ReadAllAsync(linked.Token))
                {
                    yield return happened;
                }
            }
            finally
            {
                await registration.DisposeAsync();
                leave();
            }
        }
    }

    /// <inheritdoc/>
    public bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class
    {
        feature = typeof(TFeature) == typeof(ILiveDisks) || (typeof(TFeature) == typeof(IChangedBlocks) && Host.NotesChanges) || (typeof(TFeature) == typeof(ILiveMigration) && Host.Peers.Count > 0) || (typeof(TFeature) == typeof(IGuestMemory) && Host.KeepsMemory) ? this as TFeature : null;
        return feature is not null;
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _disposed = true;
        return ValueTask.CompletedTask;
    }

    async Task IDomainOperations.DefineAsync(DomainDefinition definition, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(definition);
        await EnterAsync(SimulatedVerb.Define, definition.Id, cancellationToken);
        Host.Locked(() => Host.Definitions[definition.Id] = definition);
    }

    async Task<DomainDefinition?> IDomainOperations.FindDefinitionAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.FindDefinition, id, cancellationToken);
        return Host.Locked(() => Host.Definitions.GetValueOrDefault(id));
    }

    async Task<IReadOnlyList<DomainId>> IDomainOperations.ListDefinedAsync(CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.ListDefined, null, cancellationToken);
        return Host.Locked<IReadOnlyList<DomainId>>(() => [.. Host.Definitions.Keys]);
    }

    async Task IDomainOperations.UndefineAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Undefine, id, cancellationToken);
        Host.Locked(() =>
        {
            if (Host.Domains.TryGetValue(id, out var running) && running.IsAlive)
            {
                throw new WrongStateException($"Domain {id} runs.");
            }

            Host.Domains.Remove(id);
            return Host.Definitions.Remove(id);
        });
    }

    async Task IDomainOperations.StartAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Start, id, cancellationToken);
        Host.Start(id);
    }

    async Task IDomainOperations.RequestShutdownAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.RequestShutdown, id, cancellationToken);
        var obeys = Host.WithRunning(id, running => (running.ShutdownRequested = true) && running.State == VmState.Running, false) && Host.Guest(id).ObeysShutdown;
        if (obeys)
        {
            Host.End(id, VmState.Shutdown);
        }
    }

    async Task<bool> IDomainOperations.RebootAsync(DomainId id, TimeSpan timeout, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Reboot, id, cancellationToken);
        var ended = Host.Locked(() => Host.Alive(id).Ended.Task);
        if (Host.Guest(id).ObeysReboot)
        {
            return Host.RebootGuest(id);
        }

        var patience = Task.Delay(timeout, Host.TimeProvider, cancellationToken);
        await (await Task.WhenAny(ended, patience));
        return false;
    }

    async Task IDomainOperations.WaitUntilStoppedAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.WaitUntilStopped, id, cancellationToken);
        await Host.WithRunning(id, running => running.Ended.Task, Task.CompletedTask).WaitAsync(cancellationToken);
    }

    async Task IDomainOperations.DestroyAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Destroy, id, cancellationToken);
        Host.End(id, VmState.Shutdown);
    }

    async Task IDomainOperations.PauseAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Pause, id, cancellationToken);
        Host.SetPaused(id, paused: true);
    }

    async Task IDomainOperations.ResumeAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Resume, id, cancellationToken);
        Host.SetPaused(id, paused: false);
    }

    async Task<ResizeOutcome> IDomainOperations.ResizeAsync(DomainId id, int cpus, DataSize memory, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Resize, id, cancellationToken);
        var allowed = Host.Guest(id).AllowsGrowing;
        return Host.Locked(() =>
        {
            if (!Host.Domains.TryGetValue(id, out var running) || !running.IsAlive)
            {
                return new ResizeOutcome(false, false, "The domain does not run.");
            }

            var cpusApplied = running.Cpus == cpus || (allowed && cpus > running.Cpus && cpus <= running.Definition.MaxCpus);
            var memoryApplied = running.Memory == memory || (allowed && memory <= running.Definition.MaxMemory);
            running.Cpus = cpusApplied ? cpus : running.Cpus;
            running.Memory = memoryApplied ? memory : running.Memory;
            var waiting = (cpusApplied, memoryApplied) switch
            {
                (true, true) => null,
                (false, true) => "the guest cannot change its processors while it runs",
                (true, false) => "the guest cannot change its memory while it runs",
                _ => "the guest cannot change its processors and memory while it runs",
            };
            return new ResizeOutcome(cpusApplied, memoryApplied, waiting);
        });
    }

    async Task IDomainOperations.RenameAsync(DomainId id, string name, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Rename, id, cancellationToken);
        Host.WithRunning(id, running => running.Name = name, name);
    }

    async Task<DomainStatus?> IDomainOperations.FindAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Find, id, cancellationToken);
        return Host.Locked(() => Host.Domains.GetValueOrDefault(id)?.Status(id));
    }

    async Task<IReadOnlyList<DomainStatus>> IDomainOperations.ListAsync(CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.List, null, cancellationToken);
        return Host.Locked<IReadOnlyList<DomainStatus>>(() => [.. Host.Domains.Select(domain => domain.Value.Status(domain.Key))]);
    }

    async Task<VncEndpoint?> IDomainOperations.FindVncAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.FindVnc, id, cancellationToken);
        return Host.WithRunning<VncEndpoint?>(id, running => running.Definition.VncPassword is null ? null : new(running.VncPort, IPAddress.Loopback, null), null);
    }

    async Task<DomainCounters?> IDomainOperations.FindCountersAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.FindCounters, id, cancellationToken);
        return Host.WithRunning<DomainCounters?>(id, running => new(Host.TimeProvider.GetUtcNow() - running.StartedAt, running.Memory, 0, 0), null);
    }

    async Task IDeviceOperations.PlugDiskAsync(DomainId id, DomainDisk disk, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(disk);
        await EnterAsync(SimulatedVerb.PlugDisk, id, cancellationToken);
        Host.Locked(() =>
        {
            var running = Host.Alive(id);
            if (running.Disks.Any(other => other.Id == disk.Id))
            {
                return false;
            }

            if (disk.Layers.FirstOrDefault(layer => Host.ImageExists?.Invoke(layer) == false) is { } missing)
            {
                throw new HypervisorException($"Could not open '{missing.Location}': No such file or directory");
            }

            running.Disks.Add(disk);
            return true;
        });
    }

    async Task IDeviceOperations.UnplugDiskAsync(DomainId id, DiskId disk, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.UnplugDisk, id, cancellationToken);
        Unplug(id, running => running.Disks.RemoveAll(other => other.Id == disk), running => running.Disks.Any(other => other.Id == disk), $"disk {disk}");
    }

    async Task IDeviceOperations.PlugNicAsync(DomainId id, DomainNic nic, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(nic);
        await EnterAsync(SimulatedVerb.PlugNic, id, cancellationToken);
        Host.Locked(() =>
        {
            var running = Host.Alive(id);
            if (!running.Nics.Any(other => other.Mac == nic.Mac))
            {
                running.Nics.Add(nic);
            }

            return true;
        });
    }

    async Task IDeviceOperations.UnplugNicAsync(DomainId id, MacAddress mac, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.UnplugNic, id, cancellationToken);
        Unplug(id, running => running.Nics.RemoveAll(other => other.Mac == mac), running => running.Nics.Any(other => other.Mac == mac), $"interface {mac}");
    }

    private void Unplug(DomainId id, Action<SimulatedHost.Running> remove, Func<SimulatedHost.Running, bool> isPlugged, string what)
    {
        var allowed = Host.Guest(id).AllowsUnplug;
        Host.Locked(() =>
        {
            var running = Host.Alive(id);
            if (isPlugged(running) && !allowed)
            {
                throw new HypervisorException($"The guest did not let {what} go in time; it keeps it.");
            }

            remove(running);
            return true;
        });
    }

    private Task EnterAsync(SimulatedVerb verb, DomainId? id, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _started
            ? Host.EnterAsync(verb, id, cancellationToken)
            : throw new InvalidOperationException("The driver is not started; call IHypervisorDriver.StartAsync first.");
    }
}
