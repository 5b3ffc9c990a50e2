namespace Pengx.Client;

/// <summary>The hosts' network devices: <c>/networks/</c>, an addition to the reference.</summary>
public interface INetworkClient
{
    /// <summary>Lists them while the answer arrives.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>All of the server's own.</returns>
    IAsyncEnumerable<NetworkResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>What the server knows of it.</returns>
    Task<NetworkResource> GetAsync(int id, CancellationToken cancellationToken = default);

    /// <summary>Creates one.</summary>
    /// <param name="request">What to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new one's number.</returns>
    Task<CreatedResult<int>> CreateAsync(NetworkRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Changes one.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="request">What changes.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> UpdateAsync(int id, NetworkRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes one.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Asks what a creation would do on the host; nothing is done.</summary>
    /// <param name="request">What to create.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The plan.</returns>
    Task<PlanResource> PlanCreateAsync(NetworkRequest request, CancellationToken cancellationToken = default);

    /// <summary>Asks what a verb would do on the host; nothing is done.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="verb"><c>update</c> or <c>delete</c>.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The plan.</returns>
    Task<PlanResource> PlanAsync(int id, string verb, CancellationToken cancellationToken = default);
}
