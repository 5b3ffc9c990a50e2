namespace Pengx.Data;

/// <summary>A unit of work. Reads go to the database at once, each with its own connection, so that they can be nested;
/// changes wait for <see cref="SaveAsync"/>.</summary>
internal sealed class StoreSession(SqliteDatabase database) : IStoreSession
{
    private readonly PendingChanges _changes = new();
    private bool _disposed;

    public IPhysicalMachineRepository PhysicalMachines => field ??= new PhysicalMachineRepository(database, _changes);

    public IStorlinkRepository Storlinks => field ??= new StorlinkRepository(database, _changes);

    public IVirtualMachineRepository VirtualMachines => field ??= new VirtualMachineRepository(database, _changes);

    public IVmInterfaceRepository VmInterfaces => field ??= new VmInterfaceRepository(database, _changes);

    public ITemplateRepository Templates => field ??= new TemplateRepository(database, _changes);

    public IDiskRepository Disks => field ??= new DiskRepository(database, _changes);

    public ISnapshotRepository Snapshots => field ??= new SnapshotRepository(database, _changes);

    public IBackupRepository Backups => field ??= new BackupRepository(database, _changes);

    public INetworkRepository Networks => field ??= new NetworkRepository(database, _changes);

    public IDnsRepository Dns => field ??= new DnsRepository(database, _changes);

    public ISriovRepository SriovCards => field ??= new SriovRepository(database, _changes);

    public IStorageLayerRepository StorageLayers => field ??= new StorageLayerRepository(database, _changes);

    public IOcfs2NodeRepository Ocfs2Nodes => field ??= new Ocfs2NodeRepository(database, _changes);

    public async Task SaveAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!_changes.Any)
        {
            return;
        }

        await database.WriteAsync(
            async (context, token) =>
            {
                await _changes.ApplyAsync(context, token).ConfigureAwait(false);
                await context.SaveChangesAsync(token).ConfigureAwait(false);
            },
            cancellationToken).ConfigureAwait(false);
        _changes.Clear();
    }

    public ValueTask DisposeAsync()
    {
        _disposed = true;
        _changes.Clear();
        return ValueTask.CompletedTask;
    }
}
