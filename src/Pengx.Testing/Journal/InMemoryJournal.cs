using System.Runtime.CompilerServices;
using Pengx.Orchestration;

namespace Pengx.Testing;

/// <summary>A journal in memory: it survives engines, not the process. Several engines may share it.</summary>
public sealed class InMemoryJournal : IOperationJournal
{
    private readonly Lock _gate = new();
    private readonly Dictionary<OperationId, Entry> _entries = [];
    private readonly List<LockRecord> _locks = [];
    private long _order;

    /// <inheritdoc/>
    public Task<JournalAdmission> AddAsync(
        OperationRecord operation, IReadOnlyList<ResourceLock> locks, DateTimeOffset leaseExpiresAt, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        ArgumentNullException.ThrowIfNull(locks);
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            if (operation.IdempotencyKey is { } key && FindKey(key, operation.CreatedAt) is { } known)
            {
                return Task.FromResult(JournalAdmission.Known(known));
            }

            foreach (var claim in locks)
            {
                if (_locks.Find(held => held.Resource == claim.Resource && !(held.Shared && claim.Shared)) is { } held)
                {
                    return Task.FromResult(JournalAdmission.Locked(new LockConflict(claim.Resource, _entries[held.Operation].Record)));
                }
            }

            var lease = new OperationLease(operation.Id, operation.Pm, 1, leaseExpiresAt);
            _entries.Add(operation.Id, new Entry { Record = operation with { Lease = lease }, Token = 1, Order = _order++ });
            _locks.AddRange(locks.Select(claim => new LockRecord(claim.Resource, claim.Shared, operation.Id)));
            return Task.FromResult(JournalAdmission.Added(lease));
        }
    }

    /// <inheritdoc/>
    public Task<OperationRecord?> ClaimAsync(
        OperationId id, PmId owner, DateTimeOffset now, DateTimeOffset expiresAt, bool ownToo, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            if (!_entries.TryGetValue(id, out var entry) || entry.Record.Checkpoint.IsFinished)
            {
                return Task.FromResult<OperationRecord?>(null);
            }

            if (entry.Record.Lease is { } held && held.ExpiresAt > now && !(ownToo && held.Owner == owner))
            {
                return Task.FromResult<OperationRecord?>(null);
            }

            entry.Token++;
            entry.Record = entry.Record with { Lease = new OperationLease(id, owner, entry.Token, expiresAt) };
            return Task.FromResult<OperationRecord?>(entry.Record);
        }
    }

    /// <inheritdoc/>
    public Task<bool> RenewAsync(OperationLease lease, DateTimeOffset expiresAt, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            var entry = Fenced(lease);
            entry.Record = entry.Record with { Lease = lease with { ExpiresAt = expiresAt } };
            return Task.FromResult(entry.Record.CancelRequested);
        }
    }

    /// <inheritdoc/>
    public Task ReleaseAsync(OperationLease lease, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(lease);
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            if (_entries.TryGetValue(lease.Operation, out var entry) && entry.Record.Lease?.Token == lease.Token)
            {
                entry.Record = entry.Record with { Lease = null };
            }
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task SaveAsync(OperationLease lease, OperationCheckpoint checkpoint, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            var entry = Fenced(lease);
            entry.Record = entry.Record with { Checkpoint = checkpoint };
            if (checkpoint.IsFinished)
            {
                entry.Record = entry.Record with { Lease = null };
                _locks.RemoveAll(held => held.Operation == lease.Operation);
            }
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<bool> RequestCancelAsync(OperationId id, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            if (!_entries.TryGetValue(id, out var entry) || entry.Record.Checkpoint.IsFinished)
            {
                return Task.FromResult(false);
            }

            entry.Record = entry.Record with { CancelRequested = true };
            return Task.FromResult(true);
        }
    }

    /// <inheritdoc/>
    public Task<OperationRecord?> FindAsync(OperationId id, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            return Task.FromResult(_entries.GetValueOrDefault(id)?.Record);
        }
    }

    /// <inheritdoc/>
    public Task<OperationRecord?> FindByKeyAsync(string idempotencyKey, DateTimeOffset now, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            return Task.FromResult(FindKey(idempotencyKey, now));
        }
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<OperationRecord> ListAsync(OperationQuery query, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        List<OperationRecord> found;
        lock (_gate)
        {
            found =
            [
                .. _entries.Values
                    .Where(entry => !query.UnfinishedOnly || !entry.Record.Checkpoint.IsFinished)
                    .Where(entry => query.Target is null || entry.Record.Target == query.Target)
                    .OrderByDescending(entry => entry.Record.CreatedAt).ThenByDescending(entry => entry.Order)
                    .Select(entry => entry.Record).Take(query.Limit),
            ];
        }

        await Task.CompletedTask.ConfigureAwait(false);
        foreach (var record in found)
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return record;
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<LockRecord>> ListLocksAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            return Task.FromResult<IReadOnlyList<LockRecord>>([.. _locks]);
        }
    }

    /// <inheritdoc/>
    public Task<int> PruneAsync(DateTimeOffset finishedBefore, DateTimeOffset now, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            foreach (var entry in _entries.Values.Where(entry => entry.Record.KeyExpiresAt <= now))
            {
                entry.Record = entry.Record with { IdempotencyKey = null, KeyExpiresAt = null };
            }

            var old = _entries.Values.Select(entry => entry.Record)
                .Where(record => record.IdempotencyKey is null && record.Checkpoint.FinishedAt < finishedBefore).ToList();
            old.ForEach(record => _entries.Remove(record.Id));
            return Task.FromResult(old.Count);
        }
    }

    private OperationRecord? FindKey(string key, DateTimeOffset now) =>
        _entries.Values.Select(entry => entry.Record).FirstOrDefault(record => record.IdempotencyKey == key && record.KeyExpiresAt > now);

    private Entry Fenced(OperationLease lease)
    {
        ArgumentNullException.ThrowIfNull(lease);
        return _entries.TryGetValue(lease.Operation, out var entry) && entry.Record.Lease?.Token == lease.Token
            ? entry
            : throw new LeaseLostException(lease.Operation);
    }

    private sealed class Entry
    {
        public required OperationRecord Record { get; set; }

        public required long Token { get; set; }

        public required long Order { get; init; }
    }
}
