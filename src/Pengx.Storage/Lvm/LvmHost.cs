using System.Globalization;

namespace Pengx.Storage;

/// <summary>What the backend and the layers of LVM share: the tool, activation, the rules on whose a volume group is, and what
/// counts as in use.</summary>
internal sealed class LvmHost
{
    // udev looks into every device that was just made or changed.
    private const int OpenAttempts = 30;
    private static readonly string[] s_inOnePiece = ["--alloc", "contiguous"];
    private static readonly TimeSpan s_openPause = TimeSpan.FromMilliseconds(100);

    public LvmHost(IProcessRunner runner, LvmOptions options)
    {
        Tool = new(runner, options);
        Wipe = new(runner, options);
        Leases = new(options.LeaseDirectory);
        Activation = options.Activation == LvmActivation.Loop ? new LoopActivation(runner, options) : new DeviceMapperActivation(Tool, Devices);
    }

    public LvmTool Tool { get; }

    public DeviceGuard Devices { get; } = new();

    public IVolumeActivation Activation { get; }

    public VolumeWipe Wipe { get; }

    public DiskLeases Leases { get; }

    public Task<IDisposable> LockAsync(string group, CancellationToken cancellationToken) => Leases.AcquireAsync($"vg-{group}", Tool.Options.LockTimeout, cancellationToken);

    /// <summary>A volume group that this host may use.</summary>
    /// <exception cref="StorageException">There is none, or it is another host's.</exception>
    public async Task<LvmVolumeGroup> GroupAsync(string name, CancellationToken cancellationToken) =>
        await DemandOwnAsync((await Tool.ReportAsync(name, cancellationToken).ConfigureAwait(false)).Find(name)
            ?? throw new StorageException($"There is no volume group {name} on this host."), cancellationToken).ConfigureAwait(false);

    public async Task<LvmVolumeGroup> DemandOwnAsync(LvmVolumeGroup group, CancellationToken cancellationToken)
    {
        if (group.Exported)
        {
            throw new StorageException($"The volume group {group.Name} is exported; import it with 'vgimport {group.Name}' where it shall be used.");
        }

        if (group.SystemId.Length > 0 && await Tool.SystemIdAsync(cancellationToken).ConfigureAwait(false) is var own && own != group.SystemId)
        {
            throw new StorageException($"The volume group {group.Name} belongs to the host with the LVM system ID '{group.SystemId}', and this one has {(own.Length == 0 ? "none" : $"'{own}'")}; it is not touched here.");
        }

        return group;
    }

    /// <summary>Demands that this host may change a volume group's metadata: several hosts that do destroy it.</summary>
    /// <param name="group">The volume group, as it was just reported.</param>
    /// <param name="shared">Whether it is known to be shared; one that names its writer is, whoever asks.</param>
    public void DemandWritable(LvmVolumeGroup group, bool shared)
    {
        if (group.Partial)
        {
            var missing = string.Join(", ", group.PhysicalVolumes.Where(volume => volume.Missing).Select(volume => volume.Uuid));
            throw new UnavailableException($"The volume group {group.Name} lacks the physical volumes {missing}; it is not changed until they are back.");
        }

        const string Prefix = $"{LogicalVolumeName.Tag}.writer.";
        var own = Prefix + Tool.Options.HostName;
        string[] others = group.LockType.Length > 0 ? [] : [.. group.Tags.Where(tag => tag != own && tag.StartsWith(Prefix, StringComparison.Ordinal))];
        if (others.Length > 0)
        {
            throw new StorageException($"The volume group {group.Name} is changed by host {string.Join(", ", others.Select(tag => tag[Prefix.Length..]))} alone, and not by this one ({Tool.Options.HostName}). Should this one be its one writer, on it and when the other has stopped: vgchange {string.Join(" ", others.Select(tag => $"--deltag {tag}"))} --addtag {own} {group.Name}");
        }

        if (shared && group.LockType.Length == 0 && !group.Tags.Contains(own))
        {
            throw new StorageException($"The volume group {group.Name} is shared and has no cluster locks, and this host is not its one writer. On the host that shall be, and on no other: vgchange --addtag {own} {group.Name}");
        }
    }

