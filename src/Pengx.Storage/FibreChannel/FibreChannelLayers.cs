using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>How <see cref="FibreChannelLayers"/> works.</summary>
public sealed class FibreChannelOptions
{
    /// <summary>Where sysfs is mounted.</summary>
    /// <value><c>/sys</c>.</value>
    public string Sys { get; set; } = "/sys";

    /// <summary>How long a unit that was scanned for may take until its device is there.</summary>
    /// <value>20 seconds.</value>
    public TimeSpan DeviceTimeout { get; set; } = TimeSpan.FromSeconds(20);
}

/// <summary>Fibre Channel: scans for one unit of one target on every port that sees it, and lets it go again.</summary>
/// <remarks>A layer is ordered by <see cref="StorageLayer.Target"/>, the target's world wide port name, and <see cref="StorageLayer.Lun"/>.
/// Everything is read from sysfs and done through it. Paths to one unit are known by their WWID: a number that belongs to another unit now is
/// an error. Where multipath has made one device of the paths, that is the layer's device. Safe to use from many threads.</remarks>
public sealed class FibreChannelLayers : IStorageLayerDriver
{
    private const string Naa = "naa.";

    private readonly IProcessRunner _runner;
    private readonly FibreChannelOptions _options;
    private readonly DeviceGuard _devices;
    private readonly FileSystemSteps _fileSystems;
    private readonly LayerExecution _execution;

    /// <summary>Makes a driver.</summary>
    /// <param name="runner">Runs the tools of file systems.</param>
    /// <param name="options">How it works; the defaults when not given.</param>
    /// <param name="leaseDirectory">Where the locks between processes of this host lie.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of every step.</param>
    public FibreChannelLayers(IProcessRunner runner, FibreChannelOptions? options = null, string leaseDirectory = "/run/pengx/leases", TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _runner = runner;
        _options = options ?? new();
        _devices = new(_options.Sys);
        _fileSystems = new(new FormatGuard(runner, _devices), _devices);
        _execution = new(runner, leaseDirectory, timeProvider, logger);
    }

    /// <inheritdoc/>
    public bool Serves(StorageCategory category) => category == StorageCategory.FibreChannel;

