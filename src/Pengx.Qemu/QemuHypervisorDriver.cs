using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Pengx.Qmp;

namespace Pengx.Qemu;

/// <summary>The hypervisor driver for plain QEMU: each domain is a QEMU process in a session of its own, which outlives this
/// service and is taken up again by <see cref="IHypervisorDriver.StartAsync"/>.</summary>
public sealed class QemuHypervisorDriver : IHypervisorDriver, IDomainOperations, IDeviceOperations, ISerialConsole, ILiveDisks, IChangedBlocks, ILiveMigration, IGuestMemory
{
    private const int MaxConsoleLineBytes = 4096;

    private static readonly TimeSpan s_consolePoll = TimeSpan.FromMilliseconds(50);

    private readonly QemuEnvironment _environment;
    private readonly IProcessRunner _processes;
    private readonly ILogger _logger;
    private readonly HostReadings _host = new();
    private readonly ConcurrentDictionary<DomainId, QemuDomain> _domains = new();
    private readonly CancellationTokenSource _detached = new();
    private FileStream? _lock;
    private MigrationListener? _listener;
    private bool _isDisposed;

    /// <summary>Makes a driver. It touches nothing before <see cref="StartAsync(CancellationToken)"/>.</summary>
    /// <param name="options">How it works on this host; copied.</param>
    /// <param name="processes">Runs the probe; an own <see cref="ProcessRunner"/> when not given.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Where it logs; nowhere when not given.</param>
    /// <exception cref="InvalidFieldException">An option breaks its rule.</exception>
    public QemuHypervisorDriver(QemuOptions options, IProcessRunner? processes = null, TimeProvider? timeProvider = null, ILogger<QemuHypervisorDriver>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        var time = timeProvider ?? TimeProvider.System;
        _logger = logger ?? NullLogger<QemuHypervisorDriver>.Instance;
        _processes = processes ?? new ProcessRunner(time);
        _environment = new(options.Validate(), _processes, time, _logger);
    }

    /// <inheritdoc/>
    public string Name => "qemu";

    /// <inheritdoc/>
    public IDomainOperations Domains => this;

    /// <inheritdoc/>
    IDeviceOperations IHypervisorDriver.Devices => this;

    internal QemuEnvironment Environment => _environment;

    /// <inheritdoc/>
    public async Task<HypervisorCapabilities> ProbeAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            if (!OperatingSystem.IsLinux())
            {
                return new() { Usable = false, Reason = "The QEMU driver needs Linux." };
            }

