namespace Pengx.Orchestration;

/// <summary>The use cases of virtual machines' disks. See <see cref="VirtualMachines"/> for how verbs work.</summary>
public sealed class VirtualMachineDisks
{
    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;
    private readonly VirtualMachines _machines;

    internal VirtualMachineDisks(Workplace place, WorkflowCatalog workflows, IOperations operations, VirtualMachines machines)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _machines = machines;
    }

    /// <summary>A machine's current disks, in boot order.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<Disk>> ListAsync(VmId vm, CancellationToken cancellationToken = default) =>
        (await _machines.RowsAsync(vm, cancellationToken).ConfigureAwait(false)).Disks;

    /// <summary>One of a machine's current disks.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<Disk> GetAsync(VmId vm, DiskId disk, CancellationToken cancellationToken = default) =>
        (await ListAsync(vm, cancellationToken).ConfigureAwait(false)).FirstOrDefault(row => row.Id == disk)
        ?? throw new NotFoundException("disk", disk.ToString());

    /// <summary>Creates an empty disk and plugs it into the guest if it runs.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="request">What the disk shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(VmId vm, CreateDisk request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var size = FieldRules.DiskSize("size", request.SizeMiB);
        var description = FieldRules.Description(request.Description);
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var rows = await _machines.RowsAsync(vm, cancellationToken).ConfigureAwait(false);
        var storlink = await _place.Store.ReadAsync(session => session.Storlinks.FindAsync(request.Storlink, cancellationToken), cancellationToken).ConfigureAwait(false)
            ?? throw new NotFoundException("storlink", request.Storlink.ToString());
        var order = DiskRules.FreeOrder(rows);
        await _place.Storage.Get(storlink).CheckAsync(storlink, cancellationToken).ConfigureAwait(false);
        var state = new DiskState
        {
            Vm = vm,
            VmName = machine.Name,
            Disk = new Disk
            {
                Id = DiskId.New(),
                Owner = rows.DiskOwner,
                Order = order,
                Size = size,
                Format = request.Format ?? (rows.Disks is [var boot, ..] ? boot.Format : DiskFormat.Qcow2),
                Storlink = storlink.Id,
                Description = description,
                CreatedAt = _place.Now,
            },
        };
        return await _operations.StartAsync(_workflows.CreateDisk, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Unplugs a disk from the guest, if it runs, and deletes it; a guest that does not let it go keeps it, and the
    /// operation fails.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(VmId vm, DiskId disk, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var row = await GetAsync(vm, disk, cancellationToken).ConfigureAwait(false);
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        await DiskRules.RefuseWhatIsNeededAsync(_place, machine, row, cancellationToken).ConfigureAwait(false);
        var state = new DiskState { Vm = vm, VmName = machine.Name, Disk = row };
        return await _operations.StartAsync(_workflows.DeleteDisk, state, options, cancellationToken).ConfigureAwait(false);
    }
}
