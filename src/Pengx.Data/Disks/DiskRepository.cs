namespace Pengx.Data;

internal sealed class DiskRepository(SqliteDatabase database, PendingChanges changes) : IDiskRepository
{
    public Task<Disk?> FindAsync(DiskId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Disks.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<Disk>> ListByOwnerAsync(DiskOwner owner, CancellationToken cancellationToken = default)
    {
        var kind = Stored.DiskOwners[owner.Kind];
        return database.ListAsync(
            context => context.Disks.Where(row => row.OwnerId == owner.Id && row.OwnerKind == kind).OrderBy(row => row.Order).ThenBy(row => row.Id),
            row => row.ToModel(),
            cancellationToken);
    }

    public Task<IReadOnlyList<Disk>> ListByStorlinkAsync(StorlinkId storlink, CancellationToken cancellationToken = default) =>
        database.ListAsync(context => context.Disks.Where(row => row.Storlink == storlink.Value).OrderBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<Disk>> ListByBackingAsync(DiskId backing, CancellationToken cancellationToken = default) =>
        database.ListAsync(context => context.Disks.Where(row => row.Backing == backing.Value).OrderBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public IAsyncEnumerable<Disk> ListAsync(DiskOwnerKind kind, CancellationToken cancellationToken = default)
    {
        var text = Stored.DiskOwners[kind];
        return database.StreamAsync(
            context => context.Disks.Where(row => row.OwnerKind == text).OrderBy(row => row.OwnerId).ThenBy(row => row.Order).ThenBy(row => row.Id),
            row => row.ToModel(),
            cancellationToken);
    }

    public void Add(Disk row) => changes.Add(DiskRow.From(row));

    public void Update(Disk row) => changes.Update(DiskRow.From(row));

    public void Delete(Disk row) => changes.Delete(DiskRow.From(row));
}
