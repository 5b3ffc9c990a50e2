namespace Pengx.Client;

/// <summary>What goes on at the server: <c>/operations/</c>, an addition to the reference.</summary>
public interface IOperationClient
{
    /// <summary>Lists operations while the answer arrives.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The operations.</returns>
    IAsyncEnumerable<OperationResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one operation.</summary>
    /// <param name="id">The operation.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The operation.</returns>
    Task<OperationResource> GetAsync(Guid id, CancellationToken cancellationToken = default);

    /// <summary>Cancels an operation: the server undoes it, which takes its time. One that is already over is refused.</summary>
    /// <param name="id">The operation.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>What was done, and the operation while it is being undone.</returns>
    Task<ChangeResult> CancelAsync(Guid id, CancellationToken cancellationToken = default);

    /// <summary>
    /// Waits until an operation is over, through short times in which the server cannot be reached. Cancelling the wait does not
    /// cancel the operation.
    /// </summary>
    /// <param name="id">The operation.</param>
    /// <param name="progress">Told of the operation whenever it was seen to have changed; null tells nobody.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The operation, which succeeded.</returns>
    /// <exception cref="PengxApiException">It failed or was cancelled (<see cref="PengxApiException.Operation"/>), or could not be followed.</exception>
    Task<OperationResource> WaitAsync(
        Guid id, IProgress<OperationResource>? progress = null, CancellationToken cancellationToken = default);
}
