using Microsoft.Extensions.Options;

namespace Pengx.Orchestration;

/// <summary>What every use case and workflow works with.</summary>
internal sealed class Workplace
{
    public Workplace(IPengxStore store, IHypervisorDriver driver, IEnumerable<IStorageBackend> backends, TimeProvider timeProvider, IOptions<MachineOptions> options, LocalHost host)
    {
        Store = store;
        Driver = driver;
        Storage = new(backends, host);
        TimeProvider = timeProvider;
        Options = options.Value;
        Host = host;
        Definitions = new(this);
        Recorder = new(this);
    }

    public IPengxStore Store { get; }

    public required IOperationJournal Journal { get; init; }

    public IHypervisorDriver Driver { get; }

    public StorageBackends Storage { get; }

    /// <summary>Changes the chains of images at rest; a service without disks has none.</summary>
    public IDiskChains Chains { get => field ?? throw NoChains(); init; }

    /// <summary>Tells of images what they hold of their own.</summary>
    public IDiskUse DiskUse { get => field ?? throw NoChains(); init; }

    public TimeProvider TimeProvider { get; }

    public MachineOptions Options { get; }

    public LocalHost Host { get; }

    public DomainDefinitions Definitions { get; }

    public GuestRecorder Recorder { get; }

    public DateTimeOffset Now => TimeProvider.GetUtcNow();

    /// <summary>Whether a domain runs or is paused.</summary>
    public async Task<bool> IsAliveAsync(DomainId id, CancellationToken cancellationToken) =>
        await Driver.Domains.FindAsync(id, cancellationToken).ConfigureAwait(false) is { State: VmState.Running or VmState.Paused };

    /// <summary>The state of a domain on this host; one that is not there is shut down.</summary>
    public async Task<VmState> StateAsync(DomainId id, CancellationToken cancellationToken) =>
        (await Driver.Domains.FindAsync(id, cancellationToken).ConfigureAwait(false))?.State ?? VmState.Shutdown;

    /// <summary>Ends a domain that has crashed, before somebody works on its disks at rest: where it is kept to be looked at, its QEMU has
    /// the images open, and writes to them once more when it goes.</summary>
    public async Task EndCrashedAsync(VmId id, CancellationToken cancellationToken)
    {
        if (await Driver.Domains.FindAsync(id, cancellationToken).ConfigureAwait(false) is { State: VmState.Crashed })
        {
            await Driver.Domains.DestroyAsync(id, cancellationToken).ConfigureAwait(false);
            await Recorder.RecordAsync(new GuestRef(IsTemplate: false, id.Value, id.ToString()), null, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>A machine, which must be this PM's.</summary>
    /// <exception cref="WrongStateException">It is another's.</exception>
    public VirtualMachine DemandOwn(VirtualMachine machine) => machine.Pm == Host.Id
        ? machine
        : throw new WrongStateException($"VM '{machine.Name}' lives on PM {machine.Pm}; ask that one.");

    /// <summary>Demands that machines which an operation holds alone are this PM's: until it held them, they could be moved to another.
    /// One that is only to be made has no row yet.</summary>
    /// <exception cref="WrongStateException">One is another's.</exception>
    public async Task DemandOwnAsync(IReadOnlyList<ResourceLock> claims, CancellationToken cancellationToken)
    {
        foreach (var claim in claims)
        {
            if (!claim.Shared && claim.Resource.Split('/') is ["vm", var text] && VmId.TryParse(text, out var id)
                && await Store.ReadAsync(session => session.VirtualMachines.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false) is { } machine)
            {
                DemandOwn(machine);
            }
        }
    }

    /// <summary>What changes disks while their guest runs.</summary>
    /// <exception cref="WrongStateException">The hypervisor cannot.</exception>
    public ILiveDisks LiveDisks(string machine) => Driver.TryGetFeature<ILiveDisks>(out var live)
        ? live
        : throw new WrongStateException($"VM '{machine}' runs, and hypervisor {Driver.Name} cannot change disks of a running machine; stop it first.");

    /// <summary>What keeps a running guest's memory.</summary>
    /// <exception cref="WrongStateException">The hypervisor cannot.</exception>
    public IGuestMemory GuestMemory(string machine) => Driver.TryGetFeature<IGuestMemory>(out var memory)
        ? memory
        : throw new WrongStateException($"Hypervisor {Driver.Name}, which VM '{machine}' runs on, can neither keep the memory of guests nor start them with it.");

    /// <summary>Where a guest's console is; null also while the guest runs but does not answer: what is known of it must be
    /// readable all the same.</summary>
    public async Task<VncEndpoint?> FindVncAsync(DomainId id, CancellationToken cancellationToken)
    {
        try
        {
            return await Driver.Domains.FindVncAsync(id, cancellationToken).ConfigureAwait(false);
        }
        catch (UnavailableException)
        {
            return null;
        }
    }

    private static UnavailableException NoChains() => new("Nothing that works on chains of images is registered with this service.");
}
