using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>How <see cref="Ocfs2Layers"/> works.</summary>
public sealed class Ocfs2Options
{
    /// <summary>The cluster's configuration file, alike on all nodes.</summary>
    /// <value><c>/etc/ocfs2/cluster.conf</c>.</value>
    public string ConfigurationFile { get; set; } = "/etc/ocfs2/cluster.conf";

    /// <summary>The cluster's name.</summary>
    /// <value><c>pengx</c>.</value>
    public string Cluster { get; set; } = "pengx";

    /// <summary>The port that the nodes talk at.</summary>
    /// <value>7777.</value>
    public int Port { get; set; } = 7777;

    /// <summary>How long one call may take; making a file system may take ten times as long.</summary>
    /// <value>60 seconds.</value>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(60);
}

/// <summary>OCFS2: the cluster's configuration with all its nodes, a file system on a shared device, and its mount.</summary>
/// <remarks>A layer is ordered by <see cref="StorageLayer.DeviceId"/>, <see cref="StorageLayer.MountPoint"/> and
/// <see cref="StorageOrder.Nodes"/>. A device that holds an OCFS2 of this cluster already, made by another node, is used as it is; any other
/// is formatted only behind the format guard. Nodes are added to the configuration and never taken out: other volumes may need them. Safe to
/// use from many threads.</remarks>
public sealed class Ocfs2Layers : IStorageLayerDriver
{
    private const string Type = "ocfs2";
    private const string MountOptions = "nosuid,nodev,noexec,_netdev";
    private const int MinSlots = 4;
    private const int MountFailed = 32;
    private const string ConfigFs = "/sys/kernel/config";
    private static readonly string[] s_modules = ["configfs", "ocfs2_stackglue", "ocfs2_stack_o2cb", "ocfs2"];

    private readonly IProcessRunner _runner;
    private readonly Ocfs2Options _options;
    private readonly DeviceGuard _devices = new();
    private readonly FormatGuard _formats;
    private readonly FileSystemSteps _fileSystems;
    private readonly PathProbe _paths;
    private readonly LayerExecution _execution;

    /// <summary>Makes a driver.</summary>
    /// <param name="runner">Runs the programs.</param>
    /// <param name="options">How it works; the defaults when not given.</param>
    /// <param name="leaseDirectory">Where the locks between processes of this host lie.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of every step.</param>
    public Ocfs2Layers(IProcessRunner runner, Ocfs2Options? options = null, string leaseDirectory = "/run/pengx/leases", TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _runner = runner;
        _options = options ?? new();
        _formats = new(runner, _devices);
        _fileSystems = new(_formats, _devices);
        _paths = new(runner);
        _execution = new(runner, leaseDirectory, timeProvider, logger);
    }

    /// <inheritdoc/>
    public bool Serves(StorageCategory category) => category == StorageCategory.Ocfs2;

