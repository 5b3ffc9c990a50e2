using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Xml;
using System.Xml.Linq;
using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>How <see cref="DrbdLayers"/> works.</summary>
public sealed class DrbdOptions
{
    /// <summary>Where resource files lie.</summary>
    /// <value><c>/etc/drbd.d</c>.</value>
    public string ConfigurationDirectory { get; set; } = "/etc/drbd.d";

    /// <summary>This host's name, as <c>uname -n</c> tells it: drbdadm finds its own section by it.</summary>
    /// <value>The host's name.</value>
    public string HostName { get; set; } = Environment.MachineName;

    /// <summary>How long peers that are not connected may take to answer, below a minute, before this host becomes the primary without them.</summary>
    /// <value>10 seconds.</value>
    public TimeSpan PeerTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Where sysfs is mounted.</summary>
    /// <value><c>/sys</c>.</value>
    public string Sys { get; set; } = "/sys";

    /// <summary>How long one call may take.</summary>
    /// <value>60 seconds.</value>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(60);
}

/// <summary>DRBD: writes a resource's file, makes its metadata, brings it up and down, promotes and demotes it.</summary>
/// <remarks>
/// A layer is ordered by <see cref="StorageLayer.DrbdResourceName"/>, <see cref="StorageLayer.DrbdDisk"/>, <see cref="StorageLayer.DrbdIp"/>,
/// <see cref="StorageLayer.DrbdPeerIps"/> and <see cref="StorageLayer.DrbdMinor"/>, alike on all hosts. The kernel's version decides what is
/// written: version 9, or 8.4, which Linux itself comes with and which knows two hosts. Creating brings it up as secondary;
/// attaching makes this host the primary. Metadata that is there is used as it is. Whose data wins is never guessed: a split brain, and
/// a resource of which no host has data that is up to date, are reported, and the latter is begun only with the consent
/// <see cref="FirstSource"/>. The disk is known by its lasting identity, which the layer's <see cref="StorageLayer.Uuid"/> keeps: a name that is another
/// disk's now is an error. Safe to use from many threads.
/// </remarks>
public sealed class DrbdLayers : IStorageLayerDriver
{
    /// <summary>The consent by which this host's data becomes everybody's when no host's is up to date.</summary>
    public const string FirstSource = "use this host's data";

    private const int FirstPort = 7788;
    private const string Signature = "drbd";
    private const int NoSuchResource = 10;
    private const int FirstVersion9 = 0x090000;

    private static readonly TimeSpan s_pollInterval = TimeSpan.FromMilliseconds(200);

    private readonly IProcessRunner _runner;
    private readonly DrbdOptions _options;
    private readonly TimeProvider _time;
    private readonly DeviceGuard _devices;
    private readonly FormatGuard _formats;
    private readonly LayerExecution _execution;

    /// <summary>Makes a driver.</summary>
    /// <param name="runner">Runs the programs.</param>
    /// <param name="options">How it works; the defaults when not given.</param>
    /// <param name="leaseDirectory">Where the locks between processes of this host lie.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of every step.</param>
    public DrbdLayers(IProcessRunner runner, DrbdOptions? options = null, string leaseDirectory = "/run/pengx/leases", TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _runner = runner;
        _options = options ?? new();
        _time = timeProvider ?? TimeProvider.System;
        _devices = new(_options.Sys);
        _formats = new(runner, _devices);
        _execution = new(runner, leaseDirectory, timeProvider, logger);
    }

    /// <inheritdoc/>
    public bool Serves(StorageCategory category) => category == StorageCategory.Drbd;

