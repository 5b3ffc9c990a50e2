namespace Pengx.Orchestration;

/// <summary>Starts operations and follows them. Every change of Pengx is an operation: journaled step by step, finished or
/// undone after a crash, and run at least once.</summary>
public interface IOperations
{
    /// <summary>Journals an operation and locks its objects in one transaction; the work then goes on in the background.</summary>
    /// <param name="workflow">What to do; one of the registered workflows.</param>
    /// <param name="state">What to do it with, all identifiers already chosen. A copy is taken.</param>
    /// <param name="request">How to start it.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was journaled by then goes on.</param>
    /// <returns>The operation as it was accepted, or the one that was started with the same idempotency key.</returns>
    /// <exception cref="ResourceLockedException">Another operation holds one of the objects.</exception>
    /// <exception cref="InvalidFieldException">The idempotency key was used for another request.</exception>
    /// <exception cref="UnavailableException">The service is stopping, has too much to do, or cannot reach its journal.</exception>
    Task<Operation> StartAsync<TState>(Workflow<TState> workflow, TState state, OperationRequest? request = null, CancellationToken cancellationToken = default)
        where TState : class;

    /// <summary>Waits until an operation has ended or needs attention. Giving the wait up does not cancel the operation.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="NotFoundException">There is no such operation.</exception>
    /// <exception cref="UnavailableException">The service stops before the operation has ended.</exception>
    Task<Operation> WaitAsync(OperationId id, CancellationToken cancellationToken = default);

    /// <summary>Finds an operation, with its progress of this moment.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Operation?> FindAsync(OperationId id, CancellationToken cancellationToken = default);

    /// <summary>Finds the operation that was started with an idempotency key, as long as the key is remembered.</summary>
    /// <param name="idempotencyKey">The key.</param>
    /// <param name="fingerprint">The digest of what is asked for.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="InvalidFieldException">The key was used with another fingerprint.</exception>
    Task<Operation?> FindByKeyAsync(string idempotencyKey, string? fingerprint = null, CancellationToken cancellationToken = default);

    /// <summary>Lists operations, the newest first.</summary>
    /// <param name="query">Which; all when left out.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<Operation> ListAsync(OperationQuery? query = null, CancellationToken cancellationToken = default);

    /// <summary>Asks for an operation's end. Before its switch from old to new it is undone and ends as
    /// <see cref="OperationState.Cancelled"/>; from the switch on, and while it is already being undone, the request is ignored.
    /// The call does not wait for the end.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="NotFoundException">There is no such operation.</exception>
    /// <exception cref="WrongStateException">It has already ended.</exception>
    Task<Operation> CancelAsync(OperationId id, CancellationToken cancellationToken = default);

    /// <summary>Follows the operations of this service: one notice at every change of state and step, and a few per second of
    /// progress. It listens from the call on, not from the first read; a reader that lags behind loses the oldest notices.</summary>
    /// <param name="cancellationToken">Ends the watching; needed when the result is never read.</param>
    IAsyncEnumerable<Operation> WatchAsync(CancellationToken cancellationToken = default);

    /// <summary>The objects that unfinished operations hold, such as <c>vm/7e1…</c>.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlySet<string>> ListLockedAsync(CancellationToken cancellationToken = default);
}
