using System.Runtime.CompilerServices;

namespace Pengx.Data;

internal sealed class VirtualMachineRepository(SqliteDatabase database, PendingChanges changes) : IVirtualMachineRepository
{
    public Task<VirtualMachine?> FindAsync(VmId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.VirtualMachines.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public IAsyncEnumerable<VirtualMachine> ListAsync(CancellationToken cancellationToken = default) =>
        database.StreamAsync(context => context.VirtualMachines.OrderBy(row => row.CreatedAt).ThenBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public async IAsyncEnumerable<VirtualMachineDevices> ListWithDevicesAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        // Each list comes in the machines' order, so that all are read side by side, and nothing is held but the machine at hand. The outer
        // joins keep SQLite from going through the disks first and sorting all of them before it gives out one.
        var own = Stored.DiskOwners[DiskOwnerKind.Vm];
        var frozen = Stored.DiskOwners[DiskOwnerKind.Snapshot];
        var run = Stored.SnapshotKinds[SnapshotKind.Run];
        var disks = new MachineOrder<Disk>(database.StreamAsync(
            context => from vm in context.VirtualMachines
                       join owned in context.Disks on new { Id = vm.Id, Kind = own } equals new { Id = owned.OwnerId, Kind = owned.OwnerKind } into disksOfVm
                       from disk in disksOfVm.DefaultIfEmpty()
                       orderby vm.CreatedAt, vm.Id, disk!.Order, disk.Id
                       select new { vm.CreatedAt, vm.Id, Disk = disk },
            row => (row.CreatedAt, row.Id, row.Disk?.ToModel()),
            cancellationToken).GetAsyncEnumerator(cancellationToken));
        await using var ownDisks = disks.ConfigureAwait(false);
        var runDisks = new MachineOrder<Disk>(database.StreamAsync(
            context => from vm in context.VirtualMachines
                       join taken in context.Snapshots on new { Id = vm.Id, Kind = run } equals new { Id = taken.Vm, taken.Kind } into snapshotsOfVm
                       from snapshot in snapshotsOfVm.DefaultIfEmpty()
                       join owned in context.Disks on new { Id = (Guid?)snapshot!.Id, Kind = frozen } equals new { Id = (Guid?)owned.OwnerId, Kind = owned.OwnerKind } into disksOfSnapshot
                       from disk in disksOfSnapshot.DefaultIfEmpty()
                       orderby vm.CreatedAt, vm.Id, disk!.Order, disk.Id
                       select new { vm.CreatedAt, vm.Id, Disk = disk },
            row => (row.CreatedAt, row.Id, row.Disk?.ToModel()),
            cancellationToken).GetAsyncEnumerator(cancellationToken));
        await using var ofRunSnapshots = runDisks.ConfigureAwait(false);
        var interfaces = new MachineOrder<VmInterface>(database.StreamAsync(
            context => from vm in context.VirtualMachines
                       join nic in context.VmInterfaces on vm.Id equals nic.Vm
                       orderby vm.CreatedAt, vm.Id, nic.Id
                       select new { vm.CreatedAt, vm.Id, Interface = nic },
            row => (row.CreatedAt, row.Id, (VmInterface?)row.Interface.ToModel()),
            cancellationToken).GetAsyncEnumerator(cancellationToken));
        await using var nics = interfaces.ConfigureAwait(false);
        await foreach (var machine in ListAsync(cancellationToken).ConfigureAwait(false))
        {
            var key = (machine.CreatedAt.UtcTicks, machine.Id.Value);
            var running = await runDisks.TakeAsync(key).ConfigureAwait(false);
            var stored = await disks.TakeAsync(key).ConfigureAwait(false);
            yield return new VirtualMachineDevices
            {
                Machine = machine,
                Disks = running.Count > 0 ? running : stored,
                Interfaces = await interfaces.TakeAsync(key).ConfigureAwait(false),
            };
        }
    }

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
