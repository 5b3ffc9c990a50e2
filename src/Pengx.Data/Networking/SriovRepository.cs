namespace Pengx.Data;

internal sealed class SriovRepository(SqliteDatabase database, PendingChanges changes) : ISriovRepository
{
    public Task<SriovCard?> FindAsync(int id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.SriovCards.Where(row => row.Id == id), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<SriovCard>> ListByPmAsync(PmId pm, CancellationToken cancellationToken = default) =>
        database.ListAsync(context => context.SriovCards.Where(row => row.Pm == pm.Value).OrderBy(row => row.PhysicalFunction), row => row.ToModel(), cancellationToken);

    public Task<int> NextIdAsync(CancellationToken cancellationToken = default) =>
        database.NextNumberAsync(PengxContext.SriovTable, context => context.SriovCards.Select(row => row.Id), cancellationToken);

    public void Add(SriovCard row) => changes.Add(SriovRow.From(row));

    public void Update(SriovCard row) => changes.Update(SriovRow.From(row));

    public void Delete(SriovCard row) => changes.Delete(SriovRow.From(row));
}
