using Microsoft.EntityFrameworkCore;

namespace Pengx.Data;

/// <summary>What a session was told to change, in order; applied in one transaction when it is saved.</summary>
internal sealed class PendingChanges
{
    private readonly List<Func<PengxContext, CancellationToken, Task>> _changes = [];

    public bool Any => _changes.Count > 0;

    public void Add<TRow>(TRow row)
        where TRow : Row
    {
        row.Revision = 0;
        _changes.Add((context, _) =>
        {
            context.Add(row);
            return Task.CompletedTask;
        });
    }

    public void Update<TRow>(TRow row)
        where TRow : Row =>
        _changes.Add(async (context, cancellationToken) =>
        {
            var stored = await FindAsync(context, row, cancellationToken).ConfigureAwait(false);
            var entry = context.Entry(stored);
            entry.CurrentValues.SetValues(row);
            if (entry.State != EntityState.Added)
            {
                stored.Revision = row.Revision + 1;
            }
        });

    public void Delete<TRow>(TRow row)
        where TRow : Row =>
        _changes.Add(async (context, cancellationToken) =>
            context.Remove(await FindAsync(context, row, cancellationToken).ConfigureAwait(false)));

    public async Task ApplyAsync(PengxContext context, CancellationToken cancellationToken)
    {
        foreach (var change in _changes)
        {
            await change(context, cancellationToken).ConfigureAwait(false);
        }
    }

    public void Clear() => _changes.Clear();

    // The transaction holds SQLite's only write lock, so a revision that is right here is still right when it commits.
    private static async Task<TRow> FindAsync<TRow>(PengxContext context, TRow row, CancellationToken cancellationToken)
        where TRow : Row
    {
        var stored = await context.FindAsync<TRow>([row.Key], cancellationToken).ConfigureAwait(false);
        if (stored is null || context.Entry(stored).State == EntityState.Deleted)
        {
            throw new ConcurrencyException($"The {row.Title} was deleted by another in between; nothing was changed. Read it again and decide anew.");
        }

        var revision = context.Entry(stored).Property(known => known.Revision).OriginalValue;
        return revision == row.Revision
            ? stored
            : throw new ConcurrencyException($"The {row.Title} was changed by another in between (revision {revision}, expected {row.Revision}); nothing was changed. Read it again and decide anew.");
    }
}
