namespace Pengx.Orchestration;

/// <summary>The port to the journal: operations, their locks and their leases. Every method is one transaction, serializable
/// against all others, also those of other services on the same database. The contract suite <c>JournalContract</c> in
/// <c>Pengx.Testing</c> checks an implementation.</summary>
/// <remarks>All methods throw <see cref="UnavailableException"/> when the journal cannot be reached; the engine then tries again.</remarks>
public interface IOperationJournal
{
    /// <summary>Adds an operation with its locks and its first lease (token 1), or nothing at all. First the key is looked up
    /// (a key that expired at or before <see cref="OperationRecord.CreatedAt"/> is forgotten), then the locks: an
    /// exclusive one conflicts with every other on the same resource, shared ones do not conflict with each other.</summary>
    /// <param name="operation">The operation; its lease is ignored.</param>
    /// <param name="locks">Its locks: one per resource, in the order in which to take them.</param>
    /// <param name="leaseExpiresAt">When the first lease ends; its owner is <see cref="OperationRecord.Pm"/>.</param>
    /// <param name="cancellationToken">Ends the call; the outcome is then unknown.</param>
    Task<JournalAdmission> AddAsync(OperationRecord operation, IReadOnlyList<ResourceLock> locks, DateTimeOffset leaseExpiresAt, CancellationToken cancellationToken = default);

    /// <summary>Takes an unfinished operation over, with a token higher than all before. It succeeds when nobody holds the lease,
    /// when it has expired, or when <paramref name="ownToo"/> is set and its owner is <paramref name="owner"/>.</summary>
    /// <param name="id">The operation.</param>
    /// <param name="owner">Who takes it over.</param>
    /// <param name="now">The time against which expiry is judged; a lease that expires now has expired.</param>
    /// <param name="expiresAt">When the new lease ends.</param>
    /// <param name="ownToo">A restart: leases of the same owner are from its own past.</param>
    /// <param name="cancellationToken">Ends the call; the outcome is then unknown.</param>
    /// <returns>The operation with its new lease, or null when it is missing, ended or held by another.</returns>
    Task<OperationRecord?> ClaimAsync(OperationId id, PmId owner, DateTimeOffset now, DateTimeOffset expiresAt, bool ownToo, CancellationToken cancellationToken = default);

    /// <summary>Prolongs a lease, expired or not, as long as nobody else has claimed the operation since.</summary>
    /// <param name="lease">The lease.</param>
    /// <param name="expiresAt">Its new end.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>Whether the operation's end was asked for.</returns>
    /// <exception cref="LeaseLostException">The operation is missing, ended, or the lease is not its current one.</exception>
    Task<bool> RenewAsync(OperationLease lease, DateTimeOffset expiresAt, CancellationToken cancellationToken = default);

    /// <summary>Gives a lease up, so that anyone may claim the operation. Does nothing when the lease is no longer the current one.</summary>
    /// <param name="lease">The lease.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task ReleaseAsync(OperationLease lease, CancellationToken cancellationToken = default);

    /// <summary>Replaces an operation's checkpoint. When the new one is finished, its locks and its lease go in the same
    /// transaction.</summary>
    /// <param name="lease">The right to write: token and operation must be the current ones; its expiry does not matter.</param>
    /// <param name="checkpoint">The new checkpoint.</param>
    /// <param name="cancellationToken">Ends the call; the outcome is then unknown.</param>
    /// <exception cref="LeaseLostException">The operation is missing, ended, or the lease is not its current one; nothing was
    /// written.</exception>
    Task SaveAsync(OperationLease lease, OperationCheckpoint checkpoint, CancellationToken cancellationToken = default);

    /// <summary>Notes that an operation's end was asked for.</summary>
    /// <param name="id">The operation.</param>
    /// <param name="cancellationToken">Ends the call; the outcome is then unknown.</param>
    /// <returns>False when it is missing or has ended.</returns>
    Task<bool> RequestCancelAsync(OperationId id, CancellationToken cancellationToken = default);

    /// <summary>Finds an operation.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<OperationRecord?> FindAsync(OperationId id, CancellationToken cancellationToken = default);

    /// <summary>Finds the operation with a key that has not expired.</summary>
    /// <param name="idempotencyKey">The key, compared character by character.</param>
    /// <param name="now">The time against which expiry is judged; a key that expires now has expired.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<OperationRecord?> FindByKeyAsync(string idempotencyKey, DateTimeOffset now, CancellationToken cancellationToken = default);

    /// <summary>Lists operations, the newest first.</summary>
    /// <param name="query">Which.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<OperationRecord> ListAsync(OperationQuery query, CancellationToken cancellationToken = default);

    /// <summary>Lists all locks.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<LockRecord>> ListLocksAsync(CancellationToken cancellationToken = default);

    /// <summary>Removes operations that ended before <paramref name="finishedBefore"/>, unless their key has not expired, and
    /// forgets keys that have.</summary>
    /// <param name="finishedBefore">What ended earlier is removed.</param>
    /// <param name="now">The time against which the expiry of keys is judged.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>How many operations were removed.</returns>
    Task<int> PruneAsync(DateTimeOffset finishedBefore, DateTimeOffset now, CancellationToken cancellationToken = default);
}
