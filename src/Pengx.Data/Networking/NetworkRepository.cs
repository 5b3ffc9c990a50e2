namespace Pengx.Data;

internal sealed class NetworkRepository(SqliteDatabase database, PendingChanges changes) : INetworkRepository
{
    public Task<Network?> FindAsync(int id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Networks.Where(row => row.Id == id), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<Network>> ListByPmAsync(PmId pm, CancellationToken cancellationToken = default) =>
        database.ListAsync(
            context => context.Networks.Where(row => row.Pm == pm.Value).OrderBy(row => row.Name).ThenBy(row => row.Id),
            row => row.ToModel(),
            cancellationToken);

    public Task<int> NextIdAsync(CancellationToken cancellationToken = default) =>
        database.NextNumberAsync(PengxContext.NetworksTable, context => context.Networks.Select(row => row.Id), cancellationToken);

    public void Add(Network row) => changes.Add(NetworkRow.From(row));

    public void Update(Network row) => changes.Update(NetworkRow.From(row));

    public void Delete(Network row) => changes.Delete(NetworkRow.From(row));
}
