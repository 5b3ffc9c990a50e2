using System.Runtime.CompilerServices;
using Pengx.Orchestration;

namespace Pengx.Testing;

/// <summary>On which side of a journal write the process dies.</summary>
public enum CrashMoment
{
    /// <summary>The write did not happen.</summary>
    Before,

    /// <summary>The write happened, but nobody learned of it.</summary>
    After,
}

/// <summary>A journal whose process dies at its N-th write: that call and every later one throws
/// <see cref="SimulatedCrashException"/>. Writes are what changes the course of an operation: adding, claiming, saving and asking
/// for its end; renewals, releases and pruning do not count.</summary>
/// <param name="inner">The journal that survives.</param>
/// <param name="write">Which write it is, 1 for the first.</param>
/// <param name="moment">On which side of the write.</param>
public sealed class CrashingJournal(IOperationJournal inner, int write, CrashMoment moment) : IOperationJournal
{
    private readonly TaskCompletionSource _crashed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _writes;

    /// <summary>Whether the process is dead.</summary>
    public bool HasCrashed => _crashed.Task.IsCompleted;

    /// <summary>Completes when the process dies.</summary>
    public Task Crashed => _crashed.Task;

    /// <summary>How many writes there were, the deadly one included.</summary>
    public int Writes => Volatile.Read(ref _writes);

    /// <inheritdoc/>
    public Task<JournalAdmission> AddAsync(
        OperationRecord operation, IReadOnlyList<ResourceLock> locks, DateTimeOffset leaseExpiresAt, CancellationToken cancellationToken = default) =>
        WriteAsync(() => inner.AddAsync(operation, locks, leaseExpiresAt, cancellationToken));

    /// <inheritdoc/>
    public Task<OperationRecord?> ClaimAsync(
        OperationId id, PmId owner, DateTimeOffset now, DateTimeOffset expiresAt, bool ownToo, CancellationToken cancellationToken = default) =>
        WriteAsync(() => inner.ClaimAsync(id, owner, now, expiresAt, ownToo, cancellationToken));

    /// <inheritdoc/>
    public Task<bool> RenewAsync(OperationLease lease, DateTimeOffset expiresAt, CancellationToken cancellationToken = default)
    {
        ThrowIfCrashed();
        return inner.RenewAsync(lease, expiresAt, cancellationToken);
    }

    /// <inheritdoc/>
    public Task ReleaseAsync(OperationLease lease, CancellationToken cancellationToken = default)
    {
        ThrowIfCrashed();
        return inner.ReleaseAsync(lease, cancellationToken);
    }

    /// <inheritdoc/>
    public Task SaveAsync(OperationLease lease, OperationCheckpoint checkpoint, CancellationToken cancellationToken = default) =>
        WriteAsync(async () =>
        {
            await inner.SaveAsync(lease, checkpoint, cancellationToken).ConfigureAwait(false);
            return true;
        });

    /// <inheritdoc/>
    public Task<bool> RequestCancelAsync(OperationId id, CancellationToken cancellationToken = default) =>
        WriteAsync(() => inner.RequestCancelAsync(id, cancellationToken));

    /// <inheritdoc/>
    public Task<OperationRecord?> FindAsync(OperationId id, CancellationToken cancellationToken = default)
    {
        ThrowIfCrashed();
        return inner.FindAsync(id, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<OperationRecord?> FindByKeyAsync(string idempotencyKey, DateTimeOffset now, CancellationToken cancellationToken = default)
    {
        ThrowIfCrashed();
        return inner.FindByKeyAsync(idempotencyKey, now, cancellationToken);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<OperationRecord> ListAsync(OperationQuery query, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ThrowIfCrashed();
        await foreach (var record in inner.ListAsync(query, cancellationToken).ConfigureAwait(false))
        {
            yield return record;
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<LockRecord>> ListLocksAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfCrashed();
        return inner.ListLocksAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public Task<int> PruneAsync(DateTimeOffset finishedBefore, DateTimeOffset now, CancellationToken cancellationToken = default)
    {
        ThrowIfCrashed();
        return inner.PruneAsync(finishedBefore, now, cancellationToken);
    }

    private async Task<T> WriteAsync<T>(Func<Task<T>> call)
    {
        ThrowIfCrashed();
        var number = Interlocked.Increment(ref _writes);
        if (number > write || (number == write && moment == CrashMoment.Before))
        {
            Crash();
        }

        var result = await call().ConfigureAwait(false);
        if (number == write)
        {
            Crash();
        }

        return result;
    }

    private void Crash()
    {
        _crashed.TrySetResult();
        throw new SimulatedCrashException();
    }

    private void ThrowIfCrashed()
    {
        if (HasCrashed)
        {
            throw new SimulatedCrashException();
        }
    }
}
