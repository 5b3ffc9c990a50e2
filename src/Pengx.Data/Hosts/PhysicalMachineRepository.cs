namespace Pengx.Data;

internal sealed class PhysicalMachineRepository(SqliteDatabase database, PendingChanges changes) : IPhysicalMachineRepository
{
    public Task<PhysicalMachine?> FindAsync(PmId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.PhysicalMachines.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public IAsyncEnumerable<PhysicalMachine> ListAsync(CancellationToken cancellationToken = default) =>
        database.StreamAsync(context => context.PhysicalMachines.OrderBy(row => row.Name).ThenBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public void Add(PhysicalMachine row) => changes.Add(PhysicalMachineRow.From(row));

    public void Update(PhysicalMachine row) => changes.Update(PhysicalMachineRow.From(row));

    public void Delete(PhysicalMachine row) => changes.Delete(PhysicalMachineRow.From(row));
}
