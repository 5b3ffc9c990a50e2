using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>How <see cref="IscsiLayers"/> reaches the initiator.</summary>
public sealed class IscsiOptions
{
    /// <summary>The program.</summary>
    /// <value><c>iscsiadm</c>.</value>
    public string Iscsiadm { get; set; } = "iscsiadm";

    /// <summary>Where the initiator keeps its records of targets.</summary>
    /// <value><c>/etc/iscsi/nodes</c>.</value>
    public string NodeDirectory { get; set; } = "/etc/iscsi/nodes";

    /// <summary>Where sysfs is mounted.</summary>
    /// <value><c>/sys</c>.</value>
    public string Sys { get; set; } = "/sys";

    /// <summary>How long one call may take; a target that does not answer is given up then.</summary>
    /// <value>30 seconds.</value>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a logged in target may take until its device is there.</summary>
    /// <value>20 seconds.</value>
    public TimeSpan DeviceTimeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>How long reads and writes wait for a target that went away before they fail, in whole seconds.</summary>
    /// <value>2 minutes: a target that restarts is not noticed by guests.</value>
    public TimeSpan RecoveryTimeout { get; set; } = TimeSpan.FromMinutes(2);
}

/// <summary>A target that a portal offers.</summary>
/// <param name="Name">Its iSCSI name.</param>
/// <param name="Address">The portal's address.</param>
/// <param name="Port">The portal's port.</param>
public sealed record IscsiTarget(string Name, IPAddress Address, int Port);

/// <summary>iSCSI: logs in to a target with <c>iscsiadm</c>, scans for its one unit, and mounts it where the order says so.</summary>
/// <remarks>A layer is ordered by <see cref="StorageLayer.TargetIp"/>, <see cref="StorageLayer.Target"/> and <see cref="StorageLayer.Lun"/>.
/// What is there is read from sysfs and from the initiator's records, never from the program's tables. The secret of CHAP goes from its
/// file into the initiator's record (mode 0600), and into no argument. Safe to use from many threads.</remarks>
public sealed class IscsiLayers : IStorageLayerDriver
{
    private const int DefaultPort = 3260;
    private const int SessionExists = 15;
    private const int NothingThere = 21;
    private const int MaxSecret = 4096;

    // udev makes a path when it has looked into the device, which a busy host keeps it from for long.
    private static readonly TimeSpan s_udevTimeout = TimeSpan.FromMinutes(1);

    private readonly IProcessRunner _runner;
    private readonly IscsiOptions _options;
    private readonly DeviceGuard _devices;
    private readonly FormatGuard _formats;
    private readonly FileSystemSteps _fileSystems;
    private readonly LayerExecution _execution;

    /// <summary>Makes a driver.</summary>
    /// <param name="runner">Runs the programs.</param>
    /// <param name="options">How the initiator is reached; the defaults when not given.</param>
    /// <param name="leaseDirectory">Where the locks between processes of this host lie.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of every step.</param>
    public IscsiLayers(IProcessRunner runner, IscsiOptions? options = null, string leaseDirectory = "/run/pengx/leases", TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _runner = runner;
        _options = options ?? new();
        _devices = new(_options.Sys);
        _formats = new(runner, _devices);
        _fileSystems = new(_formats, _devices);
        _execution = new(runner, leaseDirectory, timeProvider, logger);
    }

    /// <inheritdoc/>
    public bool Serves(StorageCategory category) => category == StorageCategory.Iscsi;

