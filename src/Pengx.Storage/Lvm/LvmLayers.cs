using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>LVM's layers: physical volumes, volume groups, logical volumes.</summary>
/// <remarks>
/// A physical volume is ordered by <see cref="StorageLayer.DeviceId"/>, a device's path, and found again by its UUID. A volume
/// group is ordered by name with <see cref="StorageLayer.PhysicalVolumeIds"/> (UUIDs or paths); resizing it takes devices in and
/// lets unused ones go until it has just these. A logical volume is ordered by <see cref="StorageLayer.VolumeGroupId"/> (UUID or name),
/// name, size and kind, with a file system where it has a <see cref="StorageLayer.MountPoint"/>. A volume whose name is a disk's UUID
/// belongs to its disk, and is not touched here. Safe to use from many threads.
/// </remarks>
public sealed class LvmLayers : IStorageLayerDriver
{
    private static readonly TimeSpan s_slowestZeroing = TimeSpan.FromSeconds(120);
    private const long ZeroedBytesPerSecond = 10L << 20;
    private const long SampleBytes = 1L << 20;

    private readonly LvmHost _host;
    private readonly FormatGuard _formats;
    private readonly FileSystemSteps _fileSystems;
    private readonly FileSystemGrowth _growth;
    private readonly StoragePlanExecutor _executor;

    /// <summary>Makes a driver.</summary>
    /// <param name="runner">Runs LVM and the tools of file systems.</param>
    /// <param name="options">How LVM is used; the defaults when not given.</param>
    /// <param name="formatOptions">How closely devices are looked at before they are overwritten; the defaults when not given.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of every step.</param>
    public LvmLayers(IProcessRunner runner, LvmOptions? options = null, FormatGuardOptions? formatOptions = null, TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _host = new(runner, options ?? new());
        _formats = new(runner, _host.Devices, formatOptions);
        _fileSystems = new(_formats, _host.Devices);
        _growth = new(runner);
        _executor = new(runner, timeProvider, logger);
    }

    /// <inheritdoc/>
    public bool Serves(StorageCategory category) => category is StorageCategory.PhysicalVolume or StorageCategory.VolumeGroup or StorageCategory.LogicalVolume;

