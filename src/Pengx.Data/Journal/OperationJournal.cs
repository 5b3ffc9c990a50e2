using Microsoft.EntityFrameworkCore;
using Pengx.Orchestration;

namespace Pengx.Data;

/// <summary>The journal in the same file as the objects. Each change is one transaction under SQLite's write lock, hence
/// serializable; each write of an owner is one UPDATE that its lease's token must match.</summary>
internal sealed class OperationJournal(SqliteDatabase database) : IOperationJournal
{
    private const int FirstFinishedState = (int)OperationState.Succeeded;

    public Task<JournalAdmission> AddAsync(
        OperationRecord operation, IReadOnlyList<ResourceLock> locks, DateTimeOffset leaseExpiresAt, CancellationToken cancellationToken = default) =>
        database.WriteAsync(
            async (context, token) =>
            {
                if (operation.IdempotencyKey is { } key)
                {
                    await ForgetKeysAsync(context.Operations.Where(row => row.IdempotencyKey == key), operation.CreatedAt, token).ConfigureAwait(false);
                    if (await context.Operations.AsNoTracking().FirstOrDefaultAsync(row => row.IdempotencyKey == key, token).ConfigureAwait(false) is { } existing)
                    {
                        return JournalAdmission.Known(existing.ToRecord());
                    }
                }

                if (await FindConflictAsync(context, locks, token).ConfigureAwait(false) is { } conflict)
                {
                    return JournalAdmission.Locked(conflict);
                }

                var lease = new OperationLease(operation.Id, operation.Pm, 1, leaseExpiresAt);
                context.Add(OperationRow.From(operation, lease));
                context.AddRange(locks.Select(wanted => new OperationLockRow
                {
                    Resource = wanted.Resource, Operation = operation.Id.Value, Shared = wanted.Shared,
                }));
                await context.SaveChangesAsync(token).ConfigureAwait(false);
                return JournalAdmission.Added(lease);
            },
            cancellationToken);

    public Task<OperationRecord?> ClaimAsync(
        OperationId id, PmId owner, DateTimeOffset now, DateTimeOffset expiresAt, bool ownToo, CancellationToken cancellationToken = default) =>
        database.WriteAsync(
            async (context, token) =>
            {
                var claimed = await context.Operations
                    .Where(row => row.Id == id.Value && row.State < FirstFinishedState)
                    .Where(row => row.LeaseOwner == null || row.LeaseExpiresAt <= now.UtcTicks || (ownToo && row.LeaseOwner == owner.Value))
                    .ExecuteUpdateAsync(
                        row => row
                            .SetProperty(known => known.LeaseOwner, owner.Value)
                            .SetProperty(known => known.LeaseToken, known => known.LeaseToken + 1)
                            .SetProperty(known => known.LeaseExpiresAt, expiresAt.UtcTicks),
                        token).ConfigureAwait(false);
                return claimed == 0 ? null : await FindAsync(context, id, token).ConfigureAwait(false);
            },
            cancellationToken);

    public Task<bool> RenewAsync(OperationLease lease, DateTimeOffset expiresAt, CancellationToken cancellationToken = default) =>
        database.WriteAsync(
            async (context, token) =>
            {
                var renewed = await Held(context, lease)
                    .ExecuteUpdateAsync(row => row.SetProperty(known => known.LeaseExpiresAt, expiresAt.UtcTicks), token).ConfigureAwait(false);
                ThrowIfLost(renewed, lease);
                return await Held(context, lease).Select(row => row.CancelRequested).SingleAsync(token).ConfigureAwait(false);
            },
            cancellationToken);

    public Task ReleaseAsync(OperationLease lease, CancellationToken cancellationToken = default) =>
        database.WriteAsync(
            (context, token) => Held(context, lease).ExecuteUpdateAsync(
                row => row.SetProperty(known => known.LeaseOwner, (Guid?)null).SetProperty(known => known.LeaseExpiresAt, (long?)null), token),
            cancellationToken);

    public Task SaveAsync(OperationLease lease, OperationCheckpoint checkpoint, CancellationToken cancellationToken = default) =>
        database.WriteAsync(
            async (context, token) =>
            {
                var finished = checkpoint.IsFinished;
                var saved = await Held(context, lease).ExecuteUpdateAsync(
                    row => row
                        .SetProperty(known => known.State, (int)checkpoint.State)
                        .SetProperty(known => known.StateJson, checkpoint.StateJson)
                        .SetProperty(known => known.NeedsAttention, checkpoint.NeedsAttention)
                        .SetProperty(known => known.AttentionMessage, checkpoint.AttentionMessage)
                        .SetProperty(known => known.Direction, (int)checkpoint.Direction)
                        .SetProperty(known => known.Position, checkpoint.Position)
                        .SetProperty(known => known.StepStarted, checkpoint.StepStarted)
                        .SetProperty(known => known.Step, checkpoint.Step)
                        .SetProperty(known => known.Progress, checkpoint.Progress)
                        .SetProperty(known => known.BytesDone, checkpoint.BytesDone)
                        .SetProperty(known => known.BytesTotal, checkpoint.BytesTotal)
                        .SetProperty(known => known.Message, checkpoint.Message)
                        .SetProperty(known => known.Error, (int?)checkpoint.Error)
                        .SetProperty(known => known.Created, checkpoint.Created)
                        .SetProperty(known => known.FinishedAt, Ticks(checkpoint.FinishedAt))
                        .SetProperty(known => known.LeaseOwner, known => finished ? null : known.LeaseOwner)
                        .SetProperty(known => known.LeaseExpiresAt, known => finished ? null : known.LeaseExpiresAt),
                    token).ConfigureAwait(false);
                ThrowIfLost(saved, lease);
                if (finished)
                {
                    await context.OperationLocks.Where(row => row.Operation == lease.Operation.Value).ExecuteDeleteAsync(token).ConfigureAwait(false);
                }
            },
            cancellationToken);

