namespace Pengx.Data;

internal sealed class SnapshotRepository(SqliteDatabase database, PendingChanges changes) : ISnapshotRepository
{
    public Task<Snapshot?> FindAsync(SnapshotId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Snapshots.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<Snapshot>> ListByVmAsync(VmId vm, CancellationToken cancellationToken = default) =>
        database.ListAsync(
            context => context.Snapshots.Where(row => row.Vm == vm.Value).OrderBy(row => row.CreatedAt).ThenBy(row => row.Id),
            row => row.ToModel(),
            cancellationToken);

    public void Add(Snapshot row) => changes.Add(SnapshotRow.From(row));

    public void Update(Snapshot row) => changes.Update(SnapshotRow.From(row));

    public void Delete(Snapshot row) => changes.Delete(SnapshotRow.From(row));
}
