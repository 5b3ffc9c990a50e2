namespace Pengx.Orchestration;

/// <summary>The use cases of virtual machines' backups. See <see cref="VirtualMachines"/> for how verbs work.</summary>
public sealed class VirtualMachineBackups
{
    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;
    private readonly VirtualMachines _machines;

    internal VirtualMachineBackups(Workplace place, WorkflowCatalog workflows, IOperations operations, VirtualMachines machines)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _machines = machines;
    }

    /// <summary>A machine's backups, by creation.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<Backup>> ListAsync(VmId vm, CancellationToken cancellationToken = default)
    {
        await _machines.RowsAsync(vm, cancellationToken).ConfigureAwait(false);
        return await _place.Store.ReadAsync(session => session.Backups.ListByVmAsync(vm, cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>One of a machine's backups.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="backup">The backup.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<Backup> GetAsync(VmId vm, BackupId backup, CancellationToken cancellationToken = default)
    {
        await _machines.RowsAsync(vm, cancellationToken).ConfigureAwait(false);
        return await _place.Store.ReadAsync(session => session.Backups.FindAsync(backup, cancellationToken), cancellationToken).ConfigureAwait(false) is { } found && found.Vm == vm
            ? found
            : throw new NotFoundException("backup", backup.ToString());
    }

    /// <summary>The disks of a backup, in boot order.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="backup">The backup.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<Disk>> ListDisksAsync(VmId vm, BackupId backup, CancellationToken cancellationToken = default)
    {
        await GetAsync(vm, backup, cancellationToken).ConfigureAwait(false);
        return await _place.Store.ReadAsync(session => session.Disks.ListByOwnerAsync(DiskOwner.Of(backup), cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Tells which of a machine's backups are incremental, and upon which others they lie.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>For each incremental backup the one it needs.</returns>
    public Task<IReadOnlyDictionary<BackupId, BackupId>> ListParentsAsync(VmId vm, CancellationToken cancellationToken = default) => _place.Store.ReadAsync<IReadOnlyDictionary<BackupId, BackupId>>(
        async session =>
        {
            // A backup lies on one of the same machine.
            List<(BackupId Backup, Disk Image)> images = [];
            foreach (var backup in await session.Backups.ListByVmAsync(vm, cancellationToken).ConfigureAwait(false))
            {
                images.AddRange((await session.Disks.ListByOwnerAsync(DiskOwner.Of(backup.Id), cancellationToken).ConfigureAwait(false)).Select(image => (backup.Id, image)));
            }

            var owners = images.ToDictionary(row => row.Image.Id, row => row.Backup);
            Dictionary<BackupId, BackupId> parents = [];
            foreach (var (backup, image) in images)
            {
                if (image.Backing is { } beneath && owners.TryGetValue(beneath, out var parent))
                {
                    parents[backup] = parent;
                }
            }

            return parents;
        },
        cancellationToken);

    /// <summary>Backs up all disks of a machine as they are at one instant, whether it runs or not.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="request">What the backup shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(VmId vm, CreateVirtualMachineBackup request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var (name, description) = (FieldRules.Name(request.Name, "backup_name"), FieldRules.Description(request.Description));
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var (storlink, _) = await BackupRules.PlaceAsync(_place, request.Storlink, cancellationToken).ConfigureAwait(false);
        await _place.Storage.Get(storlink).CheckAsync(storlink, cancellationToken).ConfigureAwait(false);
        await Freezing.DemandAsync(_place, vm, machine.Name, cancellationToken).ConfigureAwait(false);
        var state = new CreateBackupState
        {
            Source = FrozenMachine.Of(machine),
            Format = _place.Options.BackupFormat,
            IsIncremental = request.Incremental,
            Parent = request.Incremental ? await IncrementalBackups.FindParentAsync(_place, vm, storlink.Id, cancellationToken).ConfigureAwait(false) : null,
            Backup = new Backup
            {
                Id = BackupId.New(),
                Vm = vm,
                Name = name,
                Description = description,
                Storlink = storlink.Id,
                Size = DataSize.Zero,
                CreatedAt = _place.Now,
            },
        };
        return await _operations.StartAsync(_workflows.CreateBackup, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Gives a machine that is shut down its disks back as a backup has them, once the backup's checksums have been
    /// verified. Its snapshots stay; disks in places that the backup does not know stay, too.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="backup">The backup.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> RestoreAsync(VmId vm, BackupId backup, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var row = await GetAsync(vm, backup, cancellationToken).ConfigureAwait(false);
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        await _machines.StateAsync(machine, cancellationToken, VmState.Shutdown, VmState.Crashed).ConfigureAwait(false);
        var state = new RestoreBackupState { Vm = vm, VmName = machine.Name, Backup = row };
        return await _operations.StartAsync(_workflows.RestoreBackup, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a backup with its files.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="backup">The backup.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(VmId vm, BackupId backup, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var row = await GetAsync(vm, backup, cancellationToken).ConfigureAwait(false);
        await _place.Store.ReadAsync(session => BackupRules.DisksToDeleteAsync(session, row, cancellationToken), cancellationToken).ConfigureAwait(false);
        return await _operations.StartAsync(_workflows.DeleteBackup, new DeleteBackupState { Backup = row }, options, cancellationToken).ConfigureAwait(false);
    }
}
