using System.Globalization;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>How <see cref="NfsLayers"/> mounts.</summary>
public sealed class NfsOptions
{
    /// <summary>The program.</summary>
    /// <value><c>mount.nfs</c>.</value>
    public string MountNfs { get; set; } = "mount.nfs";

    /// <summary>The options where a layer names none.</summary>
    /// <value>Version 4.2 over TCP; I/O waits for a server that is away, as running guests need it.</value>
    public string MountOptions { get; set; } = "vers=4.2,proto=tcp,hard,timeo=600,retrans=2";

    /// <summary>The kernel's list of mounts.</summary>
    /// <value><c>/proc/self/mountinfo</c>.</value>
    public string MountInfo { get; set; } = "/proc/self/mountinfo";

    /// <summary>How long a mount, an unmount and asking the server may take.</summary>
    /// <value>30 seconds.</value>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);
}

/// <summary>NFS: mounts an export, and unmounts it.</summary>
/// <remarks>A layer is ordered by <see cref="StorageLayer.Target"/> (<c>server:/path</c>) and <see cref="StorageLayer.MountPoint"/>. What is
/// mounted is read from mountinfo, which answers even when the server does not; the mount point itself is asked only by programs that can
/// be ended. Nothing is ever written to a mount point that is not mounted: it is made with mode 0, and must be empty. Safe to use from many
/// threads.</remarks>
public sealed class NfsLayers : IStorageLayerDriver
{
    private const int Port = 2049;
    private const string Protection = "nosuid,nodev,noexec";

    // The words for ESTALE: the server does not know the mount any more, so nothing that waits there can go on.
    private const string StaleHandle = "Stale file handle";

    private readonly NfsOptions _options;
    private readonly PathProbe _paths;
    private readonly FileSystemSteps _fileSystems;
    private readonly LayerExecution _execution;

    /// <summary>Makes a driver.</summary>
    /// <param name="runner">Runs the programs.</param>
    /// <param name="options">How it mounts; the defaults when not given.</param>
    /// <param name="leaseDirectory">Where the locks between processes of this host lie.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of every step.</param>
    public NfsLayers(IProcessRunner runner, NfsOptions? options = null, string leaseDirectory = "/run/pengx/leases", TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _options = options ?? new();
        _paths = new(runner, _options.Timeout);
        _fileSystems = new(new FormatGuard(runner), new DeviceGuard(), _options.MountInfo);
        _execution = new(runner, leaseDirectory, timeProvider, logger);
    }

    /// <inheritdoc/>
    public bool Serves(StorageCategory category) => category == StorageCategory.Nfs;