    /// <inheritdoc/>
    public Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default) =>
        _execution.RunAsync(this, "fc", order, shown, cancellationToken);

    /// <inheritdoc/>
    public Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(order);
        LayerExecution.DemandServed(this, order);
        if (order is { FileSystem: not null })
        {
            throw new InvalidFieldException("format", "True", "attach the unit first, and format it as local storage on its device.");
        }

        var (target, lun) = Demand(order.Layer);
        var title = $"{order.Verb} unit {Text(lun)} of FC target {target}";
        var ports = Ports(target);
        var paths = Paths(ports, lun);
        var map = MapOf(paths, order.Layer);
        var device = DeviceOf(paths, map);
        var isKnown = IsKnown(order.Layer, target, lun);
        if (order.Verb is StorageVerb.Attach or StorageVerb.Delete or StorageVerb.Resize && Differs(order.Layer, paths) is { } other)
        {
            throw new StorageException($"Another unit has got the layer's number: {other}; nothing was changed.");
        }

        switch (order.Verb)
        {
            case StorageVerb.Create or StorageVerb.Attach:
                if (ports.Count == 0)
                {
                    throw new UnavailableException($"No FC port of this host sees the target {target}{(HostsText() is { Length: > 0 } hosts ? $": {hosts}" : ", and it has none")}.");
                }

                List<StorageStep> steps = [.. ports.Where(port => paths.All(path => path.Host != port.Host)).Select(port => Scan(port, target, lun, order.Layer))];
                if (order.Layer.MountPoint is { } point && (device is null || !_fileSystems.IsAt(point, device)))
                {
                    steps.AddRange(_fileSystems.MakeAndMount(device ?? throw new WrongStateException($"The unit has no device yet: attach it without a mount point first."), point, order.Layer.FileSystem)
                        .Select(step => step.Action is ToolAction ? step with { Before = [isKnown, .. step.Before] } : step));
                }

                return Task.FromResult(LayerExecution.Plan(title, [.. steps]));
            case StorageVerb.Detach or StorageVerb.Delete:
                var isCutOff = map is not null && paths.All(path => path.State is "offline" or "transport-offline");
                List<StorageStep> last = [.. isCutOff ? [GiveUp(map!)] : Array.Empty<StorageStep>()];
                if (order.Layer.MountPoint is { } mounted)
                {
                    last.AddRange(_fileSystems.Leave(mounted, device, order.Layer.Name));
                }

                if (map is not null)
                {
                    last.Add(new()
                    {
                        Description = $"Take the multipath device {map.Name} apart",
                        Action = ToolAction.Of("multipath", "-f", map.Name),
                        Risk = StorageRisk.Reversible,
                        After = new($"no device holds the paths of unit {Text(lun)}", _ => Task.FromResult(MapOf(Paths(Ports(target), lun), order.Layer) is { } still ? $"{still.Name} does" : null)) { Within = TimeSpan.FromSeconds(10) },
                    });
                }

                last.AddRange(paths.Select(Drop));
                return Task.FromResult(LayerExecution.Plan(title, last) with
                {
                    Warnings = isCutOff ? [$"No path leads to unit {Text(lun)} any more: what was not written into it yet is lost."] : [],
                });
            default:
                return paths.Count == 0
                    ? throw new WrongStateException($"Unit {Text(lun)} of FC target {target} is not attached; attach it first.")
                    : Task.FromResult(LayerExecution.Plan(title, [.. paths.Select(Rescan), .. map is null ? Array.Empty<StorageStep>() : [Grow(map, paths)]]));
        }
    }

    /// <inheritdoc/>
    public Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        var (target, lun) = Demand(layer);
        var ports = Ports(target);
        var paths = Paths(ports, lun);
        if (paths.Count == 0)
        {
            return Task.FromResult<StorageLayerState?>(null);
        }

        var wwids = paths.Select(path => path.Wwid).Distinct(StringComparer.Ordinal).ToList();
        List<string> warnings = [.. ports.Where(port => paths.All(path => path.Host != port.Host)).Select(port => $"host{Text(port.Host)} sees the target, but not unit {Text(lun)}.")];
        warnings.AddRange(paths.Where(path => path.State is not (null or "running")).Select(path => $"The path {path.Device} is {path.State}."));
        if (wwids.Count > 1)
        {
            warnings.Add($"Unit {Text(lun)} is not the same on all paths: {string.Join(", ", wwids)}.");
        }

        if (layer.Uuid is { } known && wwids.Any(wwid => wwid != known))
        {
            warnings.Add($"Unit {Text(lun)} was {known}, and is {string.Join(", ", wwids)} now: another unit has got its number.");
        }

        var map = MapOf(paths, layer);
        var device = DeviceOf(paths, map)!;
        var mounted = layer.MountPoint is not { } point || _fileSystems.IsAt(point, device);
        return Task.FromResult<StorageLayerState?>(new(layer with { Uuid = layer.Uuid ?? wwids[0], Size = SizeOf(map?.Kernel ?? paths[0].Kernel) }, device, mounted && wwids.Count == 1 && (layer.Uuid is null || wwids[0] == layer.Uuid)) { Warnings = warnings });
    }

    /// <summary>A plan's condition that a unit is the one that the layer is known by.</summary>
    private StorageCondition IsKnown(StorageLayer layer, string target, int lun) =>
        new($"unit {Text(lun)} is {layer.Uuid ?? "there"}", _ => Task.FromResult(Differs(layer, Paths(Ports(target), lun))));

    // A row without a WWID is from before that was noted, and is believed.
    private static string? Differs(StorageLayer layer, IEnumerable<FcPath> paths) =>
        layer.Uuid is { } known && paths.FirstOrDefault(path => path.Wwid != known) is { } path ? $"{path.Device} must be {known}, but it is {path.Wwid}" : null;

    private StorageStep Scan(Port port, string target, int lun, StorageLayer layer) => new()
    {
        Description = $"Look for unit {Text(lun)} on host{Text(port.Host)}",
        Action = new NativeAction($"write '{Text(port.Channel)} {Text(port.Id)} {Text(lun)}' into {ScanFile(port)}", token => File.WriteAllTextAsync(ScanFile(port), $"{Text(port.Channel)} {Text(port.Id)} {Text(lun)}", token)),
        Risk = StorageRisk.Reversible,
        After = new($"host{Text(port.Host)} has unit {Text(lun)} of {target} as a device", _ => Task.FromResult(Paths(Ports(target), lun).Find(path => path.Host == port.Host) is { } path ? Differs(layer, [path]) : "it has not")) { Within = _options.DeviceTimeout },
    };

    private StorageStep Drop(FcPath path) => new()
    {
        Description = $"Let {path.Device} go",
        Action = new NativeAction($"write 1 into {path.Directory}/delete", token => File.WriteAllTextAsync(Path.Combine(path.Directory, "delete"), "1", token)),
        Risk = StorageRisk.Reversible,
        Before =
        [
            new($"{path.Device} is still {path.Wwid}, and nothing is built on it", _ => Task.FromResult(
                Read(path.Directory, "wwid") is var wwid && wwid != path.Wwid ? $"it is {wwid} now"
                : Holders(path).FirstOrDefault() is { } holder ? $"{holder} is"
                : _devices.Find(path.Device) is { Users: { Count: > 0 } users } ? $"it is used by {string.Join(", ", users)}" : null)),
        ],
        After = new($"there is no {path.Device}", _ => Task.FromResult(Directory.Exists(Path.Combine(path.Directory, "block")) ? "there is" : null)) { Within = TimeSpan.FromSeconds(30) },
    };

    private StorageStep Rescan(FcPath path) => new()
    {
        Description = $"Take over the size that {path.Device} has now",
        Action = new NativeAction($"write 1 into {path.Directory}/rescan", token => File.WriteAllTextAsync(Path.Combine(path.Directory, "rescan"), "1", token)),
        Risk = StorageRisk.Reversible,
        After = new($"{path.Device} has a size", _ => Task.FromResult(SizeOf(path.Kernel).Bytes > 0 ? null : "it has none")),
    };

    private StorageStep Grow(Map map, List<FcPath> paths) => new()
    {
        Description = $"Take over the size that the paths of {map.Name} have now",
        Action = ToolAction.Of("multipathd", "resize", "map", map.Name),
        Risk = StorageRisk.Reversible,
        After = new($"{map.Name} has the size of its paths", _ => Task.FromResult(
            paths.Find(path => SizeOf(path.Kernel) != SizeOf(map.Kernel)) is { } other ? $"it has {SizeOf(map.Kernel)}, and {other.Device} has {SizeOf(other.Kernel)}" : null)) { Within = TimeSpan.FromSeconds(10) },
    };

    /// <summary>Ends the waiting for a path that may never come: an unmount would hang in it. Where one does come, multipathd sets anew
    /// whether the device waits.</summary>
    private StorageStep GiveUp(Map map) => new()
    {
        Description = $"Let fail what waits for a path of {map.Name}",
        Action = ToolAction.Of("dmsetup", "message", map.Name, "0", "fail_if_no_path"),
        Risk = StorageRisk.Destructive,
        After = new($"nothing waits for a path of {map.Name}", async token =>
        {
            var table = (await _runner.RunAsync(new() { FileName = "dmsetup", Arguments = ["table", map.Name] }, token).ConfigureAwait(false)).EnsureSuccess().Output;
            return table.Split(' ').Contains("queue_if_no_path") ? "it is set to wait" : null;
        }),
    };

    /// <summary>Where this host's ports see a target: <c>class/fc_remote_ports/rport-H:C-N</c>.</summary>
    private List<Port> Ports(string target)
    {
        var remote = Path.Combine(_options.Sys, "class/fc_remote_ports");
        List<Port> ports = [];
        foreach (var entry in Directory.Exists(remote) ? Directory.EnumerateFileSystemEntries(remote, "rport-*").Order(StringComparer.Ordinal) : Enumerable.Empty<string>())
        {
            if (string.Equals(Read(entry, "port_name"), target, StringComparison.OrdinalIgnoreCase)
                && Path.GetFileName(entry)["rport-".Length..].Split(':', '-') is [var host, var channel, _]
                && int.TryParse(host, NumberStyles.None, CultureInfo.InvariantCulture, out var h) && int.TryParse(channel, NumberStyles.None, CultureInfo.InvariantCulture, out var c)
                && int.TryParse(Read(entry, "scsi_target_id"), NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                ports.Add(new(h, c, id));
            }
        }

        return ports;
    }

    private List<FcPath> Paths(List<Port> ports, int lun)
    {
        List<FcPath> paths = [];
        foreach (var port in ports)
        {
            var directory = Path.Combine(_options.Sys, "class/scsi_device", $"{Text(port.Host)}:{Text(port.Channel)}:{Text(port.Id)}:{Text(lun)}", "device");
            var block = Path.Combine(directory, "block");
            if (Directory.Exists(block) && Directory.EnumerateFileSystemEntries(block).FirstOrDefault() is { } entry)
            {
                paths.Add(new(port.Host, directory, $"/dev/{Path.GetFileName(entry)}", Read(directory, "wwid") ?? "", Read(directory, "state")));
            }
        }

        return paths;
    }

    private static string? DeviceOf(List<FcPath> paths, Map? map) => map?.Device ?? (paths.Count > 0 ? paths[0].Device : null);

    /// <summary>The multipath device on top of the paths, or the one that is left of the layer when all of them are gone;
    /// <see langword="null"/> when there is none.</summary>
    private Map? MapOf(List<FcPath> paths, StorageLayer layer) =>
        paths.SelectMany(Holders).Select(FindMap).FirstOrDefault(map => map is not null)
        ?? NamesIn(Path.Combine(_options.Sys, "block")).Select(FindMap).FirstOrDefault(map => map is not null && IsOf(map, layer));

    // A map's UUID ends with the digits of the WWID, wherever multipath was told to take it from; by a name alone it may be another unit's.
    private static bool IsOf(Map map, StorageLayer layer) => layer.Uuid is { } wwid && wwid.StartsWith(Naa, StringComparison.Ordinal)
        ? map.Uuid.EndsWith(wwid[Naa.Length..], StringComparison.OrdinalIgnoreCase)
        : layer.Name == map.Device;

    private Map? FindMap(string kernel)
    {
        var directory = Path.Combine(_options.Sys, "block", kernel, "dm");
        return Read(directory, "uuid") is { } uuid && uuid.StartsWith("mpath-", StringComparison.Ordinal) && Read(directory, "name") is { } name ? new(name, uuid, kernel) : null;
    }

    private IEnumerable<string> Holders(FcPath path) => NamesIn(Path.Combine(_options.Sys, "block", path.Kernel, "holders"));

    private static IEnumerable<string> NamesIn(string directory) =>
        Directory.Exists(directory) ? Directory.EnumerateFileSystemEntries(directory).Select(entry => Path.GetFileName(entry)) : [];

    private DataSize SizeOf(string kernel) =>
        new(long.TryParse(Read(Path.Combine(_options.Sys, "block", kernel), "size"), NumberStyles.None, CultureInfo.InvariantCulture, out var sectors) ? sectors * 512 : 0);

    private string HostsText()
    {
        var hosts = Path.Combine(_options.Sys, "class/fc_host");
        return Directory.Exists(hosts)
            ? string.Join(", ", Directory.EnumerateFileSystemEntries(hosts).Order(StringComparer.Ordinal).Select(host => $"{Path.GetFileName(host)} ({Read(host, "port_name")}) is {Read(host, "port_state")}"))
            : "";
    }

    private string ScanFile(Port port) => Path.Combine(_options.Sys, "class/scsi_host", $"host{Text(port.Host)}", "scan");

    private static (string Target, int Lun) Demand(StorageLayer layer) => (
        layer.Target is { Length: 18 } target && target.StartsWith("0x", StringComparison.Ordinal) && target[2..].All(char.IsAsciiHexDigit) ? target : throw new InvalidFieldException("target", layer.Target, "it is the target's world wide port name: 0x and 16 hexadecimal digits."),
        layer.Lun ?? throw new InvalidFieldException("lun", null, "it is the number of the unit."));

    private static string? Read(string directory, string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, file)).Trim();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private sealed record Port(int Host, int Channel, int Id);

    private sealed record FcPath(int Host, string Directory, string Device, string Wwid, string? State)
    {
        public string Kernel => Path.GetFileName(Device);
    }

    /// <summary>A multipath device: its name, what device-mapper knows it by, and the kernel's name for it.</summary>
    private sealed record Map(string Name, string Uuid, string Kernel)
    {
        public string Device => $"/dev/mapper/{Name}";
    }
}
