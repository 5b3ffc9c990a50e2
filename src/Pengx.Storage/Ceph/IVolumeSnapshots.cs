namespace Pengx.Storage;

/// <summary>An optional ability of a storage backend: snapshots of its own making, beneath the guest and without an overlay.
/// Verbs are idempotent.</summary>
internal interface IVolumeSnapshots
{
    /// <summary>Keeps a volume's content as it is now.</summary>
    Task SnapshotAsync(Storlink storlink, DiskId disk, SnapshotId snapshot, CancellationToken cancellationToken = default);

    /// <summary>The snapshots that are kept of a volume.</summary>
    Task<IReadOnlyList<SnapshotId>> ListSnapshotsAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default);

    /// <summary>Gives a volume that nobody has open the content that it had at a snapshot.</summary>
    Task RevertAsync(Storlink storlink, DiskId disk, SnapshotId snapshot, CancellationToken cancellationToken = default);

    /// <summary>Forgets a snapshot. None: does nothing.</summary>
    Task DeleteSnapshotAsync(Storlink storlink, DiskId disk, SnapshotId snapshot, CancellationToken cancellationToken = default);

    /// <summary>Makes a clone stand alone. Stands alone: does nothing.</summary>
    Task FlattenAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default);
}
