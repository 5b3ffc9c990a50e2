using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx.Xen;

/// <summary>The hypervisor driver for Xen: domains by xl, their state by xl and xenstore, events by xenstore's watches. Guests outlive
/// this service and are taken up again by <see cref="IHypervisorDriver.StartAsync"/>.</summary>
public sealed class XenHypervisorDriver : IHypervisorDriver, IDomainOperations, IDeviceOperations, ILiveMigration, ILiveDisks
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private readonly XenOptions _options;
    private readonly IProcessRunner _processes;
    private readonly XlTool _xl;
    private readonly XenDomainPlaces _places;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly DomainEventHub _events = new();
    private readonly XenProcessorLoad _load;
    private readonly ConcurrentDictionary<DomainId, XenDomain> _domains = new();
    private readonly CancellationTokenSource _detached = new();
    private FileStream? _lock;
    private XenEnvironment? _environment;
    private bool _isDisposed;

    /// <summary>Makes a driver. It touches nothing before <see cref="StartAsync(CancellationToken)"/>.</summary>
    /// <param name="options">How it works on this host; copied.</param>
    /// <param name="processes">Runs xl; an own <see cref="ProcessRunner"/> when not given.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Where it logs; nowhere when not given.</param>
    /// <exception cref="InvalidFieldException">An option breaks its rule.</exception>
    public XenHypervisorDriver(XenOptions options, IProcessRunner? processes = null, TimeProvider? timeProvider = null, ILogger<XenHypervisorDriver>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options.Validate();
        _time = timeProvider ?? TimeProvider.System;
        _logger = logger ?? NullLogger<XenHypervisorDriver>.Instance;
        _processes = processes ?? new ProcessRunner(_time);
        _xl = new(_processes, _options.Xl);
        _places = new(_options);
        _load = new(_time);
    }

    /// <inheritdoc/>
    public string Name => "xen";

    /// <inheritdoc/>
    public IDomainOperations Domains => this;

    /// <inheritdoc/>
    IDeviceOperations IHypervisorDriver.Devices => this;

    private XenEnvironment Running => _environment ?? throw new InvalidOperationException("Call StartAsync of the driver first.");

    /// <summary>Whether this system is the control domain of a Xen host (<c>/proc/xen/capabilities</c>).</summary>
    public static bool IsControlDomain()
    {
        try
        {
            return File.ReadAllText("/proc/xen/capabilities").Contains("control_d", StringComparison.Ordinal);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public async Task<HypervisorCapabilities> ProbeAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            if (!System.Environment.IsPrivilegedProcess)
            {
                return new() { Usable = false, Reason = "Xen is managed by root alone, and this service runs as another user." };
            }

            var info = await _xl.GetInfoAsync(cancellationToken).ConfigureAwait(false);
            if (!info.Supports(_options.Guests.Kind))
            {
                return new() { Usable = false, Reason = $"Xen {info.XenVersion} runs no {KindName()} guests here (xl info, virt_caps)." };
            }

            var store = await ConnectAsync(reconnects: false, cancellationToken).ConfigureAwait(false);
            await store.DisposeAsync().ConfigureAwait(false);
            return new() { Usable = true, Reason = $"Xen {info.XenVersion} with {KindName()} guests." };
        }
        catch (PengxException exception)
        {
            return new() { Usable = false, Reason = exception.Message };
        }
    }

    /// <inheritdoc/>
    /// <exception cref="UnavailableException">Another service uses the state directory, or Xen does not answer.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_environment is not null)
        {
            return;
        }

        Directory.CreateDirectory(_options.StateDirectory, Private);
        Directory.CreateDirectory(_options.RunDirectory, Private);
        TakeLock();
        var guests = await FindProfileAsync(cancellationToken).ConfigureAwait(false);
        var store = await ConnectAsync(reconnects: true, cancellationToken).ConfigureAwait(false);
        var table = new XenDomainTable(_xl, store, _places, _events, _time, _logger) { Rebuild = (id, token) => Started(id).RebuildAsync(token) };
        var environment = new XenEnvironment
        {
            Options = _options,
            Guests = guests,
            Xl = _xl,
            Store = store,
            Table = table,
            Places = _places,
            Time = _time,
            Logger = _logger,
        };
        try
        {
            _environment = environment;
            var changing = FindChanging(table);
            await table.StartAsync(cancellationToken).ConfigureAwait(false);
            foreach (var id in changing)
            {
                await Started(id).TakeUpAsync(cancellationToken).ConfigureAwait(false);
            }

            var info = await _xl.GetInfoAsync(cancellationToken).ConfigureAwait(false);
            _load.Take(await _xl.ListAsync(cancellationToken).ConfigureAwait(false), info.Cpus);
            foreach (var advice in XenHostAdvice.Find(info.Values.GetValueOrDefault("xen_commandline", "")))
            {
                Log.HostAdvice(_logger, advice);
            }
        }
        catch (Exception exception)
        {
            _environment = null;
            await table.DisposeAsync().ConfigureAwait(false);
            await store.DisposeAsync().ConfigureAwait(false);
            throw exception is XenstoreException ? new UnavailableException($"xenstore does not answer: {exception.Message}", exception) : exception;
        }
    }

    /// <inheritdoc/>
    public async Task<HostFacts> GetHostFactsAsync(CancellationToken cancellationToken = default) =>
        (await _xl.GetInfoAsync(cancellationToken).ConfigureAwait(false)).ToFacts();

    /// <inheritdoc/>
    public async Task<HostCounters> GetHostCountersAsync(CancellationToken cancellationToken = default)
    {
        // Two processes, however many domains there are.
        var info = await _xl.GetInfoAsync(cancellationToken).ConfigureAwait(false);
        var rows = await _xl.ListAsync(cancellationToken).ConfigureAwait(false);
        var guests = rows.Where(row => row is { Domain: > 0, State.Activity: XlDomainActivity.Running or XlDomainActivity.Paused }).ToList();
        var (received, sent) = HostReadings.ReadTraffic();
        return new()
        {
            Domains = guests.Count,
            UsedCpus = guests.Sum(guest => guest.Cpus),
            UsedMemory = new(guests.Sum(guest => guest.Memory.Bytes)),
            CpuUtilization = _load.Take(rows, info.Cpus),
            MemoryUtilization = 100.0 * (info.Memory - info.FreeMemory).Bytes / info.Memory.Bytes,
            ReceivedBytes = received,
            SentBytes = sent,
        };
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<DomainEvent> WatchAsync(CancellationToken cancellationToken = default) => _events.Subscribe(cancellationToken);

    /// <inheritdoc/>
    public bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class
    {
        feature = typeof(TFeature) == typeof(ILiveMigration) || typeof(TFeature) == typeof(ILiveDisks) ? this as TFeature : null;
        return feature is not null;
    }

    /// <inheritdoc/>
    Task IDomainOperations.DefineAsync(DomainDefinition definition, CancellationToken cancellationToken)
    {
        DefinitionRules.Check(definition);
        return Started(definition.Id).DefineAsync(definition, cancellationToken);
    }

    /// <inheritdoc/>
    Task<DomainDefinition?> IDomainOperations.FindDefinitionAsync(DomainId id, CancellationToken cancellationToken) =>
        Task.FromResult(_places.Of(id).ReadDefinition());

    /// <inheritdoc/>
    Task<IReadOnlyList<DomainId>> IDomainOperations.ListDefinedAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<DomainId>>([.. _places.ListDefined()]);

    /// <inheritdoc/>
    Task IDomainOperations.UndefineAsync(DomainId id, CancellationToken cancellationToken) => Started(id).UndefineAsync(cancellationToken);

    /// <inheritdoc/>
    Task IDomainOperations.StartAsync(DomainId id, CancellationToken cancellationToken) => Started(id).StartAsync(cancellationToken);

    /// <inheritdoc/>
    Task IDomainOperations.RequestShutdownAsync(DomainId id, CancellationToken cancellationToken) => Started(id).RequestShutdownAsync(cancellationToken);

    /// <inheritdoc/>
    Task<bool> IDomainOperations.RebootAsync(DomainId id, TimeSpan timeout, CancellationToken cancellationToken) => Started(id).RebootAsync(timeout, cancellationToken);

    /// <inheritdoc/>
    Task IDomainOperations.WaitUntilStoppedAsync(DomainId id, CancellationToken cancellationToken) => Started(id).WaitUntilStoppedAsync(cancellationToken);

    /// <inheritdoc/>
    Task IDomainOperations.DestroyAsync(DomainId id, CancellationToken cancellationToken) => Started(id).DestroyAsync(cancellationToken);

    /// <inheritdoc/>
    Task IDomainOperations.PauseAsync(DomainId id, CancellationToken cancellationToken) => Started(id).PauseAsync(cancellationToken);

    /// <inheritdoc/>
    Task IDomainOperations.ResumeAsync(DomainId id, CancellationToken cancellationToken) => Started(id).ResumeAsync(cancellationToken);

    /// <inheritdoc/>
    Task<ResizeOutcome> IDomainOperations.ResizeAsync(DomainId id, int cpus, DataSize memory, CancellationToken cancellationToken) =>
        Started(id).ResizeAsync(cpus, memory, cancellationToken);

    /// <inheritdoc/>
    Task IDomainOperations.RenameAsync(DomainId id, string name, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Started(id).RenameAsync(name, cancellationToken);
    }

    /// <inheritdoc/>
    async Task<DomainStatus?> IDomainOperations.FindAsync(DomainId id, CancellationToken cancellationToken)
    {
        await Running.Table.ReadAsync(cancellationToken).ConfigureAwait(false);
        return Running.Table.Find(id)?.ToStatus();
    }

    /// <inheritdoc/>
    async Task<IReadOnlyList<DomainStatus>> IDomainOperations.ListAsync(CancellationToken cancellationToken)
    {
        await Running.Table.ReadAsync(cancellationToken).ConfigureAwait(false);
        return [.. Running.Table.List().Select(run => run.ToStatus())];
    }

    /// <inheritdoc/>
    Task<VncEndpoint?> IDomainOperations.FindVncAsync(DomainId id, CancellationToken cancellationToken) => Started(id).FindVncAsync(cancellationToken);

    /// <inheritdoc/>
    Task<DomainCounters?> IDomainOperations.FindCountersAsync(DomainId id, CancellationToken cancellationToken) => Started(id).FindCountersAsync(cancellationToken);

    /// <inheritdoc/>
    Task IDeviceOperations.PlugDiskAsync(DomainId id, DomainDisk disk, CancellationToken cancellationToken) => Started(id).PlugDiskAsync(disk, cancellationToken);

    /// <inheritdoc/>
    Task IDeviceOperations.UnplugDiskAsync(DomainId id, DiskId disk, CancellationToken cancellationToken) => Started(id).UnplugDiskAsync(disk, cancellationToken);

    /// <inheritdoc/>
    Task IDeviceOperations.PlugNicAsync(DomainId id, DomainNic nic, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(nic);
        return Started(id).PlugNicAsync(nic, cancellationToken);
    }

    /// <inheritdoc/>
    Task IDeviceOperations.UnplugNicAsync(DomainId id, MacAddress mac, CancellationToken cancellationToken) => Started(id).UnplugNicAsync(mac, cancellationToken);

    /// <inheritdoc/>
    Task ILiveMigration.CheckMigrationAsync(DomainId id, string host, CancellationToken cancellationToken) => Started(id).CheckMigrationAsync(host, cancellationToken);

    /// <inheritdoc/>
    Task ILiveMigration.MigrateAsync(DomainId id, string host, CancellationToken cancellationToken) => Started(id).MigrateAsync(host, cancellationToken);

    /// <inheritdoc/>
    Task<bool> ILiveMigration.IsHereAsync(DomainId id, CancellationToken cancellationToken) => Started(id).IsHereAsync(cancellationToken);

    /// <inheritdoc/>
    Task<IReadOnlyList<DomainDisk>> ILiveDisks.ReadAsync(DomainId id, CancellationToken cancellationToken) => Started(id).ReadDisksAsync(cancellationToken);

    /// <inheritdoc/>
    Task<bool> ILiveDisks.OverlayAsync(DomainId id, IReadOnlyList<DiskReplacement> disks, bool quiesce, CancellationToken cancellationToken) =>
        Started(id).OverlayAsync(disks, cancellationToken);

    /// <inheritdoc/>
    Task ILiveDisks.CommitAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) =>
        Started(id).CommitAsync(disk, limits, progress, cancellationToken);

    /// <inheritdoc/>
    Task ILiveDisks.StreamAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) =>
        Started(id).StreamAsync(disk, limits, progress, cancellationToken);

    /// <summary>Lets go of all domains; they go on running.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        await _detached.CancelAsync().ConfigureAwait(false);
        if (_environment is { } environment)
        {
            await environment.Table.DisposeAsync().ConfigureAwait(false);
            await environment.Store.DisposeAsync().ConfigureAwait(false);
        }

        foreach (var domain in _domains.Values)
        {
            domain.Dispose();
        }

        _events.Close();
        if (_lock is not null)
        {
            await _lock.DisposeAsync().ConfigureAwait(false);
        }

        _detached.Dispose();
    }

    private async Task<XlGuestProfile> FindProfileAsync(CancellationToken cancellationToken)
    {
        var guests = _options.Guests;
        if (guests is { Vnc: XlVncConsole.WithPassword, Kind: not XlGuestKind.Pvh }
            && await XenVncProbe.FindObstacleAsync(_processes, _options.DeviceModel, _options.RunDirectory, cancellationToken).ConfigureAwait(false) is { } obstacle)
        {
            // Never an open console instead of a closed one, unless somebody asked for it.
            Log.NoVncPasswords(_logger, obstacle);
            return guests with { Vnc = XlVncConsole.None };
        }

        return guests;
    }

    /// <summary>The domains whose disks were being changed when the last service ended. None of them is seen paused for that.</summary>
    private List<DomainId> FindChanging(XenDomainTable table)
    {
        List<DomainId> changing = [];
        foreach (var id in _places.ListDefined())
        {
            try
            {
                if (_places.Of(id).ReadRunRecord() is { } record)
                {
                    changing.Add(id);
                    if (record.IsHeld)
                    {
                        table.Hold(id, record.Domain);
                    }
                }
            }
            catch (HypervisorException exception)
            {
                Log.SettleFailed(_logger, id, exception);
            }
        }

        return changing;
    }

    private string KindName() => _options.Guests.Kind.ToString().ToUpperInvariant();

    private XenDomain Started(DomainId id)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return _domains.GetOrAdd(id, static (key, driver) => new(key, driver.Running, driver._detached.Token), this);
    }

    private async Task<IXenstoreClient> ConnectAsync(bool reconnects, CancellationToken cancellationToken)
    {
        try
        {
            return await XenstoreClient.ConnectAsync(
                _options.XenstorePath is { } path ? XenstoreEndPoint.At(path) : XenstoreEndPoint.Default,
                new() { TimeProvider = _time, Logger = _logger, Reconnect = reconnects ? new() : null },
                cancellationToken).ConfigureAwait(false);
        }
        catch (XenstoreException exception)
        {
            throw new UnavailableException($"xenstore cannot be reached: {exception.Message}", exception);
        }
    }

    private void TakeLock()
    {
        try
        {
            _lock ??= new FileStream(Path.Combine(_options.StateDirectory, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException exception)
        {
            throw new UnavailableException($"Another service uses {_options.StateDirectory}: {exception.Message}", exception);
        }
    }
}
