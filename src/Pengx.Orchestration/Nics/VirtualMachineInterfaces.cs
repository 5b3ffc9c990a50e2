namespace Pengx.Orchestration;

/// <summary>The use cases of virtual machines' network interfaces. See <see cref="VirtualMachines"/> for how verbs work.</summary>
public sealed class VirtualMachineInterfaces
{
    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;
    private readonly VirtualMachines _machines;

    internal VirtualMachineInterfaces(Workplace place, WorkflowCatalog workflows, IOperations operations, VirtualMachines machines)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _machines = machines;
    }

    /// <summary>A machine's interfaces; deleted ones that a running guest still holds are left out.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<VmInterface>> ListAsync(VmId vm, CancellationToken cancellationToken = default) =>
        [.. (await _machines.RowsAsync(vm, cancellationToken).ConfigureAwait(false)).Interfaces.Where(nic => !nic.Retired)];

    /// <summary>One of a machine's interfaces.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="id">The interface.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<VmInterface> GetAsync(VmId vm, VmInterfaceId id, CancellationToken cancellationToken = default) =>
        (await ListAsync(vm, cancellationToken).ConfigureAwait(false)).FirstOrDefault(nic => nic.Id == id)
        ?? throw new NotFoundException("interface", id.ToString());

    /// <summary>Creates an interface with a fresh MAC address and plugs it into the guest if it runs.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(VmId vm, CreateInterface request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var name = FieldRules.Switch("interface_name", request.Switch);
        var address = request.IpAddress is null ? null : FieldRules.IpAddress(request.IpAddress);
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var rows = await _machines.RowsAsync(vm, cancellationToken).ConfigureAwait(false);
        var nic = await _place.Store.ReadAsync(
            async session => new VmInterface
            {
                Mac = (await InterfaceRules.FreshMacsAsync(session, 1, cancellationToken).ConfigureAwait(false))[0],
                Id = await session.VmInterfaces.NextIdAsync(cancellationToken).ConfigureAwait(false),
                Vm = vm,
                Name = InterfaceRules.FreeName(rows.Interfaces),
                Switch = name,
                IpAddress = address,
            },
            cancellationToken).ConfigureAwait(false);
        return await _operations.StartAsync(_workflows.CreateInterface, new InterfaceState { VmName = machine.Name, Interface = nic }, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Notes an interface's address. The guest is not touched.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="id">The interface.</param>
    /// <param name="request">What to note.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> UpdateAsync(VmId vm, VmInterfaceId id, UpdateInterface request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var address = FieldRules.IpAddress(request.IpAddress);
        await GetAsync(vm, id, cancellationToken).ConfigureAwait(false);
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var state = new UpdateInterfaceState { Vm = vm, VmName = machine.Name, Interface = id, IpAddress = address };
        return await _operations.StartAsync(_workflows.UpdateInterface, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes an interface from the row and the stored configuration. A running guest keeps the device, and the MAC address
    /// stays reserved, until the next power-off.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="id">The interface.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(VmId vm, VmInterfaceId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var nic = await GetAsync(vm, id, cancellationToken).ConfigureAwait(false);
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        return await _operations.StartAsync(_workflows.DeleteInterface, new InterfaceState { VmName = machine.Name, Interface = nic }, options, cancellationToken).ConfigureAwait(false);
    }
}
