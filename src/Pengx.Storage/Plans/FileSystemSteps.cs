namespace Pengx.Storage;

/// <summary>The steps that layers with a mount point have in common. What is mounted is read from mountinfo, which answers even
/// when the file system does not.</summary>
internal sealed class FileSystemSteps(FormatGuard formats, DeviceGuard devices, string mountInfo = "/proc/self/mountinfo")
{
    private static readonly TimeSpan s_formatTimeout = TimeSpan.FromMinutes(10);

    /// <summary>What is mounted at a directory; the last one, where several lie over each other.</summary>
    public Mount? Find(string point) => MountTable.Read(File.ReadLines(mountInfo)).LastOrDefault(mount => mount.Point == point);

    /// <summary>Whether a device is what is mounted at a directory.</summary>
    public bool IsAt(string point, string device) => Find(point) is { } mount && mount.Number == Posix.FindDeviceNumber(device);

    /// <summary>Makes a file system, with a UUID that was chosen for it where there is one, on a device that is proven blank, or whose
    /// signature was consented to and wiped before.</summary>
    public StorageStep Format(string device, string type, string? uuid = null, params IReadOnlyList<StorageCondition> before) => new()
    {
        Description = $"Make an {type} file system on {device}",
        Action = new ToolAction(new ProcessCommand { FileName = $"mkfs.{DemandType(type)}", Arguments = ["-q", .. Identity(type, uuid), device], Timeout = s_formatTimeout }),
        Risk = StorageRisk.Destructive,
        Before = [.. before, new($"{device} is blank", async token =>
            await formats.ProbeAsync(devices.Inspect(device), token).ConfigureAwait(false) is { Content: not DeviceContent.Blank } probe ? probe.Text : null)],
        After = formats.Holds(device, type, uuid),
        Undo = new(ToolAction.Of("wipefs", "--all", device)) { Needed = formats.Holds(device, type, uuid) },
    };

    /// <summary>Wipes the signature that was consented to, and makes a file system with the UUID that was chosen for it. One that has
    /// this UUID already was made by an earlier run of the same order, and is kept.</summary>
    public async Task<IReadOnlyList<StorageStep>> WipeAndFormatAsync(BlockDevice device, string type, string? uuid, FormatConsent? consent, CancellationToken cancellationToken)
    {
        if (uuid is not null && await formats.FindUuidAsync(device, type, cancellationToken).ConfigureAwait(false) == uuid)
        {
            return [];
        }

        var probe = await formats.DemandFormattableAsync(device, consent, cancellationToken).ConfigureAwait(false);
        var (still, unused) = (devices.IsStill(device), devices.IsUnused(device));
        StorageStep[] wipe = probe.Content != DeviceContent.Known ? [] :
        [
            new()
            {
                Description = $"Wipe '{probe.Text}' off {device.Path}",
                Action = ToolAction.Of("wipefs", "--all", device.Path),
                Risk = StorageRisk.Destructive,
                Before = [still, unused, formats.IsFormattable(device, consent)],
                After = formats.HoldsNothing(device),
            },
        ];

        // A signature's data stays behind when the signature is wiped: the device is not proven blank then, but it was agreed to.
        var format = Format(device.Path, type, uuid, still, unused);
        return [.. wipe, probe.Content == DeviceContent.Known ? format with { Before = [still, unused, formats.HoldsNothing(device)] } : format];
    }

    /// <summary>Demands that a device holds the file system that a layer is known by: its name may be another disk's since then. A row
    /// without a UUID is from before that was noted, and is believed.</summary>
    /// <exception cref="StorageException">It holds something else.</exception>
    public async Task DemandKnownAsync(string device, StorageLayer layer, string type, CancellationToken cancellationToken)
    {
        if (layer.Uuid is { } uuid && await formats.Holds(device, type, uuid).VerifyAsync(cancellationToken).ConfigureAwait(false) is { } found)
        {
            throw new StorageException($"{device} is not the device of this layer: it must hold {type} {uuid}, but {found}; nothing was changed.");
        }
    }

