namespace Pengx;

/// <summary>Tells of images what they hold of their own, apart from what lies beneath them.</summary>
public interface IDiskUse
{
    /// <summary>Whether an image that nothing has open for writing holds anything that its backing image does not give it: false for
    /// an overlay that nothing was ever written to. An image without a backing image always does.</summary>
    /// <param name="layer">The image.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="StorageException">The image cannot be read, or the tool failed; its own words are in the message.</exception>
    Task<bool> IsWrittenAsync(DiskLayer layer, CancellationToken cancellationToken = default);
}