    /// <inheritdoc/>
    public async Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default)
    {
        Validate(order);
        var report = await _host.Tool.ReportAsync(null, cancellationToken).ConfigureAwait(false);
        var plan = order.Layer.Category switch
        {
            StorageCategory.PhysicalVolume => await PlanPhysicalAsync(order, report, cancellationToken).ConfigureAwait(false),
            StorageCategory.VolumeGroup => await PlanGroupAsync(order, report, cancellationToken).ConfigureAwait(false),
            _ => await PlanLogicalAsync(order, report, cancellationToken).ConfigureAwait(false),
        };
        return plan with { Warnings = [.. report.Warnings, .. plan.Warnings] };
    }

    /// <inheritdoc/>
    public async Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default)
    {
        Validate(order);
        using var held = await _host.LockAsync(await LockNameAsync(order, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        var plan = await PlanAsync(order, cancellationToken).ConfigureAwait(false);
        if (shown is not null && shown.ToString() != plan.ToString())
        {
            throw new ConcurrencyException($"Things have changed since the plan was shown, and nothing was done. It was:\n{shown}\nIt would be:\n{plan}");
        }

        await _executor.ExecuteAsync(plan, cancellationToken).ConfigureAwait(false);
        var report = await _host.Tool.ReportAsync(null, cancellationToken).ConfigureAwait(false);
        return Inspect(order.Layer, order.Name, report);
    }

    /// <inheritdoc/>
    public async Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        return Inspect(layer, layer.Uuid is null ? layer.Name : null, await _host.Tool.ReportAsync(null, cancellationToken).ConfigureAwait(false));
    }

    private void Validate(StorageOrder order)
    {
        ArgumentNullException.ThrowIfNull(order);
        if (!Serves(order.Layer.Category))
        {
            throw new InvalidFieldException("category", order.Layer.Category.ToString(), "it must be pv, vg or lv.");
        }

        if (order.Name is not null || (order is { Verb: StorageVerb.Create, Layer.Category: not StorageCategory.PhysicalVolume }))
        {
            LogicalVolumeName.Demand("name", order.Name);
        }
    }

    private async Task<string> LockNameAsync(StorageOrder order, CancellationToken cancellationToken) => order.Layer.Category switch
    {
        StorageCategory.PhysicalVolume => "devices",
        StorageCategory.VolumeGroup when order.Name is { } name => name,
        _ => (await _host.Tool.ReportAsync(null, cancellationToken).ConfigureAwait(false)).Find(order.Layer.VolumeGroupId ?? order.Layer.Uuid ?? "")?.Name ?? "devices",
    };

    private StorageLayerState? Inspect(StorageLayer layer, string? name, LvmReport report)
    {
        switch (layer.Category)
        {
            case StorageCategory.PhysicalVolume:
                return FindPhysical(report, layer.Uuid ?? layer.DeviceId) is { } physical
                    ? new(layer with { Uuid = physical.Uuid, DeviceId = physical.Name, Size = new(physical.Size), Free = new(physical.Free) }, physical.Name, !physical.Missing)
                    {
                        Warnings = [.. report.Warnings, .. physical.Missing ? [$"The device of physical volume {physical.Uuid} is missing."] : Array.Empty<string>()],
                    }
                    : null;
            case StorageCategory.VolumeGroup:
                return report.Find(layer.Uuid ?? name ?? "") is { } group
                    ? new(
                        layer with
                        {
                            Uuid = group.Uuid,
                            Size = new(group.Size),
                            Free = new(group.Free),
                            PhysicalVolumeIds = [.. group.PhysicalVolumes.Select(member => member.Uuid)],
                            LogicalVolumeCount = group.LogicalVolumes.Count(volume => !volume.IsInternal),
                        },
                        group.Name,
                        !group.Partial && !group.Exported)
                    {
                        Warnings = [.. report.Warnings, .. WarningsOf(group)],
                    }
                    : null;
            default:
                if (report.Find(layer.VolumeGroupId ?? "") is not { } owner || FindLogical(owner, layer, name) is not { } logical)
                {
                    return null;
                }

                var path = logical.IsThinPool ? null : FindPath(owner, logical);
                var attached = logical.IsThinPool || (path is not null && (layer.MountPoint is not { } point || _fileSystems.IsAt(point, path)));
                return new(
                    layer with
                    {
                        Uuid = logical.Uuid,
                        VolumeGroupId = owner.Uuid,
                        Size = new(logical.Size),
                        Free = logical.IsThinPool ? new((long)(logical.Size * (100 - (logical.DataPercent ?? 0)) / 100)) : default,
                    },
                    $"{owner.Name}/{logical.Name}",
                    attached)
                {
                    Warnings = [.. report.Warnings, .. WarningsOf(logical)],
                };
        }
    }

    private IEnumerable<string> WarningsOf(LvmVolumeGroup group)
    {
        foreach (var missing in group.PhysicalVolumes.Where(member => member.Missing))
        {
            yield return $"The device of physical volume {missing.Uuid} is missing.";
        }

        foreach (var warning in group.LogicalVolumes.Where(volume => volume.IsThinPool).SelectMany(WarningsOf))
        {
            yield return warning;
        }
    }

    private IEnumerable<string> WarningsOf(LvmLogicalVolume volume)
    {
        if (volume.Health.Length > 0)
        {
            yield return $"LVM says of {volume.Name}: {volume.Health}.";
        }

        if (volume.IsThinPool)
        {
            var limit = _host.Tool.Options.ThinWatermark;
            foreach (var (what, percent) in new[] { ("data", volume.DataPercent), ("metadata", volume.MetadataPercent) })
            {
                if (percent >= limit)
                {
                    yield return string.Create(CultureInfo.InvariantCulture, $"The thin pool {volume.Name} has {percent} % of its {what} in use, above its watermark of {limit} %.");
                }
            }

            if (volume.WhenFull == "queue")
            {
                yield return $"When the thin pool {volume.Name} is full, writes hang instead of failing.";
            }
        }
    }

    private string? FindPath(LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        try
        {
            return _host.Activation.FindPath(group, volume);
        }
        catch (StorageException)
        {
            // What cannot be activated on this host is not active on it.
            return null;
        }
    }

    private static LvmPhysicalVolume? FindPhysical(LvmReport report, string? uuidOrPath)
    {
        if (uuidOrPath is null)
        {
            return null;
        }

        var number = uuidOrPath.StartsWith("/dev/", StringComparison.Ordinal) ? Posix.FindDeviceNumber(uuidOrPath) : null;
        return report.PhysicalVolumes.FirstOrDefault(volume => volume.Uuid == uuidOrPath || (number is not null && Posix.FindDeviceNumber(volume.Name) == number));
    }

    private static LvmLogicalVolume? FindLogical(LvmVolumeGroup group, StorageLayer layer, string? name) =>
        group.LogicalVolumes.FirstOrDefault(volume => layer.Uuid is { } uuid ? volume.Uuid == uuid : volume.Name == name);

    private async Task<LvmReport> ReportAsync(CancellationToken cancellationToken) => await _host.Tool.ReportAsync(null, cancellationToken).ConfigureAwait(false);

    private async Task<StoragePlan> PlanPhysicalAsync(StorageOrder order, LvmReport report, CancellationToken cancellationToken)
    {
        var found = FindPhysical(report, order.Layer.Uuid ?? order.Layer.DeviceId);
        switch (order.Verb)
        {
            case StorageVerb.Create:
                var path = order.Layer.DeviceId ?? throw new InvalidFieldException("device_id", null, "it must be the path of the device to make a physical volume of.");
                if (found is not null)
                {
                    return Nothing($"Create a physical volume on {path}");
                }

                return await PlanPvCreateAsync(path, order.Consent, cancellationToken).ConfigureAwait(false);
            case StorageVerb.Delete when found is not null:
                if (found.VolumeGroup is { } group)
                {
                    throw new InUseException($"The physical volume {found.Name} belongs to volume group {group}; take it out of that first.");
                }

                var device = _host.Devices.Inspect(found.Name);
                return Plan($"Delete physical volume {found.Uuid} on {found.Name}", new StorageStep
                {
                    Description = $"Take the label off {found.Name}",
                    Action = _host.Tool.Action("pvremove", "--yes", found.Name),
                    Risk = StorageRisk.Destructive,
                    Before = [_host.Devices.IsStill(device), _formats.Holds(found.Name, "LVM2_member", found.Uuid)],
                    After = new($"there is no physical volume {found.Uuid}", async token => FindPhysical(await ReportAsync(token).ConfigureAwait(false), found.Uuid) is null ? null : "there is"),
                });
            case StorageVerb.Resize when found is null:
                throw new StorageException($"There is no physical volume {order.Layer.Uuid ?? order.Layer.DeviceId}.");
            case StorageVerb.Resize when CanGrow(report, found!):
                if (report.Find(found!.VolumeGroup ?? "") is { } owner)
                {
                    _host.DemandWritable(owner, shared: false);
                }

                var grown = _host.Devices.Inspect(found.Name);
                return Plan($"Take over the new size of {found.Name}", new StorageStep
                {
                    Description = $"Grow the physical volume to {grown.Size}",
                    Action = _host.Tool.Action("pvresize", "--yes", found.Name),
                    Risk = StorageRisk.Reversible,
                    Before = [_host.Devices.IsStill(grown), _formats.Holds(found.Name, "LVM2_member", found.Uuid)],
                    After = new($"physical volume {found.Uuid} fills its device", async token =>
                    {
                        var now = await ReportAsync(token).ConfigureAwait(false);
                        return FindPhysical(now, found.Uuid) is not { } volume ? "it is gone" : CanGrow(now, volume) ? $"it has {new DataSize(volume.Size)}" : null;
                    }),
                });
            default:
                return Nothing($"{order.Verb} physical volume {found?.Name ?? order.Layer.Uuid ?? order.Layer.DeviceId}");
        }
    }

    private async Task<StoragePlan> PlanPvCreateAsync(string path, FormatConsent? consent, CancellationToken cancellationToken)
    {
        var device = _host.Devices.Inspect(path);
        if (device.ReadOnly)
        {
            throw new StorageException($"The device {path} is read-only.");
        }

        if (device.Users.Count > 0)
        {
            throw new InUseException($"The device {path} is used by {string.Join(", ", device.Users)}.");
        }

        var probe = await _formats.DemandFormattableAsync(device, consent, cancellationToken).ConfigureAwait(false);
        var still = _host.Devices.IsStill(device);
        var unused = _host.Devices.IsUnused(device);
        List<StorageStep> steps = [];
        if (probe.Content == DeviceContent.Known)
        {
            steps.Add(new()
            {
                Description = $"Wipe '{probe.Text}' off {path}",
                Action = ToolAction.Of("wipefs", "--all", path),
                Risk = StorageRisk.Destructive,
                Before = [still, unused, _formats.IsFormattable(device, consent)],
                After = _formats.HoldsNothing(device),
            });
        }

        StorageCondition isMade = new($"LVM reports a physical volume on {path}", async token => FindPhysical(await ReportAsync(token).ConfigureAwait(false), path) is null ? "it reports none" : null);
        steps.Add(new()
        {
            Description = $"Make a physical volume of {path}",
            Action = _host.Tool.Action("pvcreate", "--yes", path),
            Risk = StorageRisk.Destructive,
            Before = [still, unused, probe.Content == DeviceContent.Known ? _formats.HoldsNothing(device) : _formats.IsFormattable(device, null)],
            After = isMade,
            Undo = new(_host.Tool.Action("pvremove", "--yes", path)) { Needed = isMade },
        });
        return Plan($"Create a physical volume on {path} ({device.Identity}, {device.Size})", [.. steps]);
    }

    private static bool CanGrow(LvmReport report, LvmPhysicalVolume volume)
    {
        var extent = volume.VolumeGroup is { } name ? report.Find(name)?.ExtentSize ?? 0 : 0;
        return extent == 0 ? volume.DeviceSize > volume.Size : volume.DeviceSize - volume.Start - (volume.Extents * extent) >= extent;
    }

    private async Task<StoragePlan> PlanGroupAsync(StorageOrder order, LvmReport report, CancellationToken cancellationToken)
    {
        var layer = order.Layer;
        var found = report.Find(layer.Uuid ?? order.Name ?? "");
        if (found is not null && order.Verb is not (StorageVerb.Attach or StorageVerb.Detach))
        {
            await _host.DemandOwnAsync(found, cancellationToken).ConfigureAwait(false);
        }

        var members = order.Verb is StorageVerb.Create or StorageVerb.Resize
            ? layer.PhysicalVolumeIds.Select(id => FindPhysical(report, id) ?? throw new InvalidFieldException("pv_ids", id, "there is no such physical volume on this host.")).DistinctBy(volume => volume.Uuid).ToList()
            : [];
        foreach (var member in members.Where(member => member.VolumeGroup is not null && member.VolumeGroup != found?.Name))
        {
            throw new InUseException($"The physical volume {member.Name} belongs to volume group {member.VolumeGroup}.");
        }

        StorageCondition HasJust(string name, IReadOnlyCollection<string> uuids) => new(
            $"volume group {name} has just the physical volumes {string.Join(", ", uuids)}",
            async token => (await ReportAsync(token).ConfigureAwait(false)).Find(name) is not { } now ? "there is no such group"
                : now.PhysicalVolumes.Select(volume => volume.Uuid).ToHashSet().SetEquals(uuids) ? null
                : $"it has {string.Join(", ", now.PhysicalVolumes.Select(volume => volume.Uuid))}");

        StorageCondition[] Same(IEnumerable<LvmPhysicalVolume> volumes) =>
            [.. volumes.SelectMany(volume => new[] { _host.Devices.IsStill(_host.Devices.Inspect(volume.Name)), _formats.Holds(volume.Name, "LVM2_member", volume.Uuid) })];

        switch (order.Verb)
        {
            case StorageVerb.Create when members.Count == 0:
                throw new InvalidFieldException("pv_ids", "", "a volume group needs at least one physical volume.");
            case StorageVerb.Create when found is not null:
                return found.PhysicalVolumes.Select(volume => volume.Uuid).ToHashSet().SetEquals(members.Select(member => member.Uuid))
                    ? Nothing($"Create volume group {found.Name}")
                    : throw new StorageException($"There is a volume group {found.Name} already, on other physical volumes.");
            case StorageVerb.Create:
                var made = HasJust(order.Name!, [.. members.Select(member => member.Uuid)]);
                return Plan($"Create volume group {order.Name}", new StorageStep
                {
                    Description = $"Make volume group {order.Name} of {string.Join(", ", members.Select(member => member.Name))}",
                    Action = _host.Tool.Action("vgcreate", ["--setautoactivation", "n", order.Name!, .. members.Select(member => member.Name)]),
                    Risk = StorageRisk.Reversible,
                    Before =
                    [
                        .. Same(members),
                        new($"there is no volume group {order.Name}", async token => (await ReportAsync(token).ConfigureAwait(false)).Find(order.Name!) is null ? null : "there is"),
                    ],
                    After = made,
                    Undo = new(_host.Tool.Action("vgremove", "--yes", order.Name!)) { Needed = made },
                });
            case StorageVerb.Resize:
                if (found is null)
                {
                    throw new StorageException($"There is no volume group {layer.Uuid ?? order.Name}.");
                }

                _host.DemandWritable(found, shared: false);
                if (members.Count == 0)
                {
                    throw new InvalidFieldException("pv_ids", "", "a volume group needs at least one physical volume.");
                }

                var added = members.Where(member => member.VolumeGroup is null).ToList();
                var removed = found.PhysicalVolumes.Where(volume => members.All(member => member.Uuid != volume.Uuid)).ToList();
                if (removed.FirstOrDefault(volume => volume.Free < volume.Size) is { } busy)
                {
                    throw new InUseException($"The physical volume {busy.Name} holds {new DataSize(busy.Size - busy.Free).MiB} MiB of logical volumes; move them first (pvmove {busy.Name}).");
                }

                List<StorageStep> steps = [];
                HashSet<string> now = [.. found.PhysicalVolumes.Select(volume => volume.Uuid)];
                foreach (var (member, verb, opposite) in added.Select(member => (member, "vgextend", "vgreduce")).Concat(removed.Select(member => (member, "vgreduce", "vgextend"))))
                {
                    now = [.. now];
                    if (!now.Add(member.Uuid))
                    {
                        now.Remove(member.Uuid);
                    }

                    steps.Add(new()
                    {
                        Description = verb == "vgextend" ? $"Take {member.Name} into {found.Name}" : $"Let {member.Name} go from {found.Name}",
                        Action = _host.Tool.Action(verb, found.Name, member.Name),
                        Risk = StorageRisk.Reversible,
                        Before = Same([member]),
                        After = HasJust(found.Name, now),
                        Undo = new(_host.Tool.Action(opposite, found.Name, member.Name)),
                    });
                }

                return Plan($"Resize volume group {found.Name}", [.. steps]);
            case StorageVerb.Delete when found is not null:
                _host.DemandWritable(found, shared: false);
                if (found.LogicalVolumes.FirstOrDefault(volume => !volume.IsInternal) is { } volume)
                {
                    throw new InUseException($"The volume group {found.Name} has {found.LogicalVolumes.Count(candidate => !candidate.IsInternal)} logical volumes, {volume.Name} among them; delete them first.");
                }

                return Plan($"Delete volume group {found.Name}", new StorageStep
                {
                    Description = $"Remove volume group {found.Name}",
                    Action = _host.Tool.Action("vgremove", found.Name),
                    Risk = StorageRisk.Reversible,
                    Before = Same(found.PhysicalVolumes),
                    After = new($"there is no volume group {found.Uuid}", async token => (await ReportAsync(token).ConfigureAwait(false)).Find(found.Uuid) is null ? null : "there is"),
                    Undo = new(_host.Tool.Action("vgcreate", ["--setautoactivation", "n", found.Name, .. found.PhysicalVolumes.Select(member => member.Name)])),
                });
            default:
                return Nothing($"{order.Verb} volume group {found?.Name ?? layer.Uuid}");
        }
    }

    private async Task<StoragePlan> PlanLogicalAsync(StorageOrder order, LvmReport report, CancellationToken cancellationToken)
    {
        var layer = order.Layer;
        if (report.Find(layer.VolumeGroupId ?? "") is not { } group)
        {
            return order.Verb is StorageVerb.Delete or StorageVerb.Detach
                ? Nothing($"{order.Verb} logical volume {layer.Uuid}")
                : throw new InvalidFieldException("vg_id", layer.VolumeGroupId, "there is no such volume group on this host.");
        }

        await _host.DemandOwnAsync(group, cancellationToken).ConfigureAwait(false);
        var found = FindLogical(group, layer, order.Name);
        if (found is not null && LogicalVolumeName.Parse(found.Name) is { } disk)
        {
            throw new InUseException($"The logical volume {group.Name}/{found.Name} belongs to disk {disk.Disk}; it is worked on through its storage link.");
        }

        switch (order.Verb)
        {
            case StorageVerb.Create:
                return PlanLvCreate(order, group, found);
            case StorageVerb.Attach:
                found = Demand(found);
                return Plan($"Attach logical volume {group.Name}/{found.Name}", [.. AttachSteps(order, group, found)]);
            case StorageVerb.Detach when found is { IsThinPool: false }:
                return Plan($"Detach logical volume {group.Name}/{found.Name}", [.. DetachSteps(order, group, found)]);
            case StorageVerb.Resize:
                return await PlanLvResizeAsync(order, group, Demand(found), cancellationToken).ConfigureAwait(false);
            case StorageVerb.Delete when found is not null:
                return PlanLvDelete(order, group, found);
            default:
                return Nothing($"{order.Verb} logical volume {group.Name}/{found?.Name ?? layer.Uuid}");
        }

        LvmLogicalVolume Demand(LvmLogicalVolume? volume) => volume ?? throw new StorageException($"There is no logical volume {layer.Uuid ?? order.Name} in volume group {group.Name}.");
    }

    private StoragePlan PlanLvCreate(StorageOrder order, LvmVolumeGroup group, LvmLogicalVolume? found)
    {
        var name = order.Name!;
        var title = $"Create logical volume {group.Name}/{name}";
        if (LogicalVolumeName.Parse(name) is not null)
        {
            throw new InvalidFieldException("name", name, "a disk's UUID names the logical volumes of disks.");
        }

        if (order.Layer.Size.Bytes <= 0)
        {
            throw new InvalidFieldException("size", order.Layer.Size.ToString(), "it must be above zero.");
        }

        var bytes = group.RoundUp(order.Layer.Size.Bytes);
        if (found is not null)
        {
            var kind = found.IsThinPool ? LogicalVolumeKind.ThinPool : found.IsThin ? LogicalVolumeKind.Thin : LogicalVolumeKind.Thick;
            return kind == order.Kind && found.Size == bytes
                ? Plan(title, [.. AttachSteps(order, group, found)])
                : throw new StorageException($"There is a logical volume {group.Name}/{name} already: {kind}, {new DataSize(found.Size)}.");
        }

        _host.DemandWritable(group, shared: false);
        if (order.Kind != LogicalVolumeKind.Thick && !_host.Tool.HasDeviceMapper)
        {
            throw new StorageException("Thin pools and thin volumes need device-mapper, which is not used on this host.");
        }

        if (order.Kind != LogicalVolumeKind.Thin && bytes > group.Free)
        {
            throw new InsufficientResourceException($"Volume group {group.Name} has {new DataSize(group.Free).MiB} MiB free, and {new DataSize(bytes).MiBCeiling} MiB are needed.");
        }

        if (order.Layer.MountPoint is not null && (order.FileSystem is null || order.Kind == LogicalVolumeKind.ThinPool))
        {
            throw new InvalidFieldException("filesystem", order.FileSystem, "a new volume with a mount point needs one, and a thin pool can have neither.");
        }

        var exists = Exists(group, name, bytes);
        List<StorageStep> steps =
        [
            // First: what cannot be mounted on is told before minutes of zeroing.
            .. order.Layer.MountPoint is { } place ? _fileSystems.MakePoint(place) : [],
            new()
            {
                Description = $"Make {(order.Kind == LogicalVolumeKind.ThinPool ? "thin pool" : "volume")} {group.Name}/{name} of {new DataSize(bytes)}",
                Action = order.Kind switch
                {
                    LogicalVolumeKind.ThinPool => _host.MakePool(group, name, bytes),
                    LogicalVolumeKind.Thin => _host.MakeThin(group, PoolFor(order, group), name, bytes, [LogicalVolumeName.Tag]),
                    // Marked as growing from nothing: a crash before the zeroing has ended must not be forgotten.
                    _ => _host.MakeThick(group, name, bytes, [LogicalVolumeName.Tag, LogicalVolumeName.Growing(0)]),
                },
                Risk = StorageRisk.Reversible,
                Before = [new($"there is no logical volume {group.Name}/{name}", async token => (await ReportAsync(token).ConfigureAwait(false)).Find(group.Uuid)?.Find(name) is null ? null : "there is")],
                After = exists,
                Undo = new(_host.Remove(group, name)) { Needed = exists },
            },
        ];
        if (order.Kind == LogicalVolumeKind.ThinPool)
        {
            // lvcreate does not take the option for a pool.
            steps.Add(new()
            {
                Description = $"Let writes fail when {group.Name}/{name} is full, instead of hanging",
                Action = _host.Tool.Action("lvchange", "--errorwhenfull", "y", $"{group.Name}/{name}"),
                Risk = StorageRisk.Reversible,
                After = new($"LVM reports 'error' for {group.Name}/{name} when full", async token =>
                    (await ReportAsync(token).ConfigureAwait(false)).Find(group.Uuid)?.Find(name)?.WhenFull is var found && found == "error" ? null : $"it reports '{found}'"),
            });
        }
        else
        {
            var path = $"/dev/{group.Name}/{name}";
            steps.Add(Activate(group, name));
            if (order.Kind == LogicalVolumeKind.Thick)
            {
                steps.AddRange(Finish(order, group, name, 0, bytes, "that no old data shows"));
            }
            else if (order.Layer.MountPoint is not null)
            {
                steps.Add(_fileSystems.Format(path, order.FileSystem!));
            }

            if (order.Layer.MountPoint is { } point)
            {
                steps.Add(_fileSystems.Mount(path, point, order.FileSystem));
            }
        }

        return Plan(title, [.. steps]);
    }

    private static LvmLogicalVolume PoolFor(StorageOrder order, LvmVolumeGroup group)
    {
        LvmLogicalVolume[] pools = [.. group.LogicalVolumes.Where(volume => volume.IsThinPool && (order.Pool is null || volume.Name == order.Pool))];
        return pools.Length == 1 ? LvmHost.DemandZeroing(group, pools[0])
            : throw new InvalidFieldException("pool", order.Pool, pools.Length == 0 ? $"volume group {group.Name} has no such thin pool." : $"volume group {group.Name} has several thin pools: {string.Join(", ", pools.Select(pool => pool.Name))}.");
    }

    private IEnumerable<StorageStep> AttachSteps(StorageOrder order, LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        if (volume.IsThinPool)
        {
            yield break;
        }

        foreach (var step in ActivateSteps(order, group, volume))
        {
            yield return step;
        }

        var path = $"/dev/{group.Name}/{volume.Name}";
        if (order.Layer.MountPoint is { } point && !_fileSystems.IsAt(point, path))
        {
            foreach (var step in _fileSystems.MakeAndMount(path, point, order.FileSystem))
            {
                yield return step;
            }
        }
    }

    /// <summary>Makes a volume a device of this host, and finishes what was interrupted before anybody can use it.</summary>
    private IEnumerable<StorageStep> ActivateSteps(StorageOrder order, LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        if (FindPath(group, volume) is null)
        {
            yield return Activate(group, volume.Name);
        }

        if (LogicalVolumeName.GrowingFrom(volume) is { } from)
        {
            _host.DemandWritable(group, shared: false);
            foreach (var step in Finish(order, group, volume.Name, from, volume.Size, "that what was interrupted shows no old data"))
            {
                yield return step;
            }
        }
    }

    private IEnumerable<StorageStep> DetachSteps(StorageOrder order, LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        if (FindPath(group, volume) is not { } path)
        {
            yield break;
        }

        if (order.Layer.MountPoint is { } point && _fileSystems.IsAt(point, path))
        {
            yield return _fileSystems.Unmount(path, point);
        }

        yield return new()
        {
            Description = $"Deactivate {group.Name}/{volume.Name}",
            Action = new NativeAction(_host.Activation.DescribeDeactivation(group.Name, volume.Name), token => WithVolumeAsync(group, volume.Name, _host.Activation.DeactivateAsync, token)),
            Risk = StorageRisk.Reversible,
            Before = [new($"nothing has {path} open", async token =>
            {
                try
                {
                    await WithVolumeAsync(group, volume.Name, (current, logical, stop) => _host.DemandUnusedAsync(current, logical, path, stop), token).ConfigureAwait(false);
                    return null;
                }
                catch (InUseException exception)
                {
                    return exception.Message;
                }
            })],
            After = new($"there is no device {path}", _ => Task.FromResult(FindPath(group, volume) is null ? null : "there is")) { Within = TimeSpan.FromSeconds(2) },
            Undo = new(new NativeAction(_host.Activation.DescribeActivation(group.Name, volume.Name), token => WithVolumeAsync(group, volume.Name, _host.Activation.ActivateAsync, token))),
        };
    }

    private async Task<StoragePlan> PlanLvResizeAsync(StorageOrder order, LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        var title = $"Resize logical volume {group.Name}/{volume.Name}";
        var bytes = group.RoundUp(order.Layer.Size.Bytes);
        var path = volume.IsThinPool ? null : FindPath(group, volume);
        var device = $"/dev/{group.Name}/{volume.Name}";
        var mount = order.Layer.MountPoint is { } point && path is not null && _fileSystems.Find(point) is { } found && found.Number == Posix.FindDeviceNumber(path) ? found : null;
        string[] warnings = order.Layer.MountPoint is not null && mount is null ? [$"The file system on {group.Name}/{volume.Name} grows only while it is mounted: attach it, then order its size again."] : [];
        if (bytes == volume.Size)
        {
            // What was interrupted, or grown while it was not mounted, may have this size without its file system.
            StorageStep[] left = LogicalVolumeName.GrowingFrom(volume) is not null ? [.. ActivateSteps(order, group, volume)]
                : mount is not null ? [.. await _growth.StepsAsync(device, mount, bytes, cancellationToken).ConfigureAwait(false)]
                : [];
            return Plan(title, left) with { Warnings = warnings };
        }

        _host.DemandWritable(group, shared: false);
        if (bytes < volume.Size)
        {
            throw new InvalidFieldException("size", order.Layer.Size.ToString(), $"{group.Name}/{volume.Name} has {new DataSize(volume.Size)}, and volumes are never made smaller.");
        }

        if (!volume.IsThin && bytes - volume.Size > group.Free)
        {
            throw new InsufficientResourceException($"Volume group {group.Name} has {new DataSize(group.Free).MiB} MiB free, and {new DataSize(bytes - volume.Size).MiBCeiling} MiB are needed.");
        }

        if (mount is not null && !_host.Tool.HasDeviceMapper)
        {
            throw new StorageException($"Without device-mapper {group.Name}/{volume.Name} cannot be grown while it is mounted; detach it first.");
        }

        List<StorageStep> steps = [];
        if (path is not null && !_host.Tool.HasDeviceMapper)
        {
            steps.AddRange(DetachSteps(order, group, volume));
        }

        // A crash between extending and zeroing must not be forgotten: the mark tells where the old end was.
        var zeroes = volume is { IsThinPool: false, IsThin: false } && mount is null;
        var from = LogicalVolumeName.GrowingFrom(volume) ?? volume.Size;
        if (zeroes && LogicalVolumeName.GrowingFrom(volume) is null)
        {
            steps.Add(new()
            {
                Description = $"Mark {group.Name}/{volume.Name} as growing",
                Action = _host.Tool.Action("lvchange", "--addtag", LogicalVolumeName.Growing(from), $"{group.Name}/{volume.Name}"),
                Risk = StorageRisk.Reversible,
                Before = [IsStill(group, volume)],
                After = IsMarked(group, volume.Name, from, marked: true),
                Undo = new(_host.Tool.Action("lvchange", "--deltag", LogicalVolumeName.Growing(from), $"{group.Name}/{volume.Name}")) { Needed = IsMarked(group, volume.Name, from, marked: true) },
            });
        }

        steps.Add(new()
        {
            Description = $"Extend {group.Name}/{volume.Name} from {new DataSize(volume.Size)} to {new DataSize(bytes)}",
            Action = _host.Extend(group, volume.Name, bytes),
            Risk = StorageRisk.Reversible,
            Before = [IsStill(group, volume)],
            After = Exists(group, volume.Name, bytes),

            // A volume that somebody may use already is not made smaller again.
            NoReturn = true,
        });
        if (!volume.IsThinPool)
        {
            if (path is null || !_host.Tool.HasDeviceMapper)
            {
                steps.Add(Activate(group, volume.Name));
            }

            if (mount is not null)
            {
                steps.AddRange(await _growth.StepsAsync(device, mount, bytes, cancellationToken).ConfigureAwait(false));
            }
            else if (zeroes)
            {
                steps.AddRange(Finish(order, group, volume.Name, from, bytes, "that no old data shows"));
            }
        }

        return Plan(title, [.. steps]) with { Warnings = warnings };
    }

    private StoragePlan PlanLvDelete(StorageOrder order, LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        var title = $"Delete logical volume {group.Name}/{volume.Name}";
        _host.DemandWritable(group, shared: false);
        if (volume.IsThinPool && group.LogicalVolumes.FirstOrDefault(candidate => candidate.Pool == volume.Name) is { } thin)
        {
            throw new InUseException($"The thin pool {group.Name}/{volume.Name} has volumes, {thin.Name} among them; delete them first.");
        }

        List<StorageStep> steps = volume.IsThinPool ? [] : [.. DetachSteps(order, group, volume)];
        if (!volume.IsThin && !volume.IsThinPool)
        {
            steps.Add(Activate(group, volume.Name) with { Before = [IsStill(group, volume)] });
            steps.Add(Zero($"/dev/{group.Name}/{volume.Name}", 0, volume.Size, "that nobody who gets the space sees the data") with { Risk = StorageRisk.Destructive, NoReturn = true, Undo = null });
            steps.Add(new()
            {
                Description = $"Deactivate {group.Name}/{volume.Name}",
                Action = new NativeAction(_host.Activation.DescribeDeactivation(group.Name, volume.Name), token => WithVolumeAsync(group, volume.Name, _host.Activation.DeactivateAsync, token)),
                Risk = StorageRisk.Reversible,
                After = new($"there is no device /dev/{group.Name}/{volume.Name}", _ => Task.FromResult(FindPath(group, volume) is null ? null : "there is")) { Within = TimeSpan.FromSeconds(2) },
            });
        }

        steps.Add(new()
        {
            Description = $"Remove {group.Name}/{volume.Name}",
            Action = _host.Remove(group, volume.Name),
            Risk = StorageRisk.Destructive,
            NoReturn = true,
            Before = [IsStill(group, volume)],
            After = new($"there is no logical volume {volume.Uuid}", async token =>
                (await ReportAsync(token).ConfigureAwait(false)).Find(group.Uuid)?.LogicalVolumes.Any(candidate => candidate.Uuid == volume.Uuid) == true ? "there is" : null),
        });
        return Plan(title, [.. steps]);
    }

    /// <summary>Zeroes the new part of a thick volume and takes the mark off. A new volume gets its file system before that: one
    /// without a mark is whole and never formatted, one with it was never mounted and is begun anew.</summary>
    private IEnumerable<StorageStep> Finish(StorageOrder order, LvmVolumeGroup group, string name, long from, long bytes, string why)
    {
        var path = $"/dev/{group.Name}/{name}";
        yield return Zero(path, from, bytes - from, why);
        if (from == 0 && order.Layer.MountPoint is not null)
        {
            yield return _fileSystems.Format(path, order.FileSystem ?? throw new InvalidFieldException("filesystem", null, $"the making of {group.Name}/{name} was interrupted, and it needs one."));
        }

        yield return MarkGrown(group, name, from);
    }

    private StorageStep MarkGrown(LvmVolumeGroup group, string name, long from) => new()
    {
        Description = $"Mark {group.Name}/{name} as grown",
        Action = _host.Tool.Action("lvchange", "--deltag", LogicalVolumeName.Growing(from), $"{group.Name}/{name}"),
        Risk = StorageRisk.Reversible,
        After = IsMarked(group, name, from, marked: false),
    };

    private StorageCondition IsMarked(LvmVolumeGroup group, string name, long from, bool marked) => new(
        $"{group.Name}/{name} is {(marked ? "" : "not ")}marked as growing",
        async token => (await ReportAsync(token).ConfigureAwait(false)).Find(group.Uuid)?.Find(name) is not { } now ? "it is gone"
            : now.Tags.Contains(LogicalVolumeName.Growing(from)) == marked ? null : $"its tags are {string.Join(", ", now.Tags)}");

    private StorageStep Activate(LvmVolumeGroup group, string name) => new()
    {
        Description = $"Activate {group.Name}/{name}",
        Action = new NativeAction(_host.Activation.DescribeActivation(group.Name, name), token => WithVolumeAsync(group, name, _host.Activation.ActivateAsync, token)),
        Risk = StorageRisk.Reversible,
        After = IsActive(group, name),
        Undo = new(new NativeAction(_host.Activation.DescribeDeactivation(group.Name, name), token => WithVolumeAsync(group, name, _host.Activation.DeactivateAsync, token))) { Needed = IsActive(group, name) },
    };

    private StorageCondition IsActive(LvmVolumeGroup group, string name) => new($"/dev/{group.Name}/{name} is a device, and that very volume", async token =>
        (await ReportAsync(token).ConfigureAwait(false)).Find(group.Uuid) is { } now && now.Find(name) is { } volume && _host.Activation.FindPath(now, volume) is not null ? null : "it is not");

    private StorageStep Zero(string path, long offset, long length, string why) => new()
    {
        Description = $"Zero {path} from byte {offset.ToString(CultureInfo.InvariantCulture)} on, so {why}",
        Action = VolumeWipe.Action(path, offset, length, s_slowestZeroing + TimeSpan.FromSeconds((double)length / ZeroedBytesPerSecond)),
        Risk = StorageRisk.Reversible,
        After = new($"{path} reads as zeros there", async token =>
            await _host.Wipe.FindDataAsync(path, offset, Math.Min(SampleBytes, length), token).ConfigureAwait(false)
            || await _host.Wipe.FindDataAsync(path, offset + Math.Max(0, length - SampleBytes), Math.Min(SampleBytes, length), token).ConfigureAwait(false)
                ? "it does not" : null),
    };

    private StorageCondition Exists(LvmVolumeGroup group, string name, long bytes) => new(
        $"LVM reports {group.Name}/{name} with {new DataSize(bytes)}",
        async token => (await ReportAsync(token).ConfigureAwait(false)).Find(group.Uuid)?.Find(name) is not { } volume ? "it reports none"
            : volume.Size == bytes ? null : $"it has {new DataSize(volume.Size)}");

    private StorageCondition IsStill(LvmVolumeGroup group, LvmLogicalVolume volume) => new(
        $"{group.Name}/{volume.Name} is still {volume.Uuid}",
        async token => (await ReportAsync(token).ConfigureAwait(false)).Find(group.Uuid)?.Find(volume.Name) is not { } now ? "it is gone" : now.Uuid == volume.Uuid ? null : $"it is {now.Uuid} now");

    private async Task WithVolumeAsync(LvmVolumeGroup group, string name, Func<LvmVolumeGroup, LvmLogicalVolume, CancellationToken, Task> work, CancellationToken cancellationToken)
    {
        var now = (await ReportAsync(cancellationToken).ConfigureAwait(false)).Find(group.Uuid) ?? throw new StorageException($"The volume group {group.Name} is gone.");
        await work(now, now.Find(name) ?? throw new StorageException($"The logical volume {group.Name}/{name} is gone."), cancellationToken).ConfigureAwait(false);
    }

    private static StoragePlan Nothing(string title) => new() { Title = title, Steps = [] };

    private static StoragePlan Plan(string title, params StorageStep[] steps) => new() { Title = title, Steps = steps };
}
