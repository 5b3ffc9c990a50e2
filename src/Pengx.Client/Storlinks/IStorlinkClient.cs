namespace Pengx.Client;

/// <summary>Where disks live: <c>/storlinks/</c>.</summary>
public interface IStorlinkClient
{
    /// <summary>Lists the server's own storlinks and the shared ones while the answer arrives.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The storlinks.</returns>
    IAsyncEnumerable<StorlinkResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Lists every host's storlinks, with the hosts' names (version 2), while the answer arrives.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The storlinks.</returns>
    IAsyncEnumerable<StorlinkResource> ListAllAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one storlink: an addition to the reference.</summary>
    /// <param name="id">The storlink.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The storlink.</returns>
    Task<StorlinkResource> GetAsync(int id, CancellationToken cancellationToken = default);

    /// <summary>Creates a storlink.</summary>
    /// <param name="request">What to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new storlink's number.</returns>
    Task<CreatedResult<int>> CreateAsync(
        StorlinkCreateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Changes a storlink.</summary>
    /// <param name="id">The storlink.</param>
    /// <param name="request">What changes.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> UpdateAsync(
        int id, StorlinkUpdateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes a storlink that nothing uses.</summary>
    /// <param name="id">The storlink.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