    /// <inheritdoc/>
    public Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default) =>
        _execution.RunAsync(this, "iscsi", order, shown, cancellationToken);

    /// <summary>Asks a portal for the targets that it offers. Nothing is recorded.</summary>
    /// <param name="address">The portal's address.</param>
    /// <param name="port">Its port; 3260 when not given.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="UnavailableException">The portal does not answer in time, or cannot be reached.</exception>
    /// <exception cref="ProcessFailedException">The initiator cannot ask; the message has its own words.</exception>
    public async Task<IReadOnlyList<IscsiTarget>> DiscoverAsync(IPAddress address, int? port = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(address);
        await DemandAnswerAsync(address, port ?? DefaultPort, cancellationToken).ConfigureAwait(false);
        var result = await _runner.RunAsync(
            Command("-m", "discovery", "-t", "sendtargets", "-o", "nonpersistent", "-p", Portal(address, port ?? DefaultPort)), cancellationToken).ConfigureAwait(false);
        if (result.ExitCode == NothingThere)
        {
            return [];
        }

        List<IscsiTarget> targets = [];
        foreach (var line in result.EnsureSuccess().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            // 192.0.2.1:3260,1 iqn.2026-11.org.example:t1
            var (blank, comma) = (line.IndexOf(' ', StringComparison.Ordinal), line.LastIndexOf(','));
            if (blank > 0 && line[..blank].LastIndexOf(',') is > 0 and var end && IPEndPoint.TryParse(line[..end], out var portal) && comma > 0)
            {
                targets.Add(new(line[(blank + 1)..], portal.Address, portal.Port));
            }
        }

        return targets;
    }

    /// <inheritdoc/>
    public async Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(order);
        LayerExecution.DemandServed(this, order);
        var target = TargetOf(order.Layer);
        var title = $"{order.Verb} {target.Name} unit {Text(target.Lun)} at {target.Portal}";
        var session = FindSession(target);
        var device = session is null ? null : FindDevice(session, target.Lun);
        if (device is not null && order.Verb is StorageVerb.Attach or StorageVerb.Delete or StorageVerb.Resize)
        {
            await DemandKnownAsync(order.Layer, session!, device, cancellationToken).ConfigureAwait(false);
        }

        switch (order.Verb)
        {
            case StorageVerb.Create or StorageVerb.Attach:
                List<StorageStep> steps = [];
                if (session is null)
                {
                    await DemandAnswerAsync(target.Address, target.Port, cancellationToken).ConfigureAwait(false);
                    steps.AddRange(RecordSteps(order, target));
                    steps.Add(Login(target));
                }

                if (device is null)
                {
                    steps.Add(Scan(target, order.Layer.MountPoint is null ? order.Layer.Uuid : null));
                }

                if (order.Layer.MountPoint is { } point)
                {
                    IReadOnlyList<StorageStep> format = [];
                    if (order is { Verb: StorageVerb.Create, FileSystem: { } wanted })
                    {
                        if (device is null)
                        {
                            throw new WrongStateException($"What is on unit {Text(target.Lun)} of {target.Name} is not known before it is attached: attach it without a mount point first, and format it as local storage on its device.");
                        }

                        format = await _fileSystems.WipeAndFormatAsync(_devices.Inspect(device), wanted, order.Layer.Uuid, order.Consent, cancellationToken).ConfigureAwait(false);
                    }

                    if (device is null || format.Count > 0 || !_fileSystems.IsAt(point, device))
                    {
                        var there = device ?? ByPath(target);
                        StorageCondition appears = new($"there is a device {there}", _ => Task.FromResult(_devices.Find(there) is null ? "there is none" : null)) { Within = s_udevTimeout };
                        steps.AddRange(_fileSystems.MakeAndMount(there, point, order.Layer.FileSystem, order.Layer.Uuid, format).Select(step => step.Action is ToolAction ? step with { Before = [appears, .. step.Before] } : step));
                    }
                }

                return LayerExecution.Plan(title, [.. steps]);
            case StorageVerb.Detach or StorageVerb.Delete:
                return LayerExecution.Plan(title, [.. Leave(order, target, session, device)]);
            default:
                return session is null || device is null ? throw new WrongStateException($"{target.Name} is not attached; attach it first.")
                    : LayerExecution.Plan(title, Rescan(device));
        }
    }

    /// <inheritdoc/>
    public async Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        var target = TargetOf(layer);
        var session = FindSession(target);
        if (session is null)
        {
            return File.Exists(RecordOf(target)) ? new(layer, ByPath(target), false) : null;
        }

        if (FindDevice(session, target.Lun) is not { } device)
        {
            return new(layer, ByPath(target), false) { Warnings = [$"This host is logged in, but there is no unit {Text(target.Lun)}."] };
        }

        var other = layer.MountPoint is null ? Differs(device, layer.Uuid) : null;
        StorageLayerState found = new(layer with { Size = SizeOf(device) }, ByPath(target), layer.MountPoint is { } point ? _fileSystems.IsAt(point, device) : other is null)
        {
            Warnings = other is null ? [] : [$"Another unit has got the layer's number: {other}."],
        };
        return !Answers(session) ? found with { Warnings = [.. found.Warnings, $"The session is {Read(session, "state")}: the target does not answer."] }
            : layer.MountPoint is null ? found with { Layer = found.Layer with { Uuid = layer.Uuid ?? WwidOf(device) } }
            : await _fileSystems.IdentifiedAsync(found, device, layer.FileSystem, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Demands that a unit is the one that the layer is known by: its file system's UUID where it is mounted, else its WWID.</summary>
    private async Task DemandKnownAsync(StorageLayer layer, string session, string device, CancellationToken cancellationToken)
    {
        if (layer is { MountPoint: null, Uuid: not null } && Differs(device, layer.Uuid) is { } other)
        {
            throw new StorageException($"Another unit has got the layer's number: {other}; nothing was changed.");
        }

        // A target that is away cannot be read from, and is let go none the less.
        if (layer is { MountPoint: not null, FileSystem: { } type } && Answers(session))
        {
            await _fileSystems.DemandKnownAsync(device, layer, type, cancellationToken).ConfigureAwait(false);
        }
    }

    private string? Differs(string device, string? wwid) => wwid is null || WwidOf(device) is var found && found == wwid ? null : $"{device} must be {wwid}, but it is {found ?? "without a WWID"}";

    private string? WwidOf(string device) => Read(Path.Combine(_options.Sys, "block", Path.GetFileName(device)), "device/wwid");

    private static bool Answers(string session) => Read(session, "state") is null or "LOGGED_IN";

    private IEnumerable<StorageStep> RecordSteps(StorageOrder order, Target target)
    {
        var record = RecordOf(target);
        StorageCondition isRecorded = new($"the initiator has a record of {target.Name} at {target.Portal}", _ => Task.FromResult(File.Exists(record) ? null : $"there is no {record}"));
        StorageUndo forget = new(Tool("-m", "node", "-o", "delete", "-T", target.Name, "-p", target.Portal)) { Needed = isRecorded };
        if (!File.Exists(record))
        {
            yield return new()
            {
                Description = $"Record the target {target.Name}",
                Action = Tool("-m", "node", "-o", "new", "-T", target.Name, "-p", $"{target.Portal},1"),
                Risk = StorageRisk.Reversible,
                After = isRecorded,
                Undo = forget,
            };
        }

        // Only the one unit that was asked for may appear, and the record waits for no other boot.
        var recovery = Text((int)Math.Max(1, _options.RecoveryTimeout.TotalSeconds));
        foreach (var (name, value) in new[] { ("node.startup", "manual"), ("node.session.scan", "manual"), ("node.session.initial_login_retry_max", "2"), ("node.session.timeo.replacement_timeout", recovery) })
        {
            yield return new()
            {
                Description = $"Set {name} to {value}",
                Action = Tool("-m", "node", "-o", "update", "-T", target.Name, "-p", target.Portal, "-n", name, "-v", value),
                Risk = StorageRisk.Reversible,
                After = new($"the record says {name} = {value}", _ => Task.FromResult(File.ReadLines(RecordOf(target)).Contains($"{name} = {value}") ? null : "it does not")),
            };
        }

        if (order is { Layer.ChapUser: { } user, ChapSecretFile: { } secret })
        {
            yield return new()
            {
                Description = $"Write the secret of CHAP user {user} into the record",
                Action = new NativeAction($"write node.session.auth.authmethod, username and password (from a file) into {record}, mode 0600", token => WriteChapAsync(record, user, secret, token)),
                Risk = StorageRisk.Reversible,
                After = new($"{record} has user {user} and can be read by its owner only", _ => Task.FromResult(
                    !File.ReadLines(record).Contains($"node.session.auth.username = {user}") ? "it has not"
                    : File.GetUnixFileMode(record) != (UnixFileMode.UserRead | UnixFileMode.UserWrite) ? $"its mode is {File.GetUnixFileMode(record)}" : null)),
            };
        }
    }

    private StorageStep Login(Target target) => new()
    {
        Description = $"Log in to {target.Name}",
        Action = Tool("-m", "node", "-T", target.Name, "-p", target.Portal, "--login") with { AlsoAccepted = [SessionExists] },
        Risk = StorageRisk.Reversible,
        After = IsLoggedIn(target),
        Undo = new(Tool("-m", "node", "-T", target.Name, "-p", target.Portal, "--logout") with { AlsoAccepted = [NothingThere] }) { Needed = IsLoggedIn(target) with { Within = default } },
    };

    private StorageCondition IsLoggedIn(Target target) => new($"there is a session with {target.Name} at {target.Portal}", _ => Task.FromResult(
        FindSession(target) is not { } session ? "there is none" : Read(session, "state") is { } state && state != "LOGGED_IN" ? $"it is {state}" : null))
    {
        Within = TimeSpan.FromSeconds(5),
    };

    private StorageStep Scan(Target target, string? wwid) => new()
    {
        Description = $"Look for unit {Text(target.Lun)} of {target.Name}",
        Action = new NativeAction($"write '0 0 {Text(target.Lun)}' into the scan file of the session's host", token =>
        {
            var session = FindSession(target) ?? throw new StorageException($"There is no session with {target.Name}.");
            var host = HostOf(session) ?? throw new StorageException($"The session with {target.Name} has no host in sysfs.");
            return File.WriteAllTextAsync(Path.Combine(_options.Sys, "class/scsi_host", host, "scan"), $"0 0 {Text(target.Lun)}", token);
        }),
        Risk = StorageRisk.Reversible,
        After = new($"unit {Text(target.Lun)} of {target.Name} is a device", _ => Task.FromResult(FindSession(target) is { } session && FindDevice(session, target.Lun) is { } device ? Differs(device, wwid) : "it is not"))
        {
            Within = _options.DeviceTimeout,
        },
    };

    private StorageStep Rescan(string device)
    {
        var name = Path.GetFileName(device);
        return new()
        {
            Description = $"Take over the size that {device} has now",
            Action = new NativeAction($"write 1 into {_options.Sys}/block/{name}/device/rescan", token => File.WriteAllTextAsync(Path.Combine(_options.Sys, "block", name, "device/rescan"), "1", token)),
            Risk = StorageRisk.Reversible,
            After = new($"{device} has a size", _ => Task.FromResult(SizeOf(device).Bytes > 0 ? null : "it has none")),
        };
    }

    // A session that is closed while its device is in use spins in the kernel: the device goes first.
    private IEnumerable<StorageStep> Leave(StorageOrder order, Target target, string? session, string? device)
    {
        foreach (var step in order.Layer.MountPoint is { } point ? _fileSystems.Leave(point, device, order.Layer.Name) : [])
        {
            yield return step;
        }

        if (device is not null)
        {
            var found = _devices.Find(device);
            var file = Path.Combine(_options.Sys, "block", Path.GetFileName(device), "device/delete");
            yield return new()
            {
                Description = $"Let {device} go",
                Action = new NativeAction($"write 1 into {file}", token => File.WriteAllTextAsync(file, "1", token)),
                Risk = StorageRisk.Reversible,
                Before = found is null ? [] : [_devices.IsStill(found), _devices.IsUnused(found)],
                After = new($"there is no {device}", _ => Task.FromResult(Directory.Exists(Path.Combine(_options.Sys, "block", Path.GetFileName(device))) ? "there is" : null)) { Within = TimeSpan.FromSeconds(30) },
            };
        }

        if (session is not null)
        {
            // Other units of the same target may be in use by other layers.
            if (UnitsOf(session).Any(unit => unit != target.Lun))
            {
                yield break;
            }

            yield return new()
            {
                Description = $"Log out of {target.Name}",
                Action = Tool("-m", "node", "-T", target.Name, "-p", target.Portal, "--logout") with { AlsoAccepted = [NothingThere] },
                Risk = StorageRisk.Reversible,
                After = new($"there is no session with {target.Name} at {target.Portal}", _ => Task.FromResult(FindSession(target) is null ? null : "there is")) { Within = TimeSpan.FromSeconds(10) },
                Undo = new(Tool("-m", "node", "-T", target.Name, "-p", target.Portal, "--login") with { AlsoAccepted = [SessionExists] }),
            };
        }

        if (order.Verb == StorageVerb.Delete && File.Exists(RecordOf(target)))
        {
            yield return new()
            {
                Description = $"Forget the target {target.Name}",
                Action = Tool("-m", "node", "-o", "delete", "-T", target.Name, "-p", target.Portal) with { AlsoAccepted = [NothingThere] },
                Risk = StorageRisk.Reversible,
                After = new($"the initiator has no record of {target.Name} at {target.Portal}", _ => Task.FromResult(File.Exists(RecordOf(target)) ? "it has" : null)),
            };
        }
    }

    private static async Task WriteChapAsync(string record, string user, string secretFile, CancellationToken cancellationToken)
    {
        if (new FileInfo(secretFile) is not { Exists: true, Length: > 0 and < MaxSecret })
        {
            throw new StorageException($"The file with the secret of CHAP user {user} is not there any more; order it again.");
        }

        var secret = (await File.ReadAllTextAsync(secretFile, cancellationToken).ConfigureAwait(false)).Trim();
        string[] names = ["node.session.auth.authmethod", "node.session.auth.username", "node.session.auth.password"];
        List<string> lines = [.. (await File.ReadAllLinesAsync(record, cancellationToken).ConfigureAwait(false)).Where(line => !names.Contains(line.Split(" = ")[0]))];
        var end = lines.FindLastIndex(line => line.StartsWith("# END", StringComparison.Ordinal));
        lines.InsertRange(end < 0 ? lines.Count : end, [$"{names[0]} = CHAP", $"{names[1]} = {user}", $"{names[2]} = {secret}"]);
        var temporary = $"{record}.pengx";
        File.Delete(temporary);
        try
        {
            using (var file = new FileStream(temporary, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite }))
            {
                file.Write(Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => $"{line}\n"))));
                file.Flush(flushToDisk: true);
            }

            File.Move(temporary, record, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    /// <summary>Demands that something answers at the portal: the initiator itself tries for minutes.</summary>
    private async Task DemandAnswerAsync(IPAddress address, int port, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(_options.Timeout);
        try
        {
            using Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(new IPEndPoint(address, port), deadline.Token).ConfigureAwait(false);
        }
        catch (SocketException error)
        {
            throw new UnavailableException($"The iSCSI portal {Portal(address, port)} cannot be reached: {error.Message}.", error);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"The iSCSI portal {Portal(address, port)} does not answer within {_options.Timeout.TotalSeconds:0.#} s."));
        }
    }

    /// <summary>The directory in sysfs of the session with a target at that portal.</summary>
    private string? FindSession(Target target)
    {
        var sessions = Path.Combine(_options.Sys, "class/iscsi_session");
        if (!Directory.Exists(sessions))
        {
            return null;
        }

        foreach (var session in Directory.EnumerateFileSystemEntries(sessions).Where(session => Read(session, "targetname") == target.Name))
        {
            var id = Path.GetFileName(session)["session".Length..];
            var connections = Path.Combine(_options.Sys, "class/iscsi_connection");
            if (Directory.Exists(connections) && Directory.EnumerateFileSystemEntries(connections, $"connection{id}:*").Any(connection =>
                IPAddress.TryParse(Read(connection, "persistent_address"), out var address) && address.Equals(target.Address)
                && Read(connection, "persistent_port") == Text(target.Port)))
            {
                return session;
            }
        }

        return null;
    }

    private static string? FindDevice(string session, int lun) => Units(session).Where(unit => unit.Lun == lun).Select(unit => Directory.Exists(Path.Combine(unit.Directory, "block"))
        ? Directory.EnumerateFileSystemEntries(Path.Combine(unit.Directory, "block")).Select(path => $"/dev/{Path.GetFileName(path)}").FirstOrDefault()
        : null).FirstOrDefault(device => device is not null);

    private static IEnumerable<int> UnitsOf(string session) => Units(session).Where(unit => Directory.Exists(Path.Combine(unit.Directory, "block"))).Select(unit => unit.Lun);

    // …/sessionN/targetH:C:T/H:C:T:L/block/sdX
    private static IEnumerable<(int Lun, string Directory)> Units(string session)
    {
        var device = Path.Combine(session, "device");
        if (!Directory.Exists(device))
        {
            yield break;
        }

        foreach (var target in Directory.EnumerateDirectories(device, "target*"))
        {
            foreach (var unit in Directory.EnumerateDirectories(target))
            {
                if (Path.GetFileName(unit).Split(':') is [_, _, _, var lun] && int.TryParse(lun, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                {
                    yield return (number, unit);
                }
            }
        }
    }

    private static string? HostOf(string session)
    {
        var target = Directory.ResolveLinkTarget(session, returnFinalTarget: true)?.FullName ?? session;
        return target.Split('/').LastOrDefault(part => part.StartsWith("host", StringComparison.Ordinal) && part.Length > 4 && part[4..].All(char.IsAsciiDigit));
    }

    private DataSize SizeOf(string device) =>
        new(long.TryParse(Read(Path.Combine(_options.Sys, "block", Path.GetFileName(device)), "size"), NumberStyles.None, CultureInfo.InvariantCulture, out var sectors) ? sectors * 512 : 0);

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

    private string RecordOf(Target target) => Path.Combine(_options.NodeDirectory, target.Name, $"{target.Address},{Text(target.Port)},1", "default");

    private static string ByPath(Target target) => $"/dev/disk/by-path/ip-{target.Portal}-iscsi-{target.Name}-lun-{Text(target.Lun)}";

    private static string Portal(IPAddress address, int port) => new IPEndPoint(address, port).ToString();

    private static Target TargetOf(StorageLayer layer) => new(
        layer.TargetIp ?? throw new InvalidFieldException("target_ip", null, "it is the address of the portal."),
        layer.TargetPort ?? DefaultPort,
        layer.Target ?? throw new InvalidFieldException("target", null, "it is the name of the target."),
        layer.Lun ?? 0);

    private ToolAction Tool(params string[] arguments) => new(Command(arguments));

    private ProcessCommand Command(params string[] arguments) => new() { FileName = _options.Iscsiadm, Arguments = arguments, Timeout = _options.Timeout };

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private sealed record Target(IPAddress Address, int Port, string Name, int Lun)
    {
        public string Portal => IscsiLayers.Portal(Address, Port);
    }
}
