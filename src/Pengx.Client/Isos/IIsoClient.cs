namespace Pengx.Client;

/// <summary>ISO images in the host's directories: <c>/isos/</c>, an addition to the reference.</summary>
public interface IIsoClient
{
    /// <summary>Lists them while the answer arrives.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The images, by name.</returns>
    IAsyncEnumerable<IsoResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one.</summary>
    /// <param name="name">The file's name.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The image.</returns>
    Task<IsoResource> GetAsync(string name, CancellationToken cancellationToken = default);
}