    /// <inheritdoc/>
    public Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default) =>
        _execution.RunAsync(this, Type, order, shown, cancellationToken);

    /// <summary>Says what bringing the cluster's configuration in line with its nodes would do now. Reads only.</summary>
    /// <param name="nodes">The nodes that it must have.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="WrongStateException">The configuration has another node in one's place.</exception>
    public async Task<StoragePlan> PlanClusterAsync(IReadOnlyList<Ocfs2Node> nodes, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(nodes);
        var known = await NodesAsync(cancellationToken).ConfigureAwait(false);
        List<StorageStep> steps = [];
        if (known is null)
        {
            steps.Add(new()
            {
                Description = $"Write the cluster {_options.Cluster} into {_options.ConfigurationFile}",
                Action = Tool("add-cluster", _options.Cluster),
                Risk = StorageRisk.Reversible,
                After = new($"{_options.ConfigurationFile} has the cluster {_options.Cluster}", async token => await NodesAsync(token).ConfigureAwait(false) is null ? "it has not" : null),
                Undo = new(Tool("remove-cluster", _options.Cluster)),
            });
        }

        foreach (var node in nodes)
        {
            if ((known ?? []).FirstOrDefault(there => there.Name == node.PeerName || there.Number == node.Number || there.Address == node.PeerIp.ToString()) is { } same)
            {
                if (same != Node.Of(node))
                {
                    throw new WrongStateException($"{_options.ConfigurationFile} has node {same.Number} {same.Name} at {same.Address} already, and {node.Number} {node.PeerName} at {node.PeerIp} was to be added; put that right on all nodes first.");
                }

                continue;
            }

            steps.Add(new()
            {
                Description = $"Add node {Text(node.Number)} {node.PeerName}",
                Action = Tool("add-node", _options.Cluster, node.PeerName, "--ip", node.PeerIp.ToString(), "--port", Text(_options.Port), "--number", Text(node.Number)),
                Risk = StorageRisk.Reversible,
                After = new($"{_options.ConfigurationFile} has node {Text(node.Number)} {node.PeerName} at {node.PeerIp}", async token => (await NodesAsync(token).ConfigureAwait(false) ?? []).Contains(Node.Of(node)) ? null : "it has not"),
                Undo = new(Tool("remove-node", _options.Cluster, node.PeerName)),
            });
        }

        return LayerExecution.Plan($"Configure the cluster {_options.Cluster}", [.. steps]);
    }

    /// <inheritdoc/>
    public async Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(order);
        LayerExecution.DemandServed(this, order);
        var (path, point) = Demand(order.Layer);
        var title = $"{order.Verb} OCFS2 on {path} at {point}";
        var device = _devices.Find(path);
        var isMounted = device is not null && _fileSystems.IsAt(point, path);
        if (device is not null && (isMounted || order.Verb != StorageVerb.Create) && order.Verb != StorageVerb.Detach)
        {
            await _fileSystems.DemandKnownAsync(path, order.Layer, Type, cancellationToken).ConfigureAwait(false);
        }

        switch (order.Verb)
        {
            case StorageVerb.Create or StorageVerb.Attach when isMounted:
                return LayerExecution.Plan(title);
            case StorageVerb.Create or StorageVerb.Attach:
                var there = device ?? throw new StorageException($"There is no device {path}.");
                if (there.Users.Count > 0)
                {
                    throw new InUseException($"The device {path} is used by {string.Join(", ", there.Users)}.");
                }

                var probe = await _formats.ProbeAsync(there, cancellationToken).ConfigureAwait(false);
                var isOcfs2 = probe is { Content: DeviceContent.Known } && probe.Text.Split(' ')[0] == Type;
                List<StorageStep> steps = [.. (await PlanClusterAsync(order.Nodes, cancellationToken).ConfigureAwait(false)).Steps, .. LoadSteps(), Online(), .. _fileSystems.MakePoint(point)];
                if (!isOcfs2)
                {
                    if (order.Verb == StorageVerb.Attach)
                    {
                        throw new StorageException($"{path} holds no OCFS2: {probe.Text}.");
                    }

                    await _formats.DemandFormattableAsync(there, order.Consent, cancellationToken).ConfigureAwait(false);
                    steps.Add(Format(there, point, order));
                }

                steps.Add(Mount(path, point, order.Layer.Uuid));
                return LayerExecution.Plan(title, [.. steps]) with { Warnings = isOcfs2 ? [$"{path} holds '{probe.Text}' already, made by another node; it is used as it is."] : [] };
            case StorageVerb.Detach:
                return LayerExecution.Plan(title, _fileSystems.Leave(point, path, order.Layer.Name));

            // Other nodes may use the volume: what is on it stays.
            case StorageVerb.Delete:
                return LayerExecution.Plan(title, _fileSystems.Leave(point, path, order.Layer.Name)) with { Warnings = [$"What is on {path} stays: other nodes may use it."] };
            default:
                return LayerExecution.Plan(title);
        }
    }

    /// <inheritdoc/>
    public async Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        var (path, point) = Demand(layer);
        return _devices.Find(path) is not { } device ? null
            : !_fileSystems.IsAt(point, path) ? new StorageLayerState(layer with { Size = device.Size }, path, false)
            : await _fileSystems.IdentifiedAsync(await _paths.MeasuredAsync(layer, path, point, cancellationToken).ConfigureAwait(false), path, Type, cancellationToken).ConfigureAwait(false);
    }

    private StorageStep Format(BlockDevice device, string point, StorageOrder order) => new()
    {
        Description = $"Make an OCFS2 file system of cluster {_options.Cluster} on {device.Path}",
        Action = new ToolAction(new ProcessCommand
        {
            FileName = "mkfs.ocfs2",
            Arguments =
            [
                "-x", "-q", "-b", "4K", "-C", "1M", "-T", "vmstore", "-N", Text(Math.Max(MinSlots, order.Nodes.Count)), "-L", _options.Cluster,
                "--cluster-stack=o2cb", $"--cluster-name={_options.Cluster}", device.Path,
            ],
            Timeout = _options.Timeout * 10,
        }),
        Risk = StorageRisk.Destructive,
        NoReturn = true,
        Before = [_fileSystems.IsEmpty(point), _devices.IsStill(device), _devices.IsUnused(device), _formats.IsFormattable(device, order.Consent)],
        After = _formats.Holds(device.Path, Type),
    };

    private StorageStep Mount(string device, string point, string? uuid) => _fileSystems.Mount(device, point, null) with
    {
        Action = ToolAction.Of("mount", "-t", Type, "-o", MountOptions, "--", device, point),
        Before = [_fileSystems.IsEmpty(point), _formats.Holds(device, Type, uuid)],
    };

    /// <summary>Loads what the kernel lacks of the cluster's stack, which o2cb reaches through configfs.</summary>
    private IEnumerable<StorageStep> LoadSteps()
    {
        if (Directory.Exists($"{ConfigFs}/cluster") && Directory.Exists("/sys/fs/ocfs2"))
        {
            yield break;
        }

        yield return new()
        {
            Description = "Load OCFS2 and its cluster stack into the kernel",
            Action = new ToolAction(new ProcessCommand { FileName = "modprobe", Arguments = ["--all", .. s_modules], Timeout = _options.Timeout }),
            Risk = StorageRisk.Reversible,
            After = new("the kernel has OCFS2", _ => Task.FromResult(Directory.Exists("/sys/fs/ocfs2") ? null : "it has not")),
        };
        if (_fileSystems.Find(ConfigFs) is null)
        {
            yield return new()
            {
                Description = "Mount configfs",

                // The module's arrival may have made the system mount it already.
                Action = ToolAction.Of("mount", "-t", "configfs", "configfs", ConfigFs) with { AlsoAccepted = [MountFailed] },
                Risk = StorageRisk.Reversible,
                After = new($"there is {ConfigFs}/cluster", _ => Task.FromResult(Directory.Exists($"{ConfigFs}/cluster") ? null : "there is not")),
            };
        }
    }

    /// <summary>Loads the configuration into the kernel; done again, it changes nothing.</summary>
    private StorageStep Online() => new()
    {
        Description = $"Bring the cluster {_options.Cluster} online",
        Action = Tool("register-cluster", _options.Cluster),
        Risk = StorageRisk.Reversible,
        After = new($"o2cb reports {_options.Cluster} as online", async token =>
        {
            var result = await _runner.RunAsync(Tool("cluster-status", _options.Cluster).Command, token).ConfigureAwait(false);
            return result.ExitCode == 0 ? null : $"it reports '{result.Output.Trim()}' {result.Error.Trim()}";
        }),
    };

    /// <summary>The nodes that the configuration has; <see langword="null"/> when it has no such cluster.</summary>
    private async Task<IReadOnlyList<Node>?> NodesAsync(CancellationToken cancellationToken)
    {
        if (!File.Exists(_options.ConfigurationFile))
        {
            return null;
        }

        var result = await _runner.RunAsync(Tool("list-cluster", _options.Cluster, "--oneline").Command, cancellationToken).ConfigureAwait(false);
        // An unknown cluster is told on standard error alone, with exit code 0.
        result.EnsureSuccess();
        if (!result.Output.Split('\n').Any(line => line.StartsWith("cluster:", StringComparison.Ordinal)))
        {
            return null;
        }

        // node: 0 host1 192.0.2.1:7777 pengx
        List<Node> nodes = [];
        foreach (var line in result.Output.Split('\n'))
        {
            if (line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is ["node:", var number, var name, var endpoint, ..] && int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var slot))
            {
                nodes.Add(new(slot, name, endpoint[..endpoint.LastIndexOf(':')]));
            }
        }

        return nodes;
    }

    private ToolAction Tool(params string[] arguments) => new(new ProcessCommand { FileName = "o2cb", Arguments = [$"--config-file={_options.ConfigurationFile}", .. arguments], Timeout = _options.Timeout });

    private static (string Device, string Point) Demand(StorageLayer layer) => (
        layer.DeviceId ?? throw new InvalidFieldException("device_id", null, "it is the shared device."),
        layer.MountPoint ?? throw new InvalidFieldException("mount_point", null, "OCFS2 has one."));

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private sealed record Node(int Number, string Name, string Address)
    {
        public static Node Of(Ocfs2Node node) => new(node.Number, node.PeerName, node.PeerIp.ToString());
    }
}
