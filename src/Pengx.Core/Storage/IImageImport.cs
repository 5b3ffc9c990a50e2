namespace Pengx;

/// <summary>An optional ability of a storage backend: judging an image that somebody laid onto the storage link by hand,
/// before any tool opens it. Found by <see cref="IStorageBackend.TryGetFeature{TFeature}"/>.</summary>
public interface IImageImport
{
    /// <summary>Reads the image's header, in bounds and following no name in it, and answers what the image is.</summary>
    /// <remarks>A raw image is whatever its bytes are; only its size is judged. A qcow2 image must stand alone.</remarks>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk whose UUID names the image.</param>
    /// <param name="format">The format that shall be recorded for it.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="StorageException">There is no such image, it is not of that format, its size is no multiple of 512
    /// bytes, or it needs another file (a backing file, an external data file) or a key; the message says which.</exception>
    Task<Volume> InspectImportAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default);
}