    /// <inheritdoc/>
    public Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default) =>
        _execution.RunAsync(this, "drbd", order, shown, cancellationToken);

    /// <inheritdoc/>
    public async Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(order);
        LayerExecution.DemandServed(this, order);
        var resource = ResourceOf(order.Layer);
        if (order.Verb is StorageVerb.Create or StorageVerb.Delete)
        {
            resource = resource with { IsVersion8 = await IsVersion8Async(cancellationToken).ConfigureAwait(false) };
            if (resource is { IsVersion8: true, Hosts.Count: > 2 })
            {
                throw new InvalidFieldException("drbd_peer_ip", string.Join(", ", order.Layer.DrbdPeerIps), "this host's kernel has DRBD 8.4, which mirrors between two hosts: one peer is named.");
            }
        }

        // What is let go is not looked at: it may be gone, or be another's by now.
        var disk = order.Verb == StorageVerb.Detach ? null : _devices.Find(resource.Disk);
        if (disk is not null && Differs(order.Layer, disk) is { } other && !(order.Verb == StorageVerb.Delete && await IsEmptyAsync(disk, cancellationToken).ConfigureAwait(false)))
        {
            throw new StorageException($"{resource.Disk} is not the disk of this layer: {other}; nothing was changed.");
        }

        var title = $"{order.Verb} DRBD resource {resource.Name} on {resource.Disk}";
        var status = File.Exists(resource.File) || order.Verb is StorageVerb.Attach or StorageVerb.Detach ? await StatusAsync(resource.Name, cancellationToken).ConfigureAwait(false) : null;
        switch (order.Verb)
        {
            case StorageVerb.Create:
                return await PlanCreateAsync(order, resource, status, title, cancellationToken).ConfigureAwait(false);
            case StorageVerb.Attach:
                if (status is { } split && SplitBrain(split) is { } reason)
                {
                    throw new WrongStateException($"{reason} Nothing is done by guess: on the host whose changes shall be lost, run 'drbdadm -- --discard-my-data connect {resource.Name}', and on the other 'drbdadm connect {resource.Name}'.");
                }

                List<StorageStep> steps = [.. BringUp(resource, disk, status)];
                if (status?.Role != "Primary")
                {
                    steps.Add(Promote(resource, order.Consent?.Signature == FirstSource));
                }

                return LayerExecution.Plan(title, [.. steps]);
            case StorageVerb.Detach:
                return LayerExecution.Plan(title, status is null ? [] : [.. Leave(resource, status)]);
            case StorageVerb.Resize:
                return LayerExecution.Plan(title, status is null ? throw new WrongStateException($"DRBD resource {resource.Name} is not up; attach it first.") : new StorageStep
                {
                    Description = $"Take over the size that the disks of {resource.Name} have now on all hosts",
                    Action = Tool(resource, "resize", resource.Name),
                    Risk = StorageRisk.Reversible,
                    After = IsUp(resource),
                });
            default:
                List<StorageStep> last = status is null ? [] : [.. Leave(resource, status)];
                if (!order.KeepsContent && disk is not null && File.Exists(resource.File) && await HasMetadataAsync(resource, cancellationToken).ConfigureAwait(false))
                {
                    last.Add(new()
                    {
                        Description = $"Wipe DRBD's metadata off {resource.Disk}",
                        Action = WipeMetadata(resource),
                        Risk = StorageRisk.Destructive,
                        NoReturn = true,
                        Before = [_devices.IsStill(disk), _devices.IsUnused(disk)],
                        After = new($"{resource.Disk} holds no metadata of DRBD", async token => await HasMetadataAsync(resource, token).ConfigureAwait(false) ? "it does" : null),
                    });
                }

                if (File.Exists(resource.File))
                {
                    last.Add(new()
                    {
                        Description = $"Remove {resource.File}",
                        Action = new NativeAction($"remove {resource.File}", _ =>
                        {
                            File.Delete(resource.File);
                            return Task.CompletedTask;
                        }),
                        Risk = StorageRisk.Reversible,
                        After = new($"there is no {resource.File}", _ => Task.FromResult(File.Exists(resource.File) ? "there is" : null)),
                    });
                }

                return LayerExecution.Plan(title, [.. last]);
        }
    }

    /// <inheritdoc/>
    public async Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        var resource = ResourceOf(layer);
        if (!File.Exists(resource.File))
        {
            return null;
        }

        DrbdStatus? status;
        try
        {
            status = await StatusAsync(resource.Name, cancellationToken).ConfigureAwait(false);
        }
        catch (UnavailableException error)
        {
            // What nobody can tell is not taken down either.
            return new(layer, resource.Device, false) { Up = true, Warnings = [error.Message] };
        }

        List<string> warnings = status is null ? [] : [.. WarningsOf(status)];
        BlockDevice? disk = null;
        try
        {
            disk = _devices.Find(resource.Disk);
            if (disk is not null && Differs(layer, disk) is { } other)
            {
                warnings.Add($"{resource.Disk} is not the disk of this layer: {other}.");
            }
        }
        catch (StorageException error)
        {
            // What has its name is no disk by now.
            warnings.Add(error.Message);
        }

        // A name proves nothing of a disk that is not in use.
        var identity = status is not null && HasDisk(resource, status) && disk?.Identity is { IsLasting: true } found ? found.ToString() : null;
        return new(layer with { Uuid = layer.Uuid ?? identity, Size = _devices.Find(resource.Device)?.Size ?? layer.Size }, resource.Device, status?.Role == "Primary") { Up = status is not null, Warnings = warnings };
    }

    /// <summary>How a disk is not the one that a layer is known by. A row without an identity is from before that was noted, or its disk has none that
    /// lasts, and is believed.</summary>
    private static string? Differs(StorageLayer layer, BlockDevice disk) =>
        layer.Uuid is { } known && disk.Identity.ToString() is var found && found != known ? $"it must be {known}, but it is {found}" : null;

    /// <summary>Whether nothing is on a disk that could be lost, as on one that replaces a layer's own.</summary>
    private async Task<bool> IsEmptyAsync(BlockDevice disk, CancellationToken cancellationToken) =>
        await _formats.HoldsNothing(disk).VerifyAsync(cancellationToken).ConfigureAwait(false) is null;

    private async Task<StoragePlan> PlanCreateAsync(StorageOrder order, Resource resource, DrbdStatus? status, string title, CancellationToken cancellationToken)
    {
        if (File.Exists(resource.File) && await File.ReadAllTextAsync(resource.File, cancellationToken).ConfigureAwait(false) is var there && there != resource.Text)
        {
            throw new WrongStateException($"There is a DRBD resource file {resource.File} already, and it says something else; it is not changed.");
        }

        if (!File.Exists(resource.File) && await IsUpAsync(resource.Name, cancellationToken).ConfigureAwait(false))
        {
            throw new WrongStateException($"There is a DRBD resource {resource.Name} already, but no {resource.File}: something else made it, and it is not changed.");
        }

        var disk = _devices.Inspect(resource.Disk);
        List<StorageStep> steps = [];
        List<string> warnings = [];
        if (!File.Exists(resource.File))
        {
            steps.Add(new()
            {
                Description = $"Write the resource file {resource.File}",
                Action = new NativeAction($"write {resource.File}: {resource.Hosts.Count} hosts, {string.Join(", ", resource.Hosts.Select(host => host.Address))}, port {Text(resource.Port)}, {resource.Device} on {resource.Disk}", token => DurableTextAsync(resource.File, resource.Text, token)),
                Risk = StorageRisk.Reversible,
                After = new($"drbdadm reads {resource.Name} from it as it was meant", token => ReadsAsync(resource, token)),
                Undo = new(new NativeAction($"remove {resource.File}", _ =>
                {
                    File.Delete(resource.File);
                    return Task.CompletedTask;
                })) { Needed = new($"there is a {resource.File}", _ => Task.FromResult(File.Exists(resource.File) ? null : "there is none")) },
            });
        }

        var adopts = await HasMetadataAsync(resource, cancellationToken).ConfigureAwait(false);
        if (adopts)
        {
            warnings.Add($"{resource.Disk} has metadata of DRBD already; it is used as it is.");
        }
        else
        {
            if (disk.Users.Count > 0)
            {
                throw new InUseException($"The device {resource.Disk} is used by {string.Join(", ", disk.Users)}.");
            }

            var consent = order.Consent?.Signature == FirstSource ? null : order.Consent;
            await _formats.DemandFormattableAsync(disk, consent, cancellationToken).ConfigureAwait(false);
            steps.Add(new()
            {
                Description = $"Make DRBD's metadata at the end of {resource.Disk}",
                Action = Tool(resource, resource.IsVersion8 ? ["create-md", "--force", resource.Name] : ["create-md", "--force", $"--max-peers={Text(resource.Hosts.Count - 1)}", resource.Name]),
                Risk = StorageRisk.Destructive,
                Before = [_devices.IsStill(disk), _devices.IsUnused(disk), _formats.IsFormattable(disk, consent)],
                After = new($"{resource.Disk} holds metadata of DRBD", async token => await HasMetadataAsync(resource, token).ConfigureAwait(false) ? null : "it does not"),
                Undo = new(WipeMetadata(resource)) { Needed = new($"{resource.Disk} holds metadata of DRBD", async token => await HasMetadataAsync(resource, token).ConfigureAwait(false) ? null : "it does not") },
            });
        }

        steps.AddRange(BringUp(resource, disk, status));
        return LayerExecution.Plan(title, [.. steps]) with { Warnings = warnings, Adopts = adopts };
    }

    private IEnumerable<StorageStep> BringUp(Resource resource, BlockDevice? disk, DrbdStatus? status)
    {
        // What an interrupted run left: without its disk, which is there, and without a peer's data. Nobody can use it so.
        var isHalf = disk is not null && status is not null && status.Role != "Primary" && !HasDisk(resource, status) && !HasGoodData(status);
        if (isHalf)
        {
            yield return Down(resource) with { Undo = null };
        }

        if (isHalf || status is null)
        {
            yield return Up(resource, disk);
        }
    }

    private StorageStep Up(Resource resource, BlockDevice? disk) => new()
    {
        Description = $"Bring {resource.Name} up",
        Action = Tool(resource, "up", resource.Name),
        Risk = StorageRisk.Reversible,
        Before = disk is null ? [] : [_devices.IsStill(disk)],
        After = IsUp(resource),

        // One that failed in the middle has left a part.
        Undo = new(Tool(resource, "down", resource.Name)) { Needed = new($"there is a resource {resource.Name}", async token => await StatusAsync(resource.Name, token).ConfigureAwait(false) is null ? "there is none" : null) },
    };

    private StorageStep Promote(Resource resource, bool first) => new()
    {
        Description = first ? $"Make this host the primary of {resource.Name}, and its data everybody's" : $"Make this host the primary of {resource.Name}",
        Action = first ? Tool(resource, "primary", "--force", resource.Name) : Tool(resource, "primary", resource.Name),
        Risk = first ? StorageRisk.Destructive : StorageRisk.Reversible,
        Before =
        [
            new($"every peer of {resource.Name} has answered, or had {_options.PeerTimeout.TotalSeconds.ToString(CultureInfo.InvariantCulture)} s to", async token =>
            {
                await HearPeersAsync(resource, token).ConfigureAwait(false);
                return null;
            }),
            new($"some host's data of {resource.Name} is up to date{(first ? ", or none has any" : "")}, and no split brain is seen", async token => await StatusAsync(resource.Name, token).ConfigureAwait(false) switch
            {
                null => "the resource is not up",
                { } status when SplitBrain(status) is { } reason => reason,
                { } status when !first && !HasGoodData(status) => $"none is: order it with the consent '{FirstSource}' on the host whose data shall win",
                { } status when first && HasGoodData(status) && status.Devices?.Any(device => device.DiskState == "UpToDate") != true => "a peer's is, and this host's is not: it would be lost",
                _ => null,
            }),
        ],
        After = HasRole(resource, "Primary"),
        Undo = new(Tool(resource, "secondary", resource.Name)) { Needed = HasRole(resource, "Primary") with { Within = default } },
    };

    /// <summary>Waits for the peers: one that is there tells within moments that it is the primary or has newer data. This host alone takes its own for
    /// the latest, however old it is, and both would change their data without each other.</summary>
    private async Task HearPeersAsync(Resource resource, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        while ((await StatusAsync(resource.Name, cancellationToken).ConfigureAwait(false))?.Connections?.Any(connection => connection.ConnectionState is not ("Connected" or "StandAlone")) == true
            && _time.GetElapsedTime(started) < _options.PeerTimeout)
        {
            await Task.Delay(s_pollInterval, _time, cancellationToken).ConfigureAwait(false);
        }
    }

    private IEnumerable<StorageStep> Leave(Resource resource, DrbdStatus status)
    {
        var device = _devices.Find(resource.Device);
        if (status.Role == "Primary")
        {
            yield return new()
            {
                Description = $"Make this host a secondary of {resource.Name}",
                Action = Tool(resource, "secondary", resource.Name),
                Risk = StorageRisk.Reversible,
                Before = device is null ? [] : [_devices.IsUnused(device)],
                After = HasRole(resource, "Secondary"),
                Undo = new(Tool(resource, "primary", resource.Name)),
            };
        }

        yield return Down(resource);
    }

    private StorageStep Down(Resource resource) => new()
    {
        Description = $"Take {resource.Name} down",
        Action = Tool(resource, "down", resource.Name),
        Risk = StorageRisk.Reversible,
        After = new($"{resource.Name} is not up", async token => await StatusAsync(resource.Name, token).ConfigureAwait(false) is null ? null : "it is") { Within = TimeSpan.FromSeconds(5) },
        Undo = new(Tool(resource, "up", resource.Name)),
    };

    private StorageCondition IsUp(Resource resource) => new($"{resource.Name} is up with {resource.Device}", async token =>
        await StatusAsync(resource.Name, token).ConfigureAwait(false) is not { } status ? "it is not"
        : HasDisk(resource, status) ? null
        : $"its disk is {string.Join(", ", (status.Devices ?? []).Select(device => device.DiskState))}")
    {
        Within = TimeSpan.FromSeconds(10),
    };

    private StorageCondition HasRole(Resource resource, string role) => new($"this host is {role} of {resource.Name}", async token =>
        await StatusAsync(resource.Name, token).ConfigureAwait(false) is var status && status?.Role == role ? null : $"it is {status?.Role ?? "down"}")
    {
        Within = TimeSpan.FromSeconds(5),
    };

    private static bool HasDisk(Resource resource, DrbdStatus status) =>
        status.Devices?.Any(device => device.Minor == resource.Minor && device.DiskState is not (null or "Diskless" or "Failed")) == true;

    private static bool HasGoodData(DrbdStatus status) => (status.Devices ?? []).Any(device => device.DiskState == "UpToDate")
        || (status.Connections ?? []).Any(connection => (connection.PeerDevices ?? []).Any(device => device.PeerDiskState == "UpToDate"));

    /// <summary>Both sides keep data of their own and no longer talk: what a connection that both gave up looks like.</summary>
    private static string? SplitBrain(DrbdStatus status) => (status.Connections ?? []).FirstOrDefault(connection => connection.ConnectionState == "StandAlone") is { } alone
        && (status.Devices ?? []).Any(device => device.DiskState is "UpToDate" or "Consistent" or "Outdated")
        ? $"DRBD resource {status.Name} stands alone towards {alone.Name}: either it was told to, or both hosts changed their data without each other (split brain)."
        : null;

    private static IEnumerable<string> WarningsOf(DrbdStatus status)
    {
        var split = SplitBrain(status);
        if (split is not null)
        {
            yield return split;
        }

        foreach (var device in (status.Devices ?? []).Where(device => device.DiskState != "UpToDate"))
        {
            yield return $"The disk of {status.Name} is {device.DiskState}.";
        }

        foreach (var connection in (status.Connections ?? []).Where(connection => connection.ConnectionState is { } state && state != "Connected" && (state != "StandAlone" || split is null)))
        {
            yield return $"{status.Name} is {connection.ConnectionState} towards {connection.Name}.";
        }

        foreach (var device in (status.Connections ?? []).SelectMany(connection => connection.PeerDevices ?? []).Where(device => device.ReplicationState is "SyncSource" or "SyncTarget"))
        {
            yield return string.Create(CultureInfo.InvariantCulture, $"{status.Name} is being synchronized: {device.PercentInSync:0.#} %.");
        }
    }

    /// <summary>The state of a resource; <see langword="null"/> when it is not up.</summary>
    private async Task<DrbdStatus?> StatusAsync(string name, CancellationToken cancellationToken)
    {
        var result = await _runner.RunAsync(new() { FileName = "drbdsetup", Arguments = ["status", name, "--json"], Timeout = _options.Timeout }, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode == NoSuchResource && result.Error.Contains("No such resource", StringComparison.Ordinal))
        {
            return null;
        }

        if (result.ExitCode != 0 && result.Error.Contains("unrecognized option '--json'", StringComparison.Ordinal))
        {
            return await EventsAsync(name, cancellationToken).ConfigureAwait(false);
        }

        if (result.ExitCode != 0)
        {
            throw new UnavailableException($"DRBD does not tell its state (its kernel module is needed): {ProcessFailedException.Exited(result).Message}");
        }

        try
        {
            return JsonSerializer.Deserialize(result.Output, DrbdJson.Default.IReadOnlyListDrbdStatus)?.FirstOrDefault(status => status.Name == name);
        }
        catch (JsonException exception)
        {
            throw new StorageException($"The answer of drbdsetup cannot be understood: {exception.Message}", exception);
        }
    }

    /// <summary>Whether the kernel's DRBD is 8.4. While it is not loaded, drbdadm does not know its version; the module's file does.</summary>
    private async Task<bool> IsVersion8Async(CancellationToken cancellationToken)
    {
        const string Key = "DRBD_KERNEL_VERSION_CODE=0x";
        var said = (await _runner.RunAsync(new() { FileName = "drbdadm", Arguments = ["--version"], Timeout = _options.Timeout }, cancellationToken).ConfigureAwait(false)).EnsureSuccess().Output;
        var code = said.Split('\n').FirstOrDefault(line => line.StartsWith(Key, StringComparison.Ordinal)) is { } line
            && int.TryParse(line.AsSpan(Key.Length).Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var number) ? number : 0;
        if (code != 0)
        {
            return code < FirstVersion9;
        }

        try
        {
            var module = await _runner.RunAsync(new() { FileName = "modinfo", Arguments = ["--field", "version", "drbd"], Timeout = _options.Timeout }, cancellationToken).ConfigureAwait(false);
            return module.ExitCode == 0 && module.Output.StartsWith("8.", StringComparison.Ordinal);
        }
        catch (ProcessFailedException)
        {
            // A host without modules says so itself when the resource is brought up.
            return false;
        }
    }

    /// <summary>Whether a resource is up that may be anybody's.</summary>
    private async Task<bool> IsUpAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            return await StatusAsync(name, cancellationToken).ConfigureAwait(false) is not null;
        }
        catch (UnavailableException)
        {
            // Without the kernel's module none is; that it is missing, bringing this one up says.
            return false;
        }
    }

    /// <summary>The state as the events of version 8.4 tell it, which has no JSON:
    /// <c>exists device name:r0 volume:0 minor:4 disk:UpToDate</c>; of a resource that is not up it tells nothing.</summary>
    private async Task<DrbdStatus?> EventsAsync(string name, CancellationToken cancellationToken)
    {
        var result = await _runner.RunAsync(new() { FileName = "drbdsetup", Arguments = ["events2", "--now", name], Timeout = _options.Timeout }, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            throw new UnavailableException($"DRBD does not tell its state: {ProcessFailedException.Exited(result).Message}");
        }

        DrbdStatus? status = null;
        foreach (var words in result.Output.Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Where(words => words is ["exists", _, _, ..]))
        {
            var values = words.Skip(2).Select(word => word.Split(':', 2)).Where(pair => pair.Length == 2).DistinctBy(pair => pair[0]).ToDictionary(pair => pair[0], pair => pair[1], StringComparer.Ordinal);
            if (values.GetValueOrDefault("name") != name)
            {
                continue;
            }

            string? Value(string key) => values.GetValueOrDefault(key);
            if (words[1] == "resource")
            {
                status = new() { Name = name, Role = Value("role"), Devices = [], Connections = [] };
            }
            else if (status is not null && words[1] == "device" && int.TryParse(Value("minor"), NumberStyles.None, CultureInfo.InvariantCulture, out var minor))
            {
                status = status with { Devices = [.. status.Devices!, new() { Minor = minor, DiskState = Value("disk") }] };
            }
            else if (status is not null && words[1] == "connection")
            {
                status = status with { Connections = [.. status.Connections!, new() { Name = Value("conn-name"), ConnectionState = Value("connection"), PeerDevices = [] }] };
            }
            else if (status is not null && words[1] == "peer-device")
            {
                DrbdPeerDevice device = new()
                {
                    ReplicationState = Value("replication"),
                    PeerDiskState = Value("peer-disk"),
                    PercentInSync = double.TryParse(Value("done"), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var done) ? done : 0,
                };
                status = status with { Connections = [.. status.Connections!.Select(connection => connection.Name == Value("conn-name") ? connection with { PeerDevices = [.. connection.PeerDevices!, device] } : connection)] };
            }
        }

        return status;
    }

    private async Task<bool> HasMetadataAsync(Resource resource, CancellationToken cancellationToken) =>
        await _formats.Holds(resource.Disk, Signature).VerifyAsync(cancellationToken).ConfigureAwait(false) is null;

    /// <summary>What drbdadm does not read as it was meant; <see langword="null"/> when all is well. Needs no kernel module.</summary>
    private async Task<string?> ReadsAsync(Resource resource, CancellationToken cancellationToken)
    {
        var result = await _runner.RunAsync(Tool(resource, "dump-xml", resource.Name).Command, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            return ProcessFailedException.Exited(result).Message;
        }

        try
        {
            using var reader = XmlReader.Create(new StringReader(result.Output[Math.Max(0, result.Output.IndexOf('<', StringComparison.Ordinal))..]), new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit });
            var hosts = XElement.Load(reader).DescendantsAndSelf("resource").First(element => element.Attribute("name")?.Value == resource.Name).Elements("host").ToList();
            var own = hosts.Find(host => host.Attribute("name")?.Value == _options.HostName)?.Element("volume");
            return own is null ? $"it has no host {_options.HostName}"
                : hosts.Count != resource.Hosts.Count ? $"it has {hosts.Count} hosts"
                : own.Element("disk")?.Value != resource.Disk ? $"its disk is {own.Element("disk")?.Value}"
                : own.Element("device")?.Attribute("minor")?.Value != Text(resource.Minor) ? $"its minor is {own.Element("device")?.Attribute("minor")?.Value}" : null;
        }
        catch (Exception exception) when (exception is XmlException or InvalidOperationException)
        {
            return $"the answer of drbdadm cannot be understood ({exception.Message})";
        }
    }

    private Resource ResourceOf(StorageLayer layer)
    {
        var name = layer.DrbdResourceName ?? throw new InvalidFieldException("drbd_rsc_name", null, "it is the name of the resource.");
        if (name.Length > 127 || !name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '_' or '+' or '-') || name[0] is '.' or '-' or '+')
        {
            throw new InvalidFieldException("drbd_rsc_name", name, "it has letters, digits, dots, hyphens, underscores and plus signs, and begins with a letter, digit or underscore.");
        }

        var disk = layer.DrbdDisk ?? throw new InvalidFieldException("drbd_disk", null, "it is the device that is mirrored.");
        var own = layer.DrbdIp ?? throw new InvalidFieldException("drbd_ip", null, "it is this host's address.");
        var minor = layer.DrbdMinor ?? throw new InvalidFieldException("drbd_minor", null, "it is the number of the DRBD device.");
        if (disk.Any(letter => letter is '"' or '\n' or '\\' or ';' or '{' or '}'))
        {
            throw new InvalidFieldException("drbd_disk", disk, "it is the path of a device.");
        }

        // All hosts number each other alike: by their addresses.
        IPAddress[] all = [.. layer.DrbdPeerIps.Append(own).Distinct().OrderBy(address => address.AddressFamily).ThenBy(address => Convert.ToHexString(address.GetAddressBytes()), StringComparer.Ordinal)];
        if (all.Length < 2)
        {
            throw new InvalidFieldException("drbd_peer_ip", null, "at least one peer is named.");
        }

        return new(name, disk, minor, layer.DrbdPort ?? FirstPort + minor, Path.Combine(_options.ConfigurationDirectory, $"{name}.res"),
            [.. all.Select((address, id) => new ResourceHost(address.Equals(own) ? _options.HostName : $"peer-{address.ToString().Replace(':', '-')}", id, address))]);
    }

    private static async Task DurableTextAsync(string path, string text, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var temporary = $"{path}.pengx";
        var file = new FileStream(temporary, FileMode.Create, FileAccess.Write);
        await using (file.ConfigureAwait(false))
        {
            await file.WriteAsync(System.Text.Encoding.UTF8.GetBytes(text), cancellationToken).ConfigureAwait(false);
            file.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
    }

    private ToolAction WipeMetadata(Resource resource) =>
        Tool(resource, resource.IsVersion8 ? ["--", "--force", "wipe-md", resource.Name] : ["wipe-md", "--force", resource.Name]);

    private ToolAction Tool(Resource resource, params string[] arguments) =>
        new(new ProcessCommand { FileName = "drbdadm", Arguments = ["-c", resource.File, .. arguments], Timeout = _options.Timeout });

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private sealed record ResourceHost(string Name, int Id, IPAddress Address);

    private sealed record Resource(string Name, string Disk, int Minor, int Port, string File, IReadOnlyList<ResourceHost> Hosts)
    {
        /// <summary>Whether the kernel has version 8.4, which knows less.</summary>
        public bool IsVersion8 { get; init; }

        public string Device => $"/dev/drbd{DrbdLayers.Text(Minor)}";

        public string Text
        {
            get
            {
                var hosts = string.Concat(Hosts.Select(host => string.Create(CultureInfo.InvariantCulture, $$"""
                        on "{{host.Name}}" {
                    {{(IsVersion8 ? "" : string.Create(CultureInfo.InvariantCulture, $"        node-id {host.Id};\n"))}}        address {{(host.Address.AddressFamily == AddressFamily.InterNetworkV6 ? $"ipv6 [{host.Address}]" : $"ipv4 {host.Address}")}}:{{Port}};
                            volume 0 { device minor {{Minor}}; disk "{{Disk}}"; meta-disk internal; }
                        }

                    """)));
                var mesh = IsVersion8 ? "" : $$"""
                        options { auto-promote no; }
                        connection-mesh { hosts {{string.Join(' ', Hosts.Select(host => $"\"{host.Name}\""))}}; }

                    """;
                return $$"""
                    # Written by Pengx.
                    resource "{{Name}}" {
                        net { protocol C; after-sb-0pri disconnect; after-sb-1pri disconnect; after-sb-2pri disconnect; }
                    {{mesh}}{{hosts}}}

                    """;
            }
        }
    }
}

internal sealed record DrbdPeerDevice
{
    public string? ReplicationState { get; init; }

    public string? PeerDiskState { get; init; }

    public double PercentInSync { get; init; }
}

internal sealed record DrbdConnection
{
    public string? Name { get; init; }

    public string? ConnectionState { get; init; }

    [JsonPropertyName("peer_devices")]
    public IReadOnlyList<DrbdPeerDevice>? PeerDevices { get; init; }
}

internal sealed record DrbdDevice
{
    public int Minor { get; init; }

    public string? DiskState { get; init; }
}

internal sealed record DrbdStatus
{
    public string? Name { get; init; }

    public string? Role { get; init; }

    public IReadOnlyList<DrbdDevice>? Devices { get; init; }

    public IReadOnlyList<DrbdConnection>? Connections { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower)]
[JsonSerializable(typeof(IReadOnlyList<DrbdStatus>))]
internal sealed partial class DrbdJson : JsonSerializerContext;
