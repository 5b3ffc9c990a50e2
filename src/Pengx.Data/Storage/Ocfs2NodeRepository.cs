namespace Pengx.Data;

internal sealed class Ocfs2NodeRepository(SqliteDatabase database, PendingChanges changes) : IOcfs2NodeRepository
{
    public Task<Ocfs2Node?> FindAsync(int id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Ocfs2Nodes.Where(row => row.Id == id), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<Ocfs2Node>> ListByStorageAsync(int storage, CancellationToken cancellationToken = default) =>
        database.ListAsync(context => context.Ocfs2Nodes.Where(row => row.Storage == storage).OrderBy(row => row.Number), row => row.ToModel(), cancellationToken);

    public Task<int> NextIdAsync(CancellationToken cancellationToken = default) =>
        database.NextNumberAsync(PengxContext.Ocfs2NodesTable, context => context.Ocfs2Nodes.Select(row => row.Id), cancellationToken);

    public void Add(Ocfs2Node row) => changes.Add(Ocfs2NodeRow.From(row));

    public void Update(Ocfs2Node row) => changes.Update(Ocfs2NodeRow.From(row));

    public void Delete(Ocfs2Node row) => changes.Delete(Ocfs2NodeRow.From(row));
}