    /// <summary>Takes the UUID of a mounted file system into a layer that has none yet. What is not mounted proves nothing.</summary>
    public async Task<StorageLayerState> IdentifiedAsync(StorageLayerState state, string device, string? type, CancellationToken cancellationToken)
    {
        if (type is null || state is not { Attached: true, Layer.Uuid: null })
        {
            return state;
        }

        try
        {
            return state with { Layer = state.Layer with { Uuid = await formats.FindUuidAsync(devices.Inspect(device), type, cancellationToken).ConfigureAwait(false) } };
        }
        catch (PengxException error)
        {
            return state with { Warnings = [.. state.Warnings, $"What is on {device} could not be read: {error.Message}"] };
        }
    }

    /// <summary>Makes the directory where it is missing, and mounts a device there that holds the file system. The steps that format it come
    /// between: nothing is destroyed for a directory that cannot be mounted on.</summary>
    public IEnumerable<StorageStep> MakeAndMount(string device, string point, string? type, string? uuid = null, params IReadOnlyList<StorageStep> format)
    {
        foreach (var step in MakePoint(point))
        {
            yield return step;
        }

        foreach (var step in format)
        {
            yield return step with { Before = [IsEmpty(point), .. step.Before] };
        }

        yield return type is null ? Mount(device, point, null) : Mount(device, point, type) with { Before = [IsEmpty(point), formats.Holds(device, type, uuid)] };
    }

    /// <summary>Makes a directory to mount on, or closes one that is there: mode 0 tells that nothing is mounted, and
    /// <see cref="LocalStorage"/> writes nothing there. What is mounted there already is not looked into, as it may not answer.</summary>
    /// <exception cref="WrongStateException">Something is mounted there.</exception>
    public IEnumerable<StorageStep> MakePoint(string point)
    {
        if (Find(DemandPoint(point)) is { } mount)
        {
            throw Occupied(mount);
        }

        if (!Directory.Exists(point))
        {
            yield return MakeDirectory(point) with
            {
                Action = new NativeAction($"mkdir -p {point}, mode 0", _ =>
                {
                    Directory.CreateDirectory(Path.GetDirectoryName(point)!);
                    Directory.CreateDirectory(point, UnixFileMode.None);
                    return Task.CompletedTask;
                }),
            };
        }
        else if (File.GetUnixFileMode(point) is var mode and not UnixFileMode.None)
        {
            yield return new()
            {
                Description = $"Close {point} while nothing is mounted there",
                Action = SetMode(UnixFileMode.None),
                Risk = StorageRisk.Reversible,
                Before = [IsEmpty(point)],
                After = new($"{point} has mode 0", _ => Task.FromResult(File.GetUnixFileMode(point) == UnixFileMode.None ? null : "it has not")),
                Undo = new(SetMode(mode)),
            };
        }

        NativeAction SetMode(UnixFileMode to) => new($"chmod {Convert.ToString((int)to, 8)} {point}", _ =>
        {
            File.SetUnixFileMode(point, to);
            return Task.CompletedTask;
        });
    }

    public static StorageStep MakeDirectory(string point) => new()
    {
        Description = $"Make the directory {point}",
        Action = new NativeAction($"mkdir -p {point}", _ =>
        {
            Directory.CreateDirectory(point);
            return Task.CompletedTask;
        }),
        Risk = StorageRisk.Reversible,
        After = new($"{point} is a directory", _ => Task.FromResult(Directory.Exists(point) ? null : "it is not")),
        Undo = new(new NativeAction($"rmdir {point}", _ =>
        {
            Directory.Delete(point);
            return Task.CompletedTask;
        })),
    };

    public static StorageStep RemoveDirectory(string point) => new()
    {
        Description = $"Remove the empty directory {point}",
        Action = new NativeAction($"rmdir {point}", _ =>
        {
            Directory.Delete(point);
            return Task.CompletedTask;
        }),
        Risk = StorageRisk.Reversible,
        After = new($"there is no {point}", _ => Task.FromResult(Directory.Exists(point) ? "there is" : null)),
        Undo = new(new NativeAction($"mkdir {point}", _ =>
        {
            Directory.CreateDirectory(point);
            return Task.CompletedTask;
        })),
    };

