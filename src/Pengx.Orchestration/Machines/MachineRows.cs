namespace Pengx.Orchestration;

/// <summary>A machine with the rows that its domain is made of.</summary>
internal sealed record MachineRows
{
    public required VirtualMachine Machine { get; init; }

    public required IReadOnlyList<Snapshot> Snapshots { get; init; }

    /// <summary>The disks it runs on now, in boot order.</summary>
    public required IReadOnlyList<Disk> Disks { get; init; }

    /// <summary>Its interfaces, retired ones included.</summary>
    public required IReadOnlyList<VmInterface> Interfaces { get; init; }

    public DiskOwner DiskOwner => OwnerOf(Machine.Id, Snapshots);

    public static DiskOwner OwnerOf(VmId id, IReadOnlyList<Snapshot> snapshots) =>
        snapshots.FirstOrDefault(snapshot => snapshot.Kind == SnapshotKind.Run) is { } run ? DiskOwner.Of(run.Id) : DiskOwner.Of(id);

    /// <summary>Whatever of a machine owns disks: itself, its snapshots, and the memory that was kept with them.</summary>
    public static IEnumerable<DiskOwner> OwnersOf(VmId id, IEnumerable<Snapshot> snapshots) =>
        [DiskOwner.Of(id), .. snapshots.SelectMany(snapshot => (DiskOwner[])[DiskOwner.Of(snapshot.Id), DiskOwner.MemoryOf(snapshot.Id)])];

    public static async Task<MachineRows?> FindAsync(IStoreSession session, VmId id, CancellationToken cancellationToken)
    {
        if (await session.VirtualMachines.FindAsync(id, cancellationToken).ConfigureAwait(false) is not { } machine)
        {
            return null;
        }

        var snapshots = await session.Snapshots.ListByVmAsync(id, cancellationToken).ConfigureAwait(false);
        return new MachineRows
        {
            Machine = machine,
            Snapshots = snapshots,
            Disks = await session.Disks.ListByOwnerAsync(OwnerOf(id, snapshots), cancellationToken).ConfigureAwait(false),
            Interfaces = await session.VmInterfaces.ListByVmAsync(id, cancellationToken).ConfigureAwait(false),
        };
    }
}
