namespace Pengx.Orchestration;

/// <summary>A machine with its snapshots and all disks of both, and what else lies on those.</summary>
internal sealed record SnapshotRows
{
    public required VirtualMachine Machine { get; init; }

    /// <summary>Run and deleted ones included, by creation.</summary>
    public required IReadOnlyList<Snapshot> Snapshots { get; init; }

    /// <summary>Those of the machine and of all its snapshots, and the memory that was kept with them.</summary>
    public required IReadOnlyList<Disk> Disks { get; init; }

    /// <summary>Disks of other owners that lie on some of them.</summary>
    public required IReadOnlyList<Disk> Foreign { get; init; }

    public Snapshot? Run => Snapshots.FirstOrDefault(snapshot => snapshot.Kind == SnapshotKind.Run);

    /// <summary>What the machine runs on, in boot order.</summary>
    public IReadOnlyList<Disk> Current => DisksOf(MachineRows.OwnerOf(Machine.Id, Snapshots));

    public IReadOnlyList<Disk> DisksOf(DiskOwner owner) => [.. Disks.Where(disk => disk.Owner == owner).OrderBy(disk => disk.Order)];

    public IReadOnlyList<Disk> DisksOf(SnapshotId snapshot) => DisksOf(DiskOwner.Of(snapshot));

    /// <summary>The memory that was kept with a snapshot; none: <see langword="null"/>.</summary>
    public Disk? MemoryOf(SnapshotId snapshot) => DisksOf(DiskOwner.MemoryOf(snapshot)) is [var memory] ? memory : null;

    public IReadOnlyList<Snapshot> ChildrenOf(SnapshotId snapshot) => [.. Snapshots.Where(other => other.Parent == snapshot)];

    public Snapshot Listed(SnapshotId id) => Snapshots.FirstOrDefault(snapshot => snapshot.Id == id && snapshot.IsListed)
        ?? throw new NotFoundException("snapshot", id.ToString());

    /// <summary>A snapshot that shows what the disks held at one instant.</summary>
    public Snapshot Saved(SnapshotId id) => Listed(id) is { Kind: SnapshotKind.Saved } saved
        ? saved
        : throw new WrongStateException($"Snapshot {id} of VM '{Machine.Name}' is what is left of a merge that could not be finished, and shows a mixture of old and new; it can be deleted, which finishes the merge, and not be used.");

    /// <summary>A snapshot as users see it: its parent is the nearest one that is not hidden, and whether it has memory is told.</summary>
    public Snapshot Shown(Snapshot snapshot)
    {
        var parent = snapshot.Parent;
        while (Snapshots.FirstOrDefault(other => other.Id == parent) is { IsListed: false } hidden)
        {
            parent = hidden.Parent;
        }

        return snapshot with { Parent = parent, HasMemory = MemoryOf(snapshot.Id) is not null };
    }

    public static Task<DomainDisk> ChainAsync(Workplace place, Disk disk, CancellationToken cancellationToken) =>
        place.Store.ReadAsync(session => place.Definitions.BuildDiskAsync(session, disk, cancellationToken), cancellationToken);

    public static async Task<SnapshotRows> ReadAsync(Workplace place, VmId id, CancellationToken cancellationToken) =>
        await place.Store.ReadAsync(session => FindAsync(session, id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("VM", id.ToString());

    public static async Task<SnapshotRows?> FindAsync(IStoreSession session, VmId id, CancellationToken cancellationToken)
    {
        if (await session.VirtualMachines.FindAsync(id, cancellationToken).ConfigureAwait(false) is not { } machine)
        {
            return null;
        }

        var snapshots = await session.Snapshots.ListByVmAsync(id, cancellationToken).ConfigureAwait(false);
        List<Disk> disks = [];
        foreach (var owner in MachineRows.OwnersOf(id, snapshots))
        {
            disks.AddRange(await session.Disks.ListByOwnerAsync(owner, cancellationToken).ConfigureAwait(false));
        }

        var own = disks.Select(disk => disk.Id).ToHashSet();
        List<Disk> foreign = [];
        foreach (var disk in disks)
        {
            foreign.AddRange((await session.Disks.ListByBackingAsync(disk.Id, cancellationToken).ConfigureAwait(false)).Where(overlay => !own.Contains(overlay.Id)));
        }

        return new SnapshotRows { Machine = machine, Snapshots = snapshots, Disks = disks, Foreign = foreign };
    }

    /// <summary>Refuses to let disks go that something else lies on.</summary>
    public void RefuseForeign(IEnumerable<Disk> disks)
    {
        var ids = disks.Select(disk => disk.Id).ToHashSet();
        if (Foreign.FirstOrDefault(overlay => overlay.Backing is { } backing && ids.Contains(backing)) is { } needs)
        {
            throw new InUseException($"Disk {needs.Backing} of VM '{Machine.Name}' is what disk {needs.Id} of {needs.Owner.Kind} {needs.Owner.Id:D} lies on; delete that first.");
        }
    }
}
