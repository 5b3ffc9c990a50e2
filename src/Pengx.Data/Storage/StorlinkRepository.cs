namespace Pengx.Data;

internal sealed class StorlinkRepository(SqliteDatabase database, PendingChanges changes) : IStorlinkRepository
{
    public Task<Storlink?> FindAsync(StorlinkId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Storlinks.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public IAsyncEnumerable<Storlink> ListAsync(CancellationToken cancellationToken = default) =>
        database.StreamAsync(context => context.Storlinks.OrderBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public Task<Storlink?> FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Storlinks.Where(row => row.Pm == pm.Value && row.Name == name), row => row.ToModel(), cancellationToken);

    public async Task<StorlinkId> NextIdAsync(CancellationToken cancellationToken = default) =>
        new(await database.NextNumberAsync(PengxContext.StorlinksTable, context => context.Storlinks.Select(row => row.Id), cancellationToken).ConfigureAwait(false));

    public void Add(Storlink row) => changes.Add(StorlinkRow.From(row));

    public void Update(Storlink row) => changes.Update(StorlinkRow.From(row));

    public void Delete(Storlink row) => changes.Delete(StorlinkRow.From(row));
}
