namespace Pengx;

/// <summary>What a machine runs on now: its origin, or the run snapshot that took its place
/// (reference: the result of <c>get_cur_vm</c>).</summary>
/// <param name="Vm">The machine.</param>
/// <param name="RunSnapshot">The run snapshot, or <see langword="null"/> while the machine runs on its origin.</param>
public readonly record struct CurrentMachine(VmId Vm, SnapshotId? RunSnapshot);

/// <summary>A disk as xl's configuration names it, its target last (reference: an element of <c>disks4xencfg</c>).</summary>
/// <param name="Format">The image format: <c>raw</c>, <c>qcow2</c>.</param>
/// <param name="Vdev">The guest's device: <c>xvda</c>, <c>hdc</c>.</param>
/// <param name="Access"><c>w</c> or <c>r</c>.</param>
/// <param name="Target">The path on the host.</param>
/// <param name="Order">The disk's order; 0 boots.</param>
/// <param name="IsCdrom">Whether it is a CD-ROM.</param>
public sealed record XenDisk(string Format, string Vdev, string Access, string Target, int Order, bool IsCdrom = false);

/// <summary>A machine with everything its disks depend on, so that the reference's questions about them have one answer.</summary>
public sealed record MachineDisks
{
    /// <summary>The machine.</summary>
    public required VmId Vm { get; init; }

    /// <summary>All disks of the machine and of its snapshots.</summary>
    public required IReadOnlyList<Disk> Disks { get; init; }

    /// <summary>All snapshots of the machine, the hidden run snapshot included.</summary>
    public required IReadOnlyList<Snapshot> Snapshots { get; init; }

    /// <summary>The storage links that the disks lie on.</summary>
    public required IReadOnlyDictionary<StorlinkId, Storlink> Storlinks { get; init; }

    /// <summary>The machine that runs now: the origin while there is no run snapshot, else that (reference: <c>get_cur_vm</c>).</summary>
    public CurrentMachine Current => new(Vm, Snapshots.FirstOrDefault(snapshot => snapshot.Kind == SnapshotKind.Run)?.Id);

    /// <summary>The disks of a machine object, in boot order (reference: <c>disks4vm</c>).</summary>
    /// <param name="current">The origin or a snapshot.</param>
    /// <param name="showAll">Whether the frozen disks of saved snapshots are added.</param>
    public IReadOnlyList<Disk> DisksOf(CurrentMachine current, bool showAll = false)
    {
        var owner = current.RunSnapshot is { } run ? DiskOwner.Of(run) : DiskOwner.Of(Vm);
        var saved = showAll
            ? Snapshots.Where(snapshot => snapshot.Kind == SnapshotKind.Saved).Select(snapshot => DiskOwner.Of(snapshot.Id)).ToHashSet()
            : [];
        return [.. Disks.Where(disk => disk.Owner == owner || saved.Contains(disk.Owner)).OrderBy(disk => disk.Owner != owner).ThenBy(disk => disk.Order)];
    }

    /// <summary>The disks as xl's configuration names them, in boot order (reference: <c>disks4xencfg</c>).</summary>
    /// <param name="snapshot">The snapshot to take the disks of; the current machine's when not given.</param>
    /// <exception cref="KeyNotFoundException">A disk's storage link is not among <see cref="Storlinks"/>.</exception>
    public IReadOnlyList<XenDisk> XenDisks(SnapshotId? snapshot = null) =>
        [.. DisksOf(snapshot is { } id ? new(Vm, id) : Current).Select((disk, index) => disk.ToXenDisk(Storlinks[disk.Storlink], index))];
}