    /// <summary>Mounts a device at a directory that must be there and empty, so that nothing is hidden beneath.</summary>
    public StorageStep Mount(string device, string point, string? type, string options = "nosuid,nodev,noexec") => new()
    {
        Description = $"Mount {device} at {point}",
        Action = ToolAction.Of("mount", [.. type is null ? [] : new[] { "-t", DemandType(type) }, "-o", options, "--", device, DemandPoint(point)]),
        Risk = StorageRisk.Reversible,
        Before = [IsEmpty(point)],
        After = IsMounted(device, point),
        Undo = new(ToolAction.Of("umount", "--", point)) { Needed = IsMounted(device, point) },
    };

    /// <summary>Unmounts a directory; that something has open files there is an error, never forced.</summary>
    public StorageStep Unmount(string device, string point) => new()
    {
        Description = $"Unmount {point}",
        Action = ToolAction.Of("umount", "--", DemandPoint(point)),
        Risk = StorageRisk.Reversible,
        After = new($"nothing is mounted at {point}", _ => Task.FromResult(Find(point) is { } mount ? $"{mount.Source} is" : null)) { Within = TimeSpan.FromSeconds(2) },
        Undo = new(ToolAction.Of("mount", "-o", "nosuid,nodev,noexec", "--", device, point)),
    };

    /// <summary>Unmounts what a layer has mounted at a directory. The mount outlives its device and the device's name: it is left without
    /// either, too.</summary>
    /// <param name="point">The directory.</param>
    /// <param name="device">The layer's device; <see langword="null"/> when there is none now.</param>
    /// <param name="name">What the layer's device was called when it was attached.</param>
    /// <exception cref="WrongStateException">Something else is mounted there.</exception>
    public IReadOnlyList<StorageStep> Leave(string point, string? device, string? name)
    {
        if (Find(point) is not { } mount)
        {
            return [];
        }

        // A major number of 0 belongs to what has no device, such as tmpfs and NFS.
        if (!mount.Number.StartsWith("0:", StringComparison.Ordinal) && !devices.Knows(mount.Number))
        {
            return [Unmount(mount.Source, point) with { Undo = null }];
        }

        return mount.Source == device || mount.Source == name || (device is not null && mount.Number == Posix.FindDeviceNumber(device))
            ? [Unmount(device ?? mount.Source, point)]
            : throw Occupied(mount);
    }

    /// <summary>A plan's condition that a device is what is mounted at a directory.</summary>
    public StorageCondition IsMounted(string device, string point) => new($"{device} is mounted at {point}", _ => Task.FromResult(
        Find(point) is not { } mount ? "nothing is mounted there"
        : mount.Number == Posix.FindDeviceNumber(device) || mount.Source == device ? null
        : $"{mount.Source} is mounted there"));

    /// <summary>A plan's condition that a directory can be mounted on.</summary>
    public StorageCondition IsEmpty(string point) => new($"{point} is an empty directory with nothing mounted", _ => Task.FromResult(
        Find(point) is { } mount ? $"{mount.Source} is mounted there"
        : !Directory.Exists(point) ? "there is no such directory"
        : Directory.EnumerateFileSystemEntries(point).Any() ? "there is something in it" : null));

    private static WrongStateException Occupied(Mount mount) => new($"{mount.Source} ({mount.Type}) is mounted at {mount.Point}.");

    private static string DemandPoint(string point) => point.StartsWith('/') && point.Length > 1 && !point.Contains('\0', StringComparison.Ordinal) && !point.Split('/').Any(part => part is "." or "..")
        ? point
        : throw new InvalidFieldException("mount_point", point, "it must be an absolute path without '.' and '..', and not '/'.");

    private static string[] Identity(string type, string? uuid) => uuid is null ? [] : type == "xfs" ? ["-m", $"uuid={uuid}"] : ["-U", uuid];

    private static string DemandType(string type) => type is "ext4" or "xfs" ? type : throw new InvalidFieldException("filesystem", type, "it must be ext4 or xfs.");
}
