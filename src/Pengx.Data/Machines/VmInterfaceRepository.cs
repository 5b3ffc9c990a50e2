namespace Pengx.Data;

internal sealed class VmInterfaceRepository(SqliteDatabase database, PendingChanges changes) : IVmInterfaceRepository
{
    public Task<VmInterface?> FindAsync(VmInterfaceId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.VmInterfaces.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<VmInterface>> ListByVmAsync(VmId vm, CancellationToken cancellationToken = default) =>
        database.ListAsync(context => context.VmInterfaces.Where(row => row.Vm == vm.Value).OrderBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public IAsyncEnumerable<VmInterface> ListAsync(CancellationToken cancellationToken = default) =>
        database.StreamAsync(context => context.VmInterfaces.OrderBy(row => row.Vm).ThenBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public Task<VmInterface?> FindByMacAsync(MacAddress mac, CancellationToken cancellationToken = default)
    {
        var text = mac.ToString();
        return database.FindAsync(context => context.VmInterfaces.Where(row => row.Mac == text), row => row.ToModel(), cancellationToken);
    }

    public async Task<VmInterfaceId> NextIdAsync(CancellationToken cancellationToken = default) =>
        new(await database.NextNumberAsync(PengxContext.VmInterfacesTable, context => context.VmInterfaces.Select(row => row.Id), cancellationToken).ConfigureAwait(false));

    public void Add(VmInterface row) => changes.Add(VmInterfaceRow.From(row));

    public void Update(VmInterface row) => changes.Update(VmInterfaceRow.From(row));

    public void Delete(VmInterface row) => changes.Delete(VmInterfaceRow.From(row));
}