            var binary = _environment.FindBinary();
            _ = _environment.User;
            var version = await _processes.RunAsync(new() { FileName = binary, Arguments = ["--version"] }, cancellationToken).ConfigureAwait(false);
            var (useKvm, accelerator) = await _environment.Probe.ChooseAsync(binary, cancellationToken).ConfigureAwait(false);
            var found = version.EnsureSuccess().Output.Split('\n')[0].Trim();
            return !useKvm && _environment.Options.Accelerator == QemuAccelerator.Kvm
                ? new() { Usable = false, Reason = $"{found}, but not with KVM as configured: {accelerator}." }
                : new() { Usable = true, Reason = $"{found} with {accelerator}." };
        }
        catch (PengxException exception)
        {
            return new() { Usable = false, Reason = exception.Message };
        }
    }

    /// <inheritdoc/>
    /// <exception cref="UnavailableException">Another service uses the state directory.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_lock is not null)
        {
            return;
        }

        const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Directory.CreateDirectory(_environment.Options.StateDirectory, Private);
        Directory.CreateDirectory(_environment.RunDirectory, Private);
        if (_environment.User is not null)
        {
            // QEMU's user passes through to its domain's own directory.
            File.SetUnixFileMode(_environment.RunDirectory, Private | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        }

        TakeLock();

        var processes = ProcessTable.Find(id => DomainFiles.PidFileOf(_environment.RunDirectory, id)).ToDictionary(entry => entry.Domain, entry => entry.Pid);
        var known = ListStored().Concat(processes.Keys).Distinct();
        await Task.WhenAll(known.Select(id => TakeUpAsync(id, processes.TryGetValue(id, out var pid) ? pid : null, cancellationToken))).ConfigureAwait(false);
        RemoveStrayRunDirectories();

        // Last: what became of the guests of before is known by then.
        _listener = MigrationListener.TryStart(_environment, DomainOf);
    }

    /// <inheritdoc/>
    public Task<HostFacts> GetHostFactsAsync(CancellationToken cancellationToken = default)
    {
        var (total, free) = HostReadings.ReadMemory();
        return Task.FromResult(new HostFacts
        {
            Cpus = System.Environment.ProcessorCount,
            ThreadsPerCore = HostReadings.ReadThreadsPerCore(),
            Memory = total,
            FreeMemory = free,
        });
    }

    /// <inheritdoc/>
    public Task<HostCounters> GetHostCountersAsync(CancellationToken cancellationToken = default)
    {
        var (total, free) = HostReadings.ReadMemory();
        var (received, sent) = HostReadings.ReadTraffic();
        var running = ListStatus().Where(status => status.State is VmState.Running or VmState.Paused).ToList();
        return Task.FromResult(new HostCounters
        {
            Domains = running.Count,
            UsedCpus = running.Sum(status => status.Cpus),
            UsedMemory = new(running.Sum(status => status.Memory.Bytes)),
            CpuUtilization = _host.ReadCpuUtilization(),
            MemoryUtilization = 100.0 * (total - free).Bytes / total.Bytes,
            ReceivedBytes = received,
            SentBytes = sent,
        });
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<DomainEvent> WatchAsync(CancellationToken cancellationToken = default) => _environment.Events.Subscribe(cancellationToken);

    /// <inheritdoc/>
    public bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class
    {
        feature = typeof(TFeature) == typeof(ISerialConsole) || typeof(TFeature) == typeof(ILiveDisks) || typeof(TFeature) == typeof(IChangedBlocks) || typeof(TFeature) == typeof(ILiveMigration) || typeof(TFeature) == typeof(IGuestMemory)
            ? this as TFeature
            : null;
        return feature is not null;
    }

    /// <inheritdoc/>
    Task IDomainOperations.DefineAsync(DomainDefinition definition, CancellationToken cancellationToken)
    {
        DomainRules.Check(definition);
        return Started(definition.Id).DefineAsync(definition, cancellationToken);
    }

    /// <inheritdoc/>
    Task<DomainDefinition?> IDomainOperations.FindDefinitionAsync(DomainId id, CancellationToken cancellationToken) =>
        Task.FromResult(_environment.FilesOf(id).ReadDefinition());

    /// <inheritdoc/>
    Task<IReadOnlyList<DomainId>> IDomainOperations.ListDefinedAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<DomainId>>([.. ListStored().Where(id => _environment.FilesOf(id).IsDefined)]);

    /// <inheritdoc/>
    async Task IDomainOperations.UndefineAsync(DomainId id, CancellationToken cancellationToken) =>
        await Started(id).UndefineAsync(cancellationToken).ConfigureAwait(false);

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

    /// <summary>Does nothing: a QEMU process is named by its domain's UUID, never by a name that a user wrote.</summary>
    Task IDomainOperations.RenameAsync(DomainId id, string name, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    Task<DomainStatus?> IDomainOperations.FindAsync(DomainId id, CancellationToken cancellationToken) =>
        Task.FromResult(_domains.TryGetValue(id, out var domain) ? domain.Status : null);

    /// <inheritdoc/>
    Task<IReadOnlyList<DomainStatus>> IDomainOperations.ListAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<DomainStatus>>([.. ListStatus()]);

    /// <inheritdoc/>
    Task<VncEndpoint?> IDomainOperations.FindVncAsync(DomainId id, CancellationToken cancellationToken) => Started(id).FindVncAsync(cancellationToken);

    /// <inheritdoc/>
    Task<DomainCounters?> IDomainOperations.FindCountersAsync(DomainId id, CancellationToken cancellationToken) => Started(id).FindCountersAsync(cancellationToken);

    /// <inheritdoc/>
    Task IDeviceOperations.PlugDiskAsync(DomainId id, DomainDisk disk, CancellationToken cancellationToken) => Started(id).PlugDiskAsync(disk, cancellationToken);

    /// <inheritdoc/>
    Task IDeviceOperations.UnplugDiskAsync(DomainId id, DiskId disk, CancellationToken cancellationToken) => Started(id).UnplugDiskAsync(disk, cancellationToken);

    /// <inheritdoc/>
    Task IDeviceOperations.PlugNicAsync(DomainId id, DomainNic nic, CancellationToken cancellationToken) => Started(id).PlugNicAsync(nic, cancellationToken);

    /// <inheritdoc/>
    Task IDeviceOperations.UnplugNicAsync(DomainId id, MacAddress mac, CancellationToken cancellationToken) => Started(id).UnplugNicAsync(mac, cancellationToken);

    /// <inheritdoc/>
    Task<IReadOnlyList<DomainDisk>> ILiveDisks.ReadAsync(DomainId id, CancellationToken cancellationToken) => Started(id).ReadDisksAsync(cancellationToken);

    /// <inheritdoc/>
    Task<bool> ILiveDisks.OverlayAsync(DomainId id, IReadOnlyList<DiskReplacement> disks, bool quiesce, CancellationToken cancellationToken) =>
        Started(id).OverlayAsync(disks, quiesce, cancellationToken);

    /// <inheritdoc/>
    Task ILiveDisks.CommitAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) =>
        Started(id).CommitAsync(disk, limits, progress, cancellationToken);

    /// <inheritdoc/>
    Task ILiveDisks.StreamAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) =>
        Started(id).StreamAsync(disk, limits, progress, cancellationToken);

    /// <inheritdoc/>
    Task<IReadOnlyList<ChangedBlocks>> IChangedBlocks.ReadAsync(DomainId id, CancellationToken cancellationToken) => Started(id).ReadChangesAsync(cancellationToken);

    /// <inheritdoc/>
    Task IChangedBlocks.TrackAsync(DomainId id, BackupId since, CancellationToken cancellationToken) => Started(id).TrackChangesAsync(since, cancellationToken);

    /// <inheritdoc/>
    Task IChangedBlocks.ForgetAsync(DomainId id, IReadOnlyCollection<BackupId> backups, CancellationToken cancellationToken) =>
        Started(id).ForgetChangesAsync(backups, cancellationToken);

    /// <inheritdoc/>
    Task<long> IChangedBlocks.CopyAsync(
        DomainId id, BackupId since, DomainDisk disk, DiskLayer target, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) =>
        Started(id).CopyChangesAsync(since, disk, target, limits, progress, cancellationToken);

    /// <inheritdoc/>
    Task IChangedBlocks.AbandonCopiesAsync(DomainId id, CancellationToken cancellationToken) => Started(id).AbandonCopiesAsync(cancellationToken);

    /// <inheritdoc/>
    Task ILiveMigration.CheckMigrationAsync(DomainId id, string host, CancellationToken cancellationToken) => Started(id).CheckMigrationAsync(host, cancellationToken);

    /// <inheritdoc/>
    Task ILiveMigration.MigrateAsync(DomainId id, string host, CancellationToken cancellationToken) => Started(id).MigrateAsync(host, cancellationToken);

    /// <inheritdoc/>
    Task<bool> ILiveMigration.IsHereAsync(DomainId id, CancellationToken cancellationToken) => Started(id).IsHereAsync(cancellationToken);

    /// <inheritdoc/>
    Task IGuestMemory.CheckSaveAsync(DomainId id, CancellationToken cancellationToken) => Started(id).CheckSaveAsync(cancellationToken);

    /// <inheritdoc/>
    Task IGuestMemory.SaveAsync(DomainId id, DiskLocation memory, IReadOnlyList<DiskReplacement> disks, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) =>
        Started(id).SaveMemoryAsync(memory, disks, progress, cancellationToken);

    /// <inheritdoc/>
    Task IGuestMemory.StartAsync(DomainId id, DiskLocation memory, CancellationToken cancellationToken) => Started(id).StartAsync(memory, cancellationToken);

    /// <inheritdoc/>
    async IAsyncEnumerable<string> ISerialConsole.ReadLinesAsync(DomainId id, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var domain = Started(id);
        if (!File.Exists(domain.Files.SerialLog))
        {
            yield break;
        }

        var log = new FileStream(domain.Files.SerialLog, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        await using (log.ConfigureAwait(false))
        {
            var splitter = new ConsoleLines(MaxConsoleLineBytes);
            var buffer = new byte[MaxConsoleLineBytes];
            while (true)
            {
                // Asked before the read: what was printed until the end is read before the end is believed.
                var isOver = domain.Status is not { State: VmState.Running or VmState.Paused };
                var count = await log.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
                if (count > 0)
                {
                    foreach (var line in splitter.Take(buffer.AsSpan(0, count)))
                    {
                        yield return line;
                    }
                }
                else if (isOver)
                {
                    break;
                }
                else
                {
                    await Task.Delay(s_consolePoll, _environment.Time, cancellationToken).ConfigureAwait(false);
                }
            }

            if (splitter.TakeRest() is { } rest)
            {
                yield return rest;
            }
        }
    }

    /// <summary>Lets go of all domains; they go on running.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        if (_listener is not null)
        {
            await _listener.DisposeAsync().ConfigureAwait(false);
        }

        await _detached.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_domains.Values.Select(domain => domain.DisposeAsync().AsTask())).ConfigureAwait(false);
        _environment.Events.Close();
        if (_lock is not null)
        {
            await _lock.DisposeAsync().ConfigureAwait(false);
        }

        _environment.Dispose();
        _detached.Dispose();
    }

    private QemuDomain DomainOf(DomainId id) => _domains.GetOrAdd(id, static (key, driver) => new(key, driver._environment, driver._detached.Token), this);

    private QemuDomain Started(DomainId id)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return _lock is not null ? DomainOf(id) : throw new InvalidOperationException("Call StartAsync of the driver first.");
    }

    private IEnumerable<DomainStatus> ListStatus() => _domains.Values.Select(domain => domain.Status).OfType<DomainStatus>();

    private IEnumerable<DomainId> ListStored() => Directory.Exists(_environment.Options.StateDirectory)
        ? Directory.EnumerateDirectories(_environment.Options.StateDirectory)
            .Select(path => DomainId.TryParse(Path.GetFileName(path), out var id) && Path.GetFileName(path) == id.ToString() ? id : (DomainId?)null)
            .OfType<DomainId>()
        : [];

    private async Task TakeUpAsync(DomainId id, int? pid, CancellationToken cancellationToken)
    {
        try
        {
            await (pid is { } found ? DomainOf(id).AdoptAsync(found, cancellationToken) : DomainOf(id).RecoverAsync(cancellationToken)).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is PengxException or QmpException or IOException or UnauthorizedAccessException)
        {
            // One domain in trouble must not keep the service from all the others.
            Log.TakeUpFailed(_logger, id, exception);
        }
    }

    private void TakeLock()
    {
        var path = Path.Combine(_environment.Options.StateDirectory, "lock");
        try
        {
            _lock = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException exception)
        {
            throw new UnavailableException($"Another service uses {_environment.Options.StateDirectory}: {exception.Message}", exception);
        }
    }

    private void RemoveStrayRunDirectories()
    {
        foreach (var path in Directory.EnumerateDirectories(_environment.RunDirectory))
        {
            if (Guid.TryParseExact(Path.GetFileName(path), "N", out var value) && _domains.TryGetValue(new(value), out var domain) && domain.Status is not { State: VmState.Running or VmState.Paused })
            {
                domain.Files.DeleteRunDirectory();
            }
        }
    }
}
