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

    public IHypervisorDriver Driver { get; }

    public StorageBackends Storage { get; }

    public TimeProvider TimeProvider { get; }

    public MachineOptions Options { get; }

    public LocalHost Host { get; }

    public DomainDefinitions Definitions { get; }

    public GuestRecorder Recorder { get; }

    public DateTimeOffset Now => TimeProvider.GetUtcNow();

    /// <summary>Whether a domain runs or is paused.</summary>
    public async Task<bool> IsAliveAsync(DomainId id, CancellationToken cancellationToken) =>
        await Driver.Domains.FindAsync(id, cancellationToken).ConfigureAwait(false) is { State: VmState.Running or VmState.Paused };

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
}
