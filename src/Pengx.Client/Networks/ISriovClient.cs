namespace Pengx.Client;

/// <summary>Cards with virtual functions: <c>/sriov/</c>, an addition to the reference.</summary>
public interface ISriovClient
{
    /// <summary>Lists them while the answer arrives.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>All of the server's own.</returns>
    IAsyncEnumerable<SriovResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>What the server knows of it.</returns>
    Task<SriovResource> GetAsync(int id, CancellationToken cancellationToken = default);

    /// <summary>Creates one.</summary>
    /// <param name="request">What to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new one's number.</returns>
    Task<CreatedResult<int>> CreateAsync(SriovRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Changes one.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="request">What changes.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> UpdateAsync(int id, SriovRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes one.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
