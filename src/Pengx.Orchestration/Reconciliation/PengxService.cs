using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Pengx.Orchestration;

/// <summary>Starts and stops everything in order: the database, the hypervisor's driver, this PM's row, unfinished operations,
/// reconciliation. A hosted application does it by itself; others call it before their first request and before their end.</summary>
/// <remarks>Stopping leaves guests as they are.</remarks>
public sealed class PengxService : IHostedService, IAsyncDisposable
{
    private readonly Workplace _place;
    private readonly PhysicalMachines _hosts;
    private readonly StorageLayers _layers;
    private readonly OperationEngine _engine;
    private readonly Reconciler _reconciler;
    private readonly ILogger _logger;
    private bool _stopped;

    internal PengxService(
        Workplace place, WorkflowCatalog workflows, PhysicalMachines hosts, StorageLayers layers, OperationEngine engine, ILogger<PengxService> logger, ILogger<Reconciler> reconcilerLogger)
    {
        _place = place;
        _hosts = hosts;
        _layers = layers;
        _engine = engine;
        _logger = logger;
        _reconciler = new Reconciler(place, workflows, hosts, engine, reconcilerLogger);
    }

    /// <summary>Whether everything is started and serves.</summary>
    public bool IsServing { get; private set; }

    /// <summary>Starts everything and returns when requests can be served. Unfinished operations go on in the background.</summary>
    /// <param name="cancellationToken">Gives the start up.</param>
    /// <exception cref="UnavailableException">The database or the hypervisor cannot be reached.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await _place.Store.InitializeAsync(cancellationToken).ConfigureAwait(false);
        await _place.Driver.StartAsync(cancellationToken).ConfigureAwait(false);
        await _hosts.RegisterAsync(cancellationToken).ConfigureAwait(false);
        Log.Registered(_logger, _place.Host.Id, _place.Host.Name, _place.Driver.Name);
        await _layers.ForgetSecretsAsync(cancellationToken).ConfigureAwait(false);
        await _engine.StartAsync(cancellationToken).ConfigureAwait(false);
        await _reconciler.StartAsync(cancellationToken).ConfigureAwait(false);
        IsServing = true;
    }

    /// <summary>Stops serving: running steps get a bounded time, what has not ended is taken up at the next start.</summary>
    /// <param name="cancellationToken">Stops at once.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        IsServing = false;
        await _engine.StopAsync(cancellationToken).ConfigureAwait(false);
        if (!_stopped)
        {
            _stopped = true;
            await _reconciler.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Stops at once, unless it was stopped before.</summary>
    public async ValueTask DisposeAsync() => await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
}
