namespace Pengx.Storage;

/// <summary>What a copy of an image shall be.</summary>
public sealed record CopyRequest
{
    /// <summary>The image to copy, flattened.</summary>
    public required DiskLayer Source { get; init; }

    /// <summary>Where the copy shall lie, and its format. A file must not be there yet; a block device and an RBD image must.</summary>
    public required DiskLayer Target { get; init; }

    /// <summary>How the storage would make the copy itself, as a volume of its own; then nothing need be at the target yet. Not asked
    /// for when not given.</summary>
    public NativeClone? Native { get; init; }

    /// <summary>The size that the guest shall see of the copy, at least the source's; the source's when not given. Only for a
    /// file: a device has the size that it has.</summary>
    public DataSize? Size { get; init; }

    /// <summary>What a block device or an RBD image holds before the copy.</summary>
    public CopyTargetContent TargetContent { get; init; }

    /// <summary>Where the source's layers must lie; anywhere when not given.</summary>
    public ImageRoots? Roots { get; init; }

    /// <summary>Whether the source is copied even while something writes to it; the plan says when that is so. Such a copy may be
    /// of no one moment.</summary>
    public bool WhileInUse { get; init; }

    /// <summary>How many bytes a second at most; 0 for no limit. Sharing blocks moves none, and is not limited.</summary>
    public DataSize RateLimit { get; init; }

    /// <summary>Whether a copy into a file that was cancelled or failed keeps what it has done, so that the same request goes on
    /// there. Otherwise nothing is left of it. One that was killed always goes on where it can.</summary>
    public bool KeepWhenInterrupted { get; init; }

    /// <summary>Whether the caller vouches that nothing has written to a block device between two attempts to copy from it, as
    /// with a snapshot: without it such a copy begins anew. A file tells that itself.</summary>
    public bool SourceIsFrozen { get; init; }
}

/// <summary>A copy as a storage backend makes it itself, without moving its bytes: a thin volume's snapshot, or an RBD image's clone.</summary>
public sealed record NativeClone
{
    /// <summary>The ability of the backend, found by <see cref="IStorageBackend.TryGetFeature{TFeature}"/>.</summary>
    public required IVolumeClone Storage { get; init; }

    /// <summary>The storage link of both disks.</summary>
    public required Storlink Storlink { get; init; }

    /// <summary>The disk whose image is the request's source.</summary>
    public required DiskId Disk { get; init; }

    /// <summary>What the clone shall be: the disk whose image is the request's target.</summary>
    public required VolumeSpec Volume { get; init; }
}

/// <summary>What a device holds before an image is copied onto it.</summary>
public enum CopyTargetContent
{
    /// <summary>Anything: every zero of the source is written, too.</summary>
    Unknown,

    /// <summary>Zeros alone, as a fresh thin volume or RBD image: zeros of the source are not written. Whoever says so without
    /// knowing shows a guest what another left there.</summary>
    Zero,
}
