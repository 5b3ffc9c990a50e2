namespace Pengx.Data;

internal sealed class StorageLayerRepository(SqliteDatabase database, PendingChanges changes) : IStorageLayerRepository
{
    public Task<StorageLayer?> FindAsync(int id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.StorageLayers.Where(row => row.Id == id), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<StorageLayer>> ListByPmAsync(PmId pm, CancellationToken cancellationToken = default) =>
        database.ListAsync(context => context.StorageLayers.Where(row => row.Pm == pm.Value).OrderBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public Task<int> NextIdAsync(CancellationToken cancellationToken = default) =>
        database.NextNumberAsync(PengxContext.StorageLayersTable, context => context.StorageLayers.Select(row => row.Id), cancellationToken);

    public void Add(StorageLayer row) => changes.Add(StorageLayerRow.From(row));

    public void Update(StorageLayer row) => changes.Update(StorageLayerRow.From(row));

    public void Delete(StorageLayer row) => changes.Delete(StorageLayerRow.From(row));
}