    /// <summary>Demands that a thin pool zeroes what it hands out: one that does not shows the data of volumes that are gone.</summary>
    /// <returns>The pool.</returns>
    public static LvmLogicalVolume DemandZeroing(LvmVolumeGroup group, LvmLogicalVolume pool) => pool.Zeroes ? pool
        : throw new StorageException($"The thin pool {group.Name}/{pool.Name} does not zero what it hands out, so that a new volume shows what a deleted one held. Set it with 'lvchange --zero y {group.Name}/{pool.Name}'.");

    /// <summary>Demands that nothing on this host has a volume open.</summary>
    /// <exception cref="InUseException">Something has; the message says what.</exception>
    public async Task DemandUnusedAsync(LvmVolumeGroup group, LvmLogicalVolume volume, string what, CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            if (Activation.FindPath(group, volume) is not { } path)
            {
                return;
            }

            if (Devices.Inspect(path).Users is { Count: > 0 } users)
            {
                throw new InUseException($"{what} is in use: {path} is used by {string.Join(", ", users)}.");
            }

            using (var handle = Posix.OpenRead(path))
            {
                if (Posix.IsOpenElsewhere(handle, path))
                {
                    throw new InUseException($"{what} is in use: {(Posix.IsOpenForWritingElsewhere(handle, path) ? "something writes to" : "something has open")} {path}.");
                }
            }

            if (!volume.Open)
            {
                return;
            }

            if (attempt == OpenAttempts)
            {
                throw new InUseException($"{what} is in use: the kernel says that {path} is open.");
            }

            await Task.Delay(s_openPause, TimeProvider.System, cancellationToken).ConfigureAwait(false);
            if ((await Tool.ReportAsync(group.Name, cancellationToken).ConfigureAwait(false)).Find(group.Name)?.LogicalVolumes.FirstOrDefault(candidate => candidate.Uuid == volume.Uuid) is not { } again)
            {
                return;
            }

            volume = again;
        }
    }

    /// <summary>The arguments that make a volume, up to its place.</summary>
    public ToolAction MakeThick(LvmVolumeGroup group, string name, long bytes, IEnumerable<string> tags)
    {
        // What is zeroed as a whole later need not be before; without device-mapper LVM could not.
        string[] zero = Tool.HasDeviceMapper ? ["-Wy", "-Zn", "-an"] : ["-Wn", "-Zn", "-an"];
        return Tool.Action("lvcreate", ["--yes", .. zero, "--setautoactivation", "n", "-n", name, "-L", Bytes(bytes), .. TagArguments(tags), group.Name, .. Activation.Placement(group, bytes)]);
    }

    // Thin volumes take no --setautoactivation: that they are skipped unless asked for keeps them off at boot.
    public ToolAction MakeThin(LvmVolumeGroup group, LvmLogicalVolume pool, string name, long bytes, IEnumerable<string> tags) =>
        Tool.Action("lvcreate", ["--yes", "-an", "-ky", "--type", "thin", "-n", name, "-V", Bytes(bytes), "--thinpool", pool.Name, .. TagArguments(tags), group.Name]);

    public ToolAction Snapshot(LvmVolumeGroup group, string origin, string name, IEnumerable<string> tags) =>
        Tool.Action("lvcreate", ["--yes", "-s", "-an", "-ky", "-n", name, .. TagArguments(tags), $"{group.Name}/{origin}"]);

    public ToolAction MakePool(LvmVolumeGroup group, string name, long bytes) =>
        Tool.Action("lvcreate", ["--yes", "-Zy", "--type", "thin-pool", "-n", name, "-L", Bytes(bytes), .. TagArguments([LogicalVolumeName.Tag]), group.Name]);

    public ToolAction Extend(LvmVolumeGroup group, string name, long bytes) => Tool.Action(
        "lvextend", ["--yes", .. Tool.HasDeviceMapper ? [] : s_inOnePiece, "-L", Bytes(bytes), $"{group.Name}/{name}"]);

    public ToolAction Remove(LvmVolumeGroup group, string name) => Tool.Action("lvremove", ["--force", $"{group.Name}/{name}"]);

    public ToolAction Rename(LvmVolumeGroup group, string from, string to) => Tool.Action("lvrename", [group.Name, from, to]);

    private static IEnumerable<string> TagArguments(IEnumerable<string> tags) => tags.SelectMany(tag => new[] { "--addtag", tag });

    private static string Bytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes}b");
}
