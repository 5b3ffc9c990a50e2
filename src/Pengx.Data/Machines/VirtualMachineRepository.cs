namespace Pengx.Data;

internal sealed class VirtualMachineRepository(SqliteDatabase database, PendingChanges changes) : IVirtualMachineRepository
{
    public Task<VirtualMachine?> FindAsync(VmId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.VirtualMachines.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public IAsyncEnumerable<VirtualMachine> ListAsync(CancellationToken cancellationToken = default) =>
        database.StreamAsync(context => context.VirtualMachines.OrderBy(row => row.CreatedAt).ThenBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public Task<VirtualMachine?> FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.VirtualMachines.Where(row => row.Pm == pm.Value && row.Name == name), row => row.ToModel(), cancellationToken);

    public Task<IReadOnlyList<VirtualMachine>> ListByTemplateAsync(TemplateId template, CancellationToken cancellationToken = default) =>
        database.ListAsync(
            context => context.VirtualMachines.Where(row => row.Template == template.Value).OrderBy(row => row.CreatedAt).ThenBy(row => row.Id),
            row => row.ToModel(),
            cancellationToken);

    public void Add(VirtualMachine row) => changes.Add(VirtualMachineRow.From(row));

    public void Update(VirtualMachine row) => changes.Update(VirtualMachineRow.From(row));

    public void Delete(VirtualMachine row) => changes.Delete(VirtualMachineRow.From(row));
}
