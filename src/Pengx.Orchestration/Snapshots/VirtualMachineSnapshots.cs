namespace Pengx.Orchestration;

/// <summary>The use cases of virtual machines' snapshots. See <see cref="VirtualMachines"/> for how verbs work.</summary>
/// <remarks>A machine with snapshots runs on one overlay per disk, which is empty when a snapshot has just been taken or restored. Snapshots
/// form a tree; what lies beneath one never changes.</remarks>
public sealed class VirtualMachineSnapshots
{
    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;
    private readonly VirtualMachines _machines;

    internal VirtualMachineSnapshots(Workplace place, WorkflowCatalog workflows, IOperations operations, VirtualMachines machines)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _machines = machines;
    }

    /// <summary>A machine's saved snapshots, by creation; each one's parent is the snapshot that it was taken on.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<Snapshot>> ListAsync(VmId vm, CancellationToken cancellationToken = default)
    {
        var rows = await SnapshotRows.ReadAsync(_place, vm, cancellationToken).ConfigureAwait(false);
        return [.. rows.Snapshots.Where(snapshot => snapshot.IsListed).Select(rows.Shown)];
    }

    /// <summary>One of a machine's saved snapshots.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<Snapshot> GetAsync(VmId vm, SnapshotId snapshot, CancellationToken cancellationToken = default)
    {
        var rows = await SnapshotRows.ReadAsync(_place, vm, cancellationToken).ConfigureAwait(false);
        return rows.Shown(rows.Listed(snapshot));
    }

    /// <summary>The snapshot that a machine stands on: the one it was taken last, restored to or started with.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns><see langword="null"/> for a machine without snapshots.</returns>
    public async Task<Snapshot?> FindCurrentAsync(VmId vm, CancellationToken cancellationToken = default)
    {
        var rows = await SnapshotRows.ReadAsync(_place, vm, cancellationToken).ConfigureAwait(false);
        var shown = rows.Run is { } run ? rows.Shown(run).Parent : null;
        return rows.Snapshots.FirstOrDefault(snapshot => snapshot.Id == shown) is { } current ? rows.Shown(current) : null;
    }

    /// <summary>The frozen disks of a snapshot, in boot order.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<Disk>> ListDisksAsync(VmId vm, SnapshotId snapshot, CancellationToken cancellationToken = default)
    {
        var rows = await SnapshotRows.ReadAsync(_place, vm, cancellationToken).ConfigureAwait(false);
        return rows.DisksOf(rows.Listed(snapshot).Id);
    }

    /// <summary>Takes a snapshot of a machine in any state: all its disks at one instant.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(VmId vm, CreateSnapshot request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var name = FieldRules.Name(request.Name);
        var description = FieldRules.Description(request.Description);
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var rows = await SnapshotRows.ReadAsync(_place, vm, cancellationToken).ConfigureAwait(false);
        if (request is { Memory: true, Quiesce: true })
        {
            throw new InvalidFieldException("quiesce", "true", "with the guest's memory its file systems cannot be frozen: they would still be when it goes on");
        }

        var id = SnapshotId.New();
        var memory = request.Memory ? (await CreateMachineSnapshot.PlanMemoryAsync(_place, machine, id, request.Storlink, cancellationToken).ConfigureAwait(false)).Size : DataSize.Zero;
        await SnapshotRules.DemandRoomAsync(_place, rows, name, request.Storlink, memory, cancellationToken).ConfigureAwait(false);
        if (await _place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false))
        {
            _place.LiveDisks(machine.Name);
        }

        var state = new CreateSnapshotState
        {
            Vm = vm,
            VmName = machine.Name,
            Storlink = request.Storlink,
            Storlinks = Storlinks(rows),
            Quiesce = request.Quiesce,
            WithMemory = request.Memory,
            Snapshot = new Snapshot { Id = id, Vm = vm, Kind = SnapshotKind.Saved, Name = name, Description = description, CreatedAt = _place.Now },
        };
        return await _operations.StartAsync(_workflows.CreateSnapshot, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a snapshot at any place of the tree, of a machine in any state. What others need of its disks is merged into
    /// theirs, or kept hidden while there are several.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    /// <exception cref="InUseException">Something that is not the machine's lies on its disks.</exception>
    public async Task<Operation> DeleteAsync(VmId vm, SnapshotId snapshot, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var rows = await SnapshotRows.ReadAsync(_place, vm, cancellationToken).ConfigureAwait(false);
        var row = rows.Listed(snapshot);
        rows.RefuseForeign(rows.DisksOf(snapshot));
        var state = new DeleteSnapshotState { Vm = vm, VmName = machine.Name, Snapshot = row, Storlinks = Storlinks(rows) };
        return await _operations.StartAsync(_workflows.DeleteSnapshot, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Brings a machine that is shut down back to a snapshot. What it wrote since is lost; its snapshots stay.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> RestoreAsync(VmId vm, SnapshotId snapshot, OperationRequest? options = null, CancellationToken cancellationToken = default) =>
        await _operations.StartAsync(_workflows.RestoreSnapshot, await PrepareAsync(vm, snapshot, cancellationToken).ConfigureAwait(false), options, cancellationToken).ConfigureAwait(false);

    /// <summary>Starts a machine that is shut down at a snapshot: with the memory that was kept with it, it goes on from there; without,
    /// it boots. What it wrote since is kept as another snapshot, whose name the operation's message tells. (To boot it at a snapshot with
    /// memory, restore and start it.)</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> StartAsync(VmId vm, SnapshotId snapshot, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var state = await PrepareAsync(vm, snapshot, cancellationToken).ConfigureAwait(false);
        if ((await GetAsync(vm, snapshot, cancellationToken).ConfigureAwait(false)).HasMemory)
        {
            _place.GuestMemory(state.Guest.Name);
        }

        await _machines.DemandMemoryAsync(await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        return await _operations.StartAsync(_workflows.StartSnapshot, state, options, cancellationToken).ConfigureAwait(false);
    }

    private static IReadOnlyList<StorlinkId> Storlinks(SnapshotRows rows) => [.. rows.Disks.Select(disk => disk.Storlink).Distinct()];

    private async Task<RestoreSnapshotState> PrepareAsync(VmId vm, SnapshotId snapshot, CancellationToken cancellationToken)
    {
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var rows = await SnapshotRows.ReadAsync(_place, vm, cancellationToken).ConfigureAwait(false);
        var row = rows.Saved(snapshot);
        await _machines.StateAsync(machine, cancellationToken, VmState.Shutdown, VmState.Crashed).ConfigureAwait(false);
        foreach (var disk in rows.DisksOf(snapshot))
        {
            await SnapshotRules.DemandDepthAsync(_place, rows, disk, cancellationToken).ConfigureAwait(false);
        }

        return new RestoreSnapshotState { Guest = GuestRef.Of(machine), Snapshot = row, Storlinks = Storlinks(rows) };
    }
}
