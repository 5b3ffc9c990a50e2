namespace Pengx;

/// <summary>An optional ability of a driver: noting which blocks of a running domain's disks are written to since a backup, so that the
/// next one copies these alone (found with <see cref="IHypervisorDriver.TryGetFeature{TFeature}"/>). QEMU calls such a note a dirty
/// bitmap.
/// <para>A note belongs to the image that was a disk's top layer when it was begun: it has what was written to that image and to
/// nothing else. It may be lost at any time, with the hypervisor's process or with the image, and it says so when it was not kept
/// properly: whoever finds none that is whole copies everything.</para></summary>
public interface IChangedBlocks
{
    /// <summary>The notes that are there, on every layer of every disk, the worthless ones included.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    Task<IReadOnlyList<ChangedBlocks>> ReadAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Begins a note on the top layer of each of the domain's disks, on all or on none. One that is there already goes on.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="since">The backup that is about to be taken, which names the notes.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    /// <exception cref="HypervisorException">The hypervisor refused; no note was begun.</exception>
    Task TrackAsync(DomainId id, BackupId since, CancellationToken cancellationToken = default);

    /// <summary>Removes notes where they can be removed; one in an image that is not written to stays, and does no harm.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="backups">The backups that name them.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    Task ForgetAsync(DomainId id, IReadOnlyCollection<BackupId> backups, CancellationToken cancellationToken = default);

    /// <summary>Copies the blocks that a note has from a layer that is not written to now, because an overlay lies upon it, into an
    /// image of the same size. All of it is flushed and closed when this returns. The note stays as it is.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="since">The backup that names the note.</param>
    /// <param name="disk">The disk as it is without the overlay: its top layer is read, with what lies beneath it.</param>
    /// <param name="target">The image to copy into: it exists, and nothing uses it. What it is backed by is neither read nor opened.</param>
    /// <param name="limits">How fast.</param>
    /// <param name="progress">Told the bytes done and to do.</param>
    /// <param name="cancellationToken">Gives the copy up; the target then holds some of it.</param>
    /// <returns>How many bytes were copied.</returns>
    /// <exception cref="WrongStateException">The domain does not run, or the layer is its disk's top one.</exception>
    /// <exception cref="HypervisorException">There is no such note or it is worthless, or the copy failed.</exception>
    Task<long> CopyAsync(
        DomainId id,
        BackupId since,
        DomainDisk disk,
        DiskLayer target,
        LiveDiskLimits? limits = null,
        IProgress<ByteProgress>? progress = null,
        CancellationToken cancellationToken = default);

    /// <summary>Ends the copies that a caller who is gone left under way, and closes their targets. None: does nothing.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    Task AbandonCopiesAsync(DomainId id, CancellationToken cancellationToken = default);
}

/// <summary>A note of the blocks that were written to on a disk's layer.</summary>
public sealed record ChangedBlocks
{
    /// <summary>The backup that it counts from.</summary>
    public required BackupId Since { get; init; }

    /// <summary>The disk's device.</summary>
    public required string Vdev { get; init; }

    /// <summary>The layer that it belongs to.</summary>
    public required DiskLayer Layer { get; init; }

    /// <summary>The size of the layer as a guest sees it.</summary>
    public required DataSize Size { get; init; }

    /// <summary>How many bytes the blocks have that were written to.</summary>
    public required long Bytes { get; init; }

    /// <summary>Why it is worthless; <see langword="null"/> for one that has everything.</summary>
    public string? Fault { get; init; }
}