    public Task<bool> RequestCancelAsync(OperationId id, CancellationToken cancellationToken = default) =>
        database.WriteAsync(
            async (context, token) => await context.Operations
                .Where(row => row.Id == id.Value && row.State < FirstFinishedState)
                .ExecuteUpdateAsync(row => row.SetProperty(known => known.CancelRequested, true), token).ConfigureAwait(false) > 0,
            cancellationToken);

    public Task<OperationRecord?> FindAsync(OperationId id, CancellationToken cancellationToken = default) =>
        database.ReadAsync((context, token) => FindAsync(context, id, token), cancellationToken);

    public Task<OperationRecord?> FindByKeyAsync(string idempotencyKey, DateTimeOffset now, CancellationToken cancellationToken = default) =>
        database.FindAsync(
            context => context.Operations.Where(row => row.IdempotencyKey == idempotencyKey && row.KeyExpiresAt > now.UtcTicks),
            row => row.ToRecord(),
            cancellationToken);

    public IAsyncEnumerable<OperationRecord> ListAsync(OperationQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        return database.StreamAsync(
            context =>
            {
                IQueryable<OperationRow> rows = context.Operations;
                if (query.UnfinishedOnly)
                {
                    rows = rows.Where(row => row.State < FirstFinishedState);
                }

                if (query.Target is { } target)
                {
                    rows = rows.Where(row => row.Target == target);
                }

                return rows.OrderByDescending(row => row.CreatedAt).ThenByDescending(row => row.Sequence).Take(query.Limit);
            },
            row => row.ToRecord(),
            cancellationToken);
    }

    public Task<IReadOnlyList<LockRecord>> ListLocksAsync(CancellationToken cancellationToken = default) =>
        database.ListAsync(
            context => context.OperationLocks.OrderBy(row => row.Resource).ThenBy(row => row.Operation),
            row => new LockRecord(row.Resource, row.Shared, new(row.Operation)),
            cancellationToken);

    public Task<int> PruneAsync(DateTimeOffset finishedBefore, DateTimeOffset now, CancellationToken cancellationToken = default) =>
        database.WriteAsync(
            async (context, token) =>
            {
                await ForgetKeysAsync(context.Operations, now, token).ConfigureAwait(false);
                return await context.Operations
                    .Where(row => row.FinishedAt < finishedBefore.UtcTicks && row.IdempotencyKey == null)
                    .ExecuteDeleteAsync(token).ConfigureAwait(false);
            },
            cancellationToken);

    private static IQueryable<OperationRow> Held(PengxContext context, OperationLease lease) => context.Operations.Where(row =>
        row.Id == lease.Operation.Value && row.LeaseToken == lease.Token && row.LeaseOwner == lease.Owner.Value && row.State < FirstFinishedState);

    private static void ThrowIfLost(int changed, OperationLease lease)
    {
        if (changed == 0)
        {
            throw new LeaseLostException(lease.Operation);
        }
    }

    private static Task<int> ForgetKeysAsync(IQueryable<OperationRow> operations, DateTimeOffset now, CancellationToken cancellationToken) =>
        operations.Where(row => row.IdempotencyKey != null && row.KeyExpiresAt <= now.UtcTicks).ExecuteUpdateAsync(
            row => row.SetProperty(known => known.IdempotencyKey, (string?)null).SetProperty(known => known.KeyExpiresAt, (long?)null), cancellationToken);

    private static async Task<LockConflict?> FindConflictAsync(PengxContext context, IReadOnlyList<ResourceLock> locks, CancellationToken cancellationToken)
    {
        var resources = locks.Select(wanted => wanted.Resource).ToArray();
        var held = await context.OperationLocks.AsNoTracking().Where(row => resources.Contains(row.Resource)).ToListAsync(cancellationToken).ConfigureAwait(false);
        foreach (var wanted in locks)
        {
            if (held.Find(other => other.Resource == wanted.Resource && !(other.Shared && wanted.Shared)) is { } blocking)
            {
                var holder = await context.Operations.AsNoTracking().SingleAsync(row => row.Id == blocking.Operation, cancellationToken).ConfigureAwait(false);
                return new(wanted.Resource, holder.ToRecord());
            }
        }

        return null;
    }

    private static async Task<OperationRecord?> FindAsync(PengxContext context, OperationId id, CancellationToken cancellationToken) =>
        (await context.Operations.AsNoTracking().FirstOrDefaultAsync(row => row.Id == id.Value, cancellationToken).ConfigureAwait(false))?.ToRecord();

    private static long? Ticks(DateTimeOffset? time) => time?.UtcTicks;
}
