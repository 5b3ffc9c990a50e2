namespace Pengx;

/// <summary>Chains of images that no running domain uses: the same changes as <see cref="ILiveDisks"/> makes, made to images at
/// rest. Layers are listed from the top down, as in <see cref="DomainDisk.Layers"/>, each with its format, which is never
/// guessed. Every verb is flushed to stable storage when it returns, can be repeated after a crash halfway, and leaves every byte
/// readable at any moment of it.</summary>
public interface IDiskChains
{
    /// <summary>Reads the chain that the images themselves state.</summary>
    /// <param name="top">The top layer.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="StorageException">An image cannot be read, or names a backing image without its format.</exception>
    Task<IReadOnlyList<DiskLayer>> ReadAsync(DiskLayer top, CancellationToken cancellationToken = default);

    /// <summary>Merges the layers above one of a chain down into it. The merged layers are left as they are; whoever was backed by
    /// the highest of them is linked anew by <see cref="RelinkAsync"/>.</summary>
    /// <param name="layers">The layers to merge, top first; the last takes the others in, and grows where they are larger.</param>
    /// <param name="progress">Told the bytes done and to do.</param>
    /// <param name="cancellationToken">Gives up: the merged layers still hold everything.</param>
    /// <exception cref="StorageException">A layer is in use, or the tool failed; its own words are in the message.</exception>
    Task CommitAsync(IReadOnlyList<DiskLayer> layers, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>Pulls the content of the layers between an image and another one up into the image, which is then backed by that
    /// other one, or by nothing.</summary>
    /// <param name="layer">The image that takes the content in.</param>
    /// <param name="backing">What it is backed by afterwards: a layer of its own chain, or null for nothing.</param>
    /// <param name="progress">Told the bytes done and to do.</param>
    /// <param name="cancellationToken">Gives up: the image keeps its chain.</param>
    /// <exception cref="StorageException">The image is in use, or the tool failed; its own words are in the message.</exception>
    Task StreamAsync(DiskLayer layer, DiskLayer? backing, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>States what an image is backed by, without moving a byte: right only where the other image shows the same bytes as
    /// the old one did.</summary>
    /// <param name="layer">The image.</param>
    /// <param name="backing">What it is backed by, or null for nothing.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="StorageException">The image is in use, or the tool failed; its own words are in the message.</exception>
    Task RelinkAsync(DiskLayer layer, DiskLayer? backing, CancellationToken cancellationToken = default);
}