    /// <inheritdoc/>
    public Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default) =>
        _execution.RunAsync(this, "nfs", order, shown, cancellationToken);

    /// <inheritdoc/>
    public async Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(order);
        LayerExecution.DemandServed(this, order);
        var (target, point) = Demand(order.Layer);
        var title = $"{order.Verb} {target} at {point}";
        var mount = _fileSystems.Find(point);
        if (mount is not null && !IsOurs(mount, target))
        {
            throw new WrongStateException($"{mount.Source} ({mount.Type}) is mounted at {point}.");
        }

        switch (order.Verb)
        {
            case StorageVerb.Create or StorageVerb.Attach when mount is null:
                await DemandAnswerAsync(target, order.Layer.MountOptions ?? _options.MountOptions, cancellationToken).ConfigureAwait(false);
                return LayerExecution.Plan(title, [.. _fileSystems.MakePoint(point), Mount(order.Layer, target, point)]);
            case StorageVerb.Create or StorageVerb.Attach when await _paths.FindFaultAsync(point, cancellationToken).ConfigureAwait(false) is { } stale:
                if (!stale.Contains(StaleHandle, StringComparison.Ordinal))
                {
                    throw new UnavailableException($"The NFS server of {point} does not answer ({stale}). The mount stays: what waits for the server goes on when it is back. Detach the layer to give it up.");
                }

                return LayerExecution.Plan(title, Unmount(target, point, lazy: true), Mount(order.Layer, target, point)) with
                {
                    Warnings = [$"What is mounted at {point} does not answer ({stale}): it is taken off and mounted anew; what has files open there keeps its errors."],
                };
            case StorageVerb.Detach or StorageVerb.Delete when mount is not null:
                var away = await _paths.FindFaultAsync(point, cancellationToken).ConfigureAwait(false);
                return LayerExecution.Plan(title, [Unmount(target, point, lazy: away is not null), .. order.Verb == StorageVerb.Delete ? [FileSystemSteps.RemoveDirectory(point)] : Array.Empty<StorageStep>()]) with
                {
                    Warnings = away is null ? [] : [$"The server does not answer ({away}): the mount is taken off at once, and ends when nothing uses it any more."],
                };
            case StorageVerb.Delete when Directory.Exists(point) && !Directory.EnumerateFileSystemEntries(point).Any():
                return LayerExecution.Plan(title, FileSystemSteps.RemoveDirectory(point));
            default:
                return LayerExecution.Plan(title);
        }
    }

    /// <inheritdoc/>
    public async Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        var (target, point) = Demand(layer);
        if (_fileSystems.Find(point) is not { } mount)
        {
            return Directory.Exists(point) ? new(layer, target, false) : null;
        }

        if (!IsOurs(mount, target))
        {
            return new(layer, target, false) { Warnings = [$"{mount.Source} ({mount.Type}) is mounted at {point}."] };
        }

        return await _paths.FindFaultAsync(point, cancellationToken).ConfigureAwait(false) is { } stale
            ? new(layer, target, true) { Warnings = [$"The server does not answer: {stale}."] }
            : await _paths.MeasuredAsync(layer, target, point, cancellationToken).ConfigureAwait(false);
    }

    private StorageStep Mount(StorageLayer layer, string target, string point) => new()
    {
        Description = $"Mount {target} at {point}",
        Action = new ToolAction(new ProcessCommand { FileName = _options.MountNfs, Arguments = [target, point, "-o", $"{layer.MountOptions ?? _options.MountOptions},retry=0,{Protection}"], Timeout = _options.Timeout }),
        Risk = StorageRisk.Reversible,
        Before = [_fileSystems.IsEmpty(point)],
        After = IsMounted(target, point),
        Undo = new(ToolAction.Of("umount", "--", point)) { Needed = IsMounted(target, point) },
    };

    private StorageStep Unmount(string target, string point, bool lazy) => new()
    {
        Description = lazy ? $"Take the mount at {point}, which does not answer, off" : $"Unmount {point}",
        Action = new ToolAction(new ProcessCommand { FileName = "umount", Arguments = lazy ? ["--force", "--lazy", "--", point] : ["--", point], Timeout = _options.Timeout }),
        Risk = StorageRisk.Reversible,
        Before = [IsMounted(target, point)],
        After = new($"nothing is mounted at {point}", _ => Task.FromResult(_fileSystems.Find(point) is { } mount ? $"{mount.Source} is" : null)) { Within = TimeSpan.FromSeconds(2) },
    };

    private StorageCondition IsMounted(string target, string point) => new($"{target} is mounted at {point}", _ => Task.FromResult(
        _fileSystems.Find(point) is not { } mount ? "nothing is mounted there" : IsOurs(mount, target) ? null : $"{mount.Source} ({mount.Type}) is mounted there"));

    private static bool IsOurs(Mount mount, string target) => mount.Type is "nfs" or "nfs4" && (mount.Source == target || mount.Source.TrimEnd('/') == target.TrimEnd('/'));

    private async Task DemandAnswerAsync(string target, string options, CancellationToken cancellationToken)
    {
        var port = options.Split(',').Where(option => option.StartsWith("port=", StringComparison.Ordinal)).Select(option => int.Parse(option[5..], CultureInfo.InvariantCulture)).FirstOrDefault(Port);
        var end = target.StartsWith('[') ? target.IndexOf("]:", StringComparison.Ordinal) + 1 : target.IndexOf(':', StringComparison.Ordinal);
        var server = target[..end].Trim('[', ']');
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(_options.Timeout);
        try
        {
            // Of a name, all its addresses are tried, of both families.
            using TcpClient client = new();
            await client.ConnectAsync(server, port, deadline.Token).ConfigureAwait(false);
        }
        catch (SocketException error)
        {
            throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"The NFS server {server} cannot be reached at port {port}: {error.Message}."), error);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"The NFS server {server} does not answer at port {port} within {_options.Timeout.TotalSeconds:0.#} s."));
        }
    }

    private static (string Target, string Point) Demand(StorageLayer layer)
    {
        var target = layer.Target ?? throw new InvalidFieldException("target", null, "it is server:/path.");
        var point = layer.MountPoint ?? throw new InvalidFieldException("mount_point", null, "NFS has one.");
        return target.Contains(":/", StringComparison.Ordinal) && target[0] != '-' ? (target, point) : throw new InvalidFieldException("target", target, "it is server:/path.");
    }
}
