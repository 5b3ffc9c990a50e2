namespace Pengx.Data;

internal sealed class BackupRepository(SqliteDatabase database, PendingChanges changes) : IBackupRepository
{
    public Task<Backup?> FindAsync(BackupId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Backups.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<Backup>> ListByVmAsync(VmId vm, CancellationToken cancellationToken = default) =>
        database.ListAsync(
            context => context.Backups.Where(row => row.Vm == vm.Value).OrderBy(row => row.CreatedAt).ThenBy(row => row.Id),
            row => row.ToModel(),
            cancellationToken);

    public void Add(Backup row) => changes.Add(BackupRow.From(row));

    public void Update(Backup row) => changes.Update(BackupRow.From(row));

    public void Delete(Backup row) => changes.Delete(BackupRow.From(row));
}
