using System.Diagnostics.CodeAnalysis;

namespace Pengx;

/// <summary>The port to one kind of storage. Verbs are idempotent by the disk's UUID, because a workflow that was interrupted
/// runs its step again.</summary>
/// <remarks>Every call throws <see cref="StorageException"/> or <see cref="ProcessFailedException"/> with the tool's own words
/// when it fails, and <see cref="UnavailableException"/> when the storage cannot be reached or used now.</remarks>
public interface IStorageBackend
{
    /// <summary>Whether this backend serves a storage link, by its type and level.</summary>
    /// <param name="storlink">The storage link.</param>
    bool Serves(Storlink storlink);

    /// <summary>Checks that the storage link can be used: it exists, is what its level says, and can be written.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="cancellationToken">Ends the check.</param>
    /// <exception cref="StorageException">It cannot; the message says why.</exception>
    Task CheckAsync(Storlink storlink, CancellationToken cancellationToken = default);

    /// <summary>Measures size and free space.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="cancellationToken">Ends the measuring.</param>
    Task<StorlinkCapacity> MeasureAsync(Storlink storlink, CancellationToken cancellationToken = default);

    /// <summary>Makes a volume, durable when this returns: all of it or nothing, under its final name only when whole.
    /// A whole one that is already there under this UUID: does nothing.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="spec">What to make.</param>
    /// <param name="progress">Told of bytes done; may be <see langword="null"/>.</param>
    /// <param name="cancellationToken">Stops the work and removes what was half made.</param>
    /// <exception cref="InsufficientResourceException">Not enough free space, with the figures.</exception>
    Task<Volume> CreateAsync(Storlink storlink, VolumeSpec spec, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>Removes a volume and everything half made under its UUID. None: succeeds.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="InUseException">Something has the volume open.</exception>
    Task DeleteAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default);

    /// <summary>A volume; <see langword="null"/> when there is none.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="format">The format recorded for it.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Volume?> FindAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default);

    /// <summary>Everything that lies on the storage link under a disk's UUID, half made things included. Opens no image.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<VolumeEntry> ListAsync(Storlink storlink, CancellationToken cancellationToken = default);

    /// <summary>Grows a volume that no guest has open to a size, durable when this returns. As large already: does nothing.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="format">The format recorded for it.</param>
    /// <param name="size">The size that the guest shall see.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task GrowAsync(Storlink storlink, DiskId disk, DiskFormat format, DataSize size, CancellationToken cancellationToken = default);

    /// <summary>Makes a volume usable on this host and says where it lies. Attached already: the same answer.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="format">The format recorded for it.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="StorageException">There is no such volume.</exception>
    Task<DiskLocation> AttachAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default);

    /// <summary>Undoes <see cref="AttachAsync"/>. Not attached: succeeds.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task DetachAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default);

    /// <summary>Finds an optional ability of the backend.</summary>
    /// <typeparam name="TFeature">The ability's interface.</typeparam>
    /// <param name="feature">The ability.</param>
    /// <returns>Whether the backend has it.</returns>
    bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class;
}
