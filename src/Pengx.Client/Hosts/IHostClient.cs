namespace Pengx.Client;

/// <summary>Physical hosts: <c>/pms/</c> and <c>/pmperf/</c>.</summary>
public interface IHostClient
{
    /// <summary>Lists all hosts while the answer arrives.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The hosts.</returns>
    IAsyncEnumerable<PmResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads the host that answers.</summary>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The host.</returns>
    Task<PmResource> GetOwnAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one host.</summary>
    /// <param name="id">The host.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The host.</returns>
    Task<PmResource> GetAsync(Guid id, CancellationToken cancellationToken = default);

    /// <summary>Reads what the host that answers is doing now.</summary>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The figures.</returns>
    Task<PmPerformanceResource> GetPerformanceAsync(CancellationToken cancellationToken = default);

    /// <summary>Takes every host's SSH key into the authorized keys of the host that answers.</summary>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> UpdateAuthorizedKeysAsync(ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
