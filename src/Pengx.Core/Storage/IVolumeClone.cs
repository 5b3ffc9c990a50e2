namespace Pengx;

/// <summary>An optional ability of a storage backend: copies that share their blocks with the original, made at once and
/// without copying. Found by <see cref="IStorageBackend.TryGetFeature{TFeature}"/>.</summary>
public interface IVolumeClone
{
    /// <summary>Whether a volume can be cloned on its storage link.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="source">The disk to clone.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<bool> CanCloneAsync(Storlink storlink, DiskId source, CancellationToken cancellationToken = default);

    /// <summary>Clones a volume that nobody writes to, durable when this returns. A whole one that is already there under the
    /// target's UUID: does nothing.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="source">The disk to clone.</param>
    /// <param name="spec">What the clone shall be: of the source's format, and of its size or larger.</param>
    /// <param name="cancellationToken">Stops the work and removes what was half made.</param>
    /// <exception cref="StorageException">It cannot be cloned; the message says why.</exception>
    Task<Volume> CloneAsync(Storlink storlink, DiskId source, VolumeSpec spec, CancellationToken cancellationToken = default);
}
