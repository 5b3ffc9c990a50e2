namespace Pengx.Orchestration;

// Copies of machines, and their moves.
public sealed partial class VirtualMachines
{
    /// <summary>Copies a machine with its disks, as they are at one instant where it runs. The copy is shut down, stands alone, and has
    /// addresses and a VNC password of its own.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="request">What the copy shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CopyAsync(VmId id, CopyVirtualMachine request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var name = FieldRules.Name(request.Name);
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await UsableAsync(request.Storlink, cancellationToken).ConfigureAwait(false);
        await RefuseTakenNameAsync(name, null, cancellationToken).ConfigureAwait(false);
        await Freezing.DemandAsync(_place, id, machine.Name, cancellationToken).ConfigureAwait(false);
        var now = _place.Now;
        var state = new CopyMachineState
        {
            Source = FrozenMachine.Of(machine),
            Storlink = request.Storlink,
            Machine = CopyMachine.Derive(
                new VirtualMachine
                {
                    Id = VmId.New(),
                    Pm = _place.Host.Id,
                    Name = name,
                    Cpus = machine.Cpus,
                    Memory = machine.Memory,
                    MaxMemory = machine.MaxMemory,
                    VncPassword = NewVncPassword(),
                    CreatedAt = now,
                    UpdatedAt = now,
                },
                machine),
        };
        return await _operations.StartAsync(_workflows.CopyMachine, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Moves all disks of a machine to another storage link while its guest goes on, if it runs (the reference's
    /// <c>smigrate</c>). The disks are flattened and the machine's snapshots go; the operation's message lists them.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="storlink">The storage link that the disks shall lie on.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> MoveDisksAsync(VmId id, StorlinkId storlink, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await UsableAsync(storlink, cancellationToken).ConfigureAwait(false);
        var (_, old) = await _place.Store.ReadAsync(session => MoveDisks.ReadAsync(session, id, storlink, cancellationToken), cancellationToken).ConfigureAwait(false);
        await Freezing.DemandAsync(_place, id, machine.Name, cancellationToken).ConfigureAwait(false);
        var state = new MoveDisksState { Vm = id, VmName = machine.Name, Storlink = storlink, Sources = [.. old.Select(disk => disk.Storlink).Distinct()] };
        return await _operations.StartAsync(_workflows.MoveDisks, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Moves a machine to another PM that sees its disks (the reference's <c>migrate</c>): a running guest with all that is in
    /// its memory, a stopped one by name only. At no moment does it run on both.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="target">The PM.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> MigrateAsync(VmId id, PmId target, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        var pm = await MigrationRules.CheckAsync(_place, id, target, cancellationToken).ConfigureAwait(false);
        var state = new MigrateMachineState { Vm = id, VmName = machine.Name, Target = target, TargetName = pm.Name };
        return await _operations.StartAsync(_workflows.MigrateMachine, state, options, cancellationToken).ConfigureAwait(false);
    }

    private async Task UsableAsync(StorlinkId id, CancellationToken cancellationToken)
    {
        var storlink = await CopyMachine.FindStorlinkAsync(_place, id, cancellationToken).ConfigureAwait(false);
        await _place.Storage.Get(storlink).CheckAsync(storlink, cancellationToken).ConfigureAwait(false);
    }
}
