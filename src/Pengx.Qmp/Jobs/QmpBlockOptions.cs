namespace Pengx.Qmp;

/// <summary>How a block job runs.</summary>
public sealed class QmpBlockJobOptions
{
    /// <summary>The job's id; null for one made from the operation and the node (<see cref="QmpJobId"/>). Not for operations on several disks.</summary>
    public string? JobId { get; set; }

    /// <summary>A limit in bytes per second; 0 for none.</summary>
    public long BytesPerSecond { get; set; }

    /// <summary>Whether a job of this id that QEMU has already is taken up, running or ended, rather than refused as a duplicate: for operations that go on after a restart.</summary>
    public bool AdoptExisting { get; set; }

    /// <summary>What cancelling the call does. False: the job is cancelled and everything is put back. True: the job goes on, to be adopted later.</summary>
    public bool LeaveRunningOnCancel { get; set; }

    /// <summary>Whether nodes that are no longer used afterwards (the merged images, the old disk, the backup's target) are removed from QEMU. Files are never touched.</summary>
    /// <value>Default true.</value>
    public bool RemoveUnusedNodes { get; set; } = true;

    /// <summary>Told how far it has come; over all disks together.</summary>
    public IProgress<QmpJobProgress>? Progress { get; set; }

    internal QmpBlockJobOptions Validate(bool isSingle)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(BytesPerSecond, nameof(BytesPerSecond));
        if (JobId is not null)
        {
            QmpJobId.Require(JobId, nameof(JobId));
            if (!isSingle)
            {
                throw new ArgumentException("An operation on several disks makes its own job ids.", nameof(isSingle));
            }
        }

        return (QmpBlockJobOptions)MemberwiseClone();
    }
}

/// <summary>An overlay to be put over a disk's node.</summary>
/// <param name="Node">The node that the guest uses now.</param>
/// <param name="Overlay">An empty image of the same size, with the node's image beneath it.</param>
public sealed record QmpSnapshotDisk(string Node, QmpBlockTarget Overlay);

/// <summary>A disk to be mirrored.</summary>
/// <param name="Node">The node that the guest uses now.</param>
/// <param name="Target">An image at least as large.</param>
public sealed record QmpMirrorDisk(string Node, QmpBlockTarget Target);

/// <summary>A disk to be backed up.</summary>
/// <param name="Node">The node that the guest uses now.</param>
/// <param name="Target">An image of the same size; empty for an incremental backup, which gets the changed blocks alone.</param>
/// <param name="Bitmap">What notes the changes since this backup for the next incremental one: made by a full backup, needed by an incremental one.</param>
public sealed record QmpBackupDisk(string Node, QmpBlockTarget Target, string? Bitmap = null);

/// <summary>What a block operation that succeeded leaves.</summary>
public sealed record QmpBlockResult
{
    /// <summary>Nodes that are no longer used by the guest but could not be removed, because something else uses them.</summary>
    public IReadOnlyList<string> NodesLeft { get; init; } = [];
}

/// <summary>Where a failed block operation leaves the guest.</summary>
public enum QmpBlockOutcome
{
    /// <summary>As before: the guest runs on what it ran on, and nothing of the attempt is left in QEMU. Files are the caller's to delete.</summary>
    Unchanged,

    /// <summary>The guest runs on what it ran on, but parts of the attempt could not be removed: see <see cref="QmpBlockOperationException.NodesLeft"/> and <see cref="QmpBlockOperationException.JobIds"/>.</summary>
    LeftBehind,

    /// <summary>Some of several disks have changed over and some have not: see <see cref="QmpBlockOperationException.NodesChanged"/>.</summary>
    Partial,

    /// <summary>The connection broke: look at the graph and the jobs through a new one.</summary>
    Unknown,
}

/// <summary>A block operation failed.</summary>
public sealed class QmpBlockOperationException : QmpException
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">What failed.</param>
    /// <param name="outcome">Where that leaves the guest.</param>
    /// <param name="innerException">Why.</param>
    public QmpBlockOperationException(string message, QmpBlockOutcome outcome, Exception? innerException)
        : base(message, innerException) => Outcome = outcome;

    /// <summary>Where the failure leaves the guest.</summary>
    public QmpBlockOutcome Outcome { get; }

    /// <summary>Nodes of the attempt that QEMU may still have.</summary>
    public IReadOnlyList<string> NodesLeft { get; init; } = [];

    /// <summary>Jobs of the attempt that QEMU may still have.</summary>
    public IReadOnlyList<string> JobIds { get; init; } = [];

    /// <summary>The nodes whose disks have changed over to their targets.</summary>
    public IReadOnlyList<string> NodesChanged { get; init; } = [];
}
