namespace Pengx.Client;

/// <summary>Where a server's rows, storage, hypervisor and journal disagree: <c>/consistency/</c>, an addition to the reference.</summary>
public interface IConsistencyClient
{
    /// <summary>Has the server look, and lists what disagrees; nothing where all is well.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>What disagrees.</returns>
    IAsyncEnumerable<InconsistencyResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Removes the images that belong to no disk and to no operation. The server wants an administrator's key for it.</summary>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was removed.</returns>
    Task<ChangeResult> RemoveOrphansAsync(ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
