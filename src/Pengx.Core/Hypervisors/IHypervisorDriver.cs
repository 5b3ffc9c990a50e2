using System.Diagnostics.CodeAnalysis;

namespace Pengx;

/// <summary>The port to a hypervisor. Verbs are idempotent, because a workflow that was interrupted runs its step again:
/// destroying a missing domain succeeds, starting a running one does nothing.</summary>
/// <remarks>Every call throws <see cref="HypervisorException"/> with the hypervisor's own words when it refuses or fails,
/// and <see cref="UnavailableException"/> when it cannot be reached.</remarks>
public interface IHypervisorDriver : IAsyncDisposable
{
    /// <summary>The driver's name in the configuration: <c>xen</c>, <c>qemu</c>, <c>simulator</c>.</summary>
    string Name { get; }

    /// <summary>The verbs on domains.</summary>
    IDomainOperations Domains { get; }

    /// <summary>The verbs on a running domain's devices.</summary>
    IDeviceOperations Devices { get; }

    /// <summary>Finds out whether guests can run here, and says why not. Changes nothing that stays.</summary>
    /// <param name="cancellationToken">Ends the probe.</param>
    Task<HypervisorCapabilities> ProbeAsync(CancellationToken cancellationToken = default);

    /// <summary>Readies the driver: finds the domains that already run and takes them up again. Call it once, first.</summary>
    /// <param name="cancellationToken">Ends the start.</param>
    Task StartAsync(CancellationToken cancellationToken = default);

    /// <summary>What the host is.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<HostFacts> GetHostFactsAsync(CancellationToken cancellationToken = default);

    /// <summary>What the host does now.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<HostCounters> GetHostCountersAsync(CancellationToken cancellationToken = default);

    /// <summary>Subscribes to what happens to domains. The subscription is live when this returns; a reader that falls
    /// behind loses the oldest events, so after a gap ask <see cref="IDomainOperations.ListAsync"/> for the truth.</summary>
    /// <param name="cancellationToken">Ends the subscription.</param>
    IAsyncEnumerable<DomainEvent> WatchAsync(CancellationToken cancellationToken = default);

    /// <summary>Finds an optional ability of the driver.</summary>
    /// <typeparam name="TFeature">The ability's interface.</typeparam>
    /// <param name="feature">The ability.</param>
    /// <returns>Whether the driver has it.</returns>
    bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class;
}

/// <summary>The verbs on domains. See <see cref="IHypervisorDriver"/> for their errors.</summary>
public interface IDomainOperations
{
    /// <summary>Stores a domain's configuration, replacing an older one, durably; a running domain goes on as it is.</summary>
    /// <param name="definition">The configuration for the next start.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task DefineAsync(DomainDefinition definition, CancellationToken cancellationToken = default);

    /// <summary>The stored configuration; <see langword="null"/> when there is none.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<DomainDefinition?> FindDefinitionAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>All domains that a configuration is stored for.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<DomainId>> ListDefinedAsync(CancellationToken cancellationToken = default);

    /// <summary>Removes a domain's stored configuration and all that the driver kept for it. None: succeeds.</summary>
    /// <param name="id">The domain, not running.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="WrongStateException">The domain runs.</exception>
    Task UndefineAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Starts a domain from its stored configuration and returns when its guest's processors run. A domain that
    /// runs or is paused: does nothing. A start that fails or is cancelled leaves no process and no device behind.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Gives the start up.</param>
    /// <exception cref="InsufficientResourceException">The host has not enough free memory.</exception>
    /// <exception cref="NotFoundException">No configuration is stored.</exception>
    Task StartAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Asks the guest to shut down (ACPI or PV) and returns at once; whether it obeys is its own affair. None runs: succeeds.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task RequestShutdownAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Asks the guest to reboot and returns when it has, on the stored configuration's disks; a guest that ignores it keeps running.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="timeout">How long the guest has.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Whether the guest rebooted within the time.</returns>
    Task<bool> RebootAsync(DomainId id, TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Waits, without polling, until no domain of this id runs or is paused any more. None runs: returns at once.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    Task WaitUntilStoppedAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Ends a domain at once, as pulling the plug would, and returns when it is really gone. None runs: succeeds
    /// (and forgets a crash).</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    Task DestroyAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Stops the guest's processors. Already paused: does nothing.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="WrongStateException">No domain runs.</exception>
    Task PauseAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Lets the guest's processors run again. Already running: does nothing.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="WrongStateException">No domain runs.</exception>
    Task ResumeAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Changes processors and memory of a running domain as far as it allows; the stored configuration is the caller's
    /// to change (<see cref="DefineAsync"/>). Not running: applies nothing.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cpus">The virtual processors wanted.</param>
    /// <param name="memory">The memory wanted.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<ResizeOutcome> ResizeAsync(DomainId id, int cpus, DataSize memory, CancellationToken cancellationToken = default);

    /// <summary>Gives a running domain another name. Not running: does nothing.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="name">The name.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task RenameAsync(DomainId id, string name, CancellationToken cancellationToken = default);

    /// <summary>A domain that runs, is paused or crashed; <see langword="null"/> when it is shut down.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<DomainStatus?> FindAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>All domains that run, are paused or crashed. Cheap: starts no process per domain.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<DomainStatus>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Where the running domain's VNC console listens; <see langword="null"/> when it does not run or has none
    /// (reference: <c>real_vnc_port</c>).</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<VncEndpoint?> FindVncAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>What the running domain has used; <see langword="null"/> when it does not run.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<DomainCounters?> FindCountersAsync(DomainId id, CancellationToken cancellationToken = default);
}

/// <summary>The verbs on a running domain's devices. See <see cref="IHypervisorDriver"/> for their errors; a domain that does
/// not run is a <see cref="WrongStateException"/>. The stored configuration is the caller's to change.</summary>
public interface IDeviceOperations
{
    /// <summary>Plugs a disk in. Already plugged: does nothing. A failure leaves nothing plugged.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task PlugDiskAsync(DomainId id, DomainDisk disk, CancellationToken cancellationToken = default);

    /// <summary>Unplugs a disk and returns when the guest has let it go and its image is closed. Not plugged: succeeds.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="HypervisorException">The guest did not let it go in time; it keeps the disk.</exception>
    Task UnplugDiskAsync(DomainId id, DiskId disk, CancellationToken cancellationToken = default);

    /// <summary>Plugs a network interface in. Already plugged (same MAC): does nothing. A failure leaves nothing plugged.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="nic">The interface.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task PlugNicAsync(DomainId id, DomainNic nic, CancellationToken cancellationToken = default);

    /// <summary>Unplugs a network interface and returns when the guest has let it go. Not plugged: succeeds.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="mac">The interface's address.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="HypervisorException">The guest did not let it go in time; it keeps the interface.</exception>
    Task UnplugNicAsync(DomainId id, MacAddress mac, CancellationToken cancellationToken = default);
}
