namespace Pengx.Data;

internal sealed class DnsRepository(SqliteDatabase database, PendingChanges changes) : IDnsRepository
{
    public Task<DnsServers?> FindAsync(int id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Dns.Where(row => row.Id == id), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<DnsServers>> ListByPmAsync(PmId pm, CancellationToken cancellationToken = default) =>
        database.ListAsync(context => context.Dns.Where(row => row.Pm == pm.Value).OrderBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public Task<int> NextIdAsync(CancellationToken cancellationToken = default) =>
        database.NextNumberAsync(PengxContext.DnsTable, context => context.Dns.Select(row => row.Id), cancellationToken);

    public void Add(DnsServers row) => changes.Add(DnsRow.From(row));

    public void Update(DnsServers row) => changes.Update(DnsRow.From(row));

    public void Delete(DnsServers row) => changes.Delete(DnsRow.From(row));
}
