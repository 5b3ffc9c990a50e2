namespace Pengx.Testing;

/// <summary>A database in memory: units of work, optimistic concurrency, unique names, numbers that are never given twice. It keeps
/// no foreign keys. The object outlives a simulated restart of the service.</summary>
public sealed class InMemoryStore : IPengxStore
{
    private readonly Lock _gate = new();
    private readonly Tables _tables = new();
    private readonly Queue<Exception> _faults = new();

    /// <summary>How many sessions were opened: for tests on the number of queries.</summary>
    public int SessionsOpened { get; private set; }

    /// <summary>How many reads there were in all sessions.</summary>
    public int Reads { get; private set; }

    /// <inheritdoc/>
    public Task InitializeAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<IStoreSession> OpenAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            SessionsOpened++;
        }

        return Task.FromResult<IStoreSession>(new Session(this));
    }

    /// <summary>Lets the next save fail before anything is changed.</summary>
    /// <param name="error">What it throws.</param>
    public void FailNextSave(Exception error)
    {
        ArgumentNullException.ThrowIfNull(error);
        lock (_gate)
        {
            _faults.Enqueue(error);
        }
    }

    private T Read<T>(Func<Tables, T> read, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_gate)
        {
            Reads++;
            return read(_tables);
        }
    }

    private void Save(List<Change> changes)
    {
        lock (_gate)
        {
            if (_faults.TryDequeue(out var fault))
            {
                throw fault;
            }

            foreach (var change in changes)
            {
                change.Check(_tables);
            }

            var undo = _tables.Copy();
            foreach (var change in changes)
            {
                change.Apply(_tables);
            }

            if (_tables.TakenName() is { } taken)
            {
                _tables.Replace(undo);
                throw taken;
            }
        }
    }

    private sealed record Change(Action<Tables> Check, Action<Tables> Apply);

    private sealed class Table<TKey, TRow>(Func<TRow, TKey> key, Func<TRow, int> revision, Func<TRow, int, TRow> withRevision, Func<TRow, string>? title = null)
        where TKey : notnull
        where TRow : class
    {
        private Dictionary<TKey, TRow> _rows = [];

        public IEnumerable<TRow> Rows => _rows.Values;

        public TRow? Find(TKey id) => _rows.GetValueOrDefault(id);

        public Change Add(TRow row) => new(
            _ =>
            {
                if (_rows.ContainsKey(key(row)))
                {
                    throw new ConcurrencyException($"{typeof(TRow).Name} {key(row)} exists already.");
                }
            },
            _ => _rows.Add(key(row), withRevision(row, 0)));

        public Change Update(TRow row) => new(_ => Demand(row), _ => _rows[key(row)] = withRevision(row, revision(row) + 1));

        public Change Delete(TRow row) => new(_ => Demand(row), _ => _rows.Remove(key(row)));

        public void CopyFrom(Table<TKey, TRow> other) => _rows = new(other._rows);

        private void Demand(TRow row)
        {
            if (!_rows.TryGetValue(key(row), out var stored) || revision(stored) != revision(row))
            {
                throw new ConcurrencyException($"{typeof(TRow).Name} {title?.Invoke(row) ?? key(row).ToString()} was changed by another in between.");
            }
        }
    }

    private sealed class Tables
    {
        public Table<PmId, PhysicalMachine> PhysicalMachines { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision }, row => row.Name);

        public Table<StorlinkId, Storlink> Storlinks { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision }, row => row.Name);

        public Table<VmId, VirtualMachine> VirtualMachines { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision }, row => row.Name);

        public Table<VmInterfaceId, VmInterface> VmInterfaces { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<TemplateId, Template> Templates { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision }, row => row.Name);

        public Table<DiskId, Disk> Disks { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<SnapshotId, Snapshot> Snapshots { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<BackupId, Backup> Backups { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<int, Network> Networks { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<int, DnsServers> Dns { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<int, SriovCard> SriovCards { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<int, StorageLayer> StorageLayers { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public Table<int, Ocfs2Node> Ocfs2Nodes { get; } = new(row => row.Id, row => row.Revision, (row, revision) => row with { Revision = revision });

        public int LastDns { get; set; }

        public int LastSriovCard { get; set; }

        public int LastStorageLayer { get; set; }

        public int LastOcfs2Node { get; set; }

        public int LastStorlink { get; set; }

        public int LastInterface { get; set; }

        public int LastNetwork { get; set; }

        public Tables Copy()
        {
            var copy = new Tables();
            copy.Replace(this);
            return copy;
        }

        public void Replace(Tables other)
        {
            PhysicalMachines.CopyFrom(other.PhysicalMachines);
            Storlinks.CopyFrom(other.Storlinks);
            VirtualMachines.CopyFrom(other.VirtualMachines);
            VmInterfaces.CopyFrom(other.VmInterfaces);
            Templates.CopyFrom(other.Templates);
            Disks.CopyFrom(other.Disks);
            Snapshots.CopyFrom(other.Snapshots);
            Backups.CopyFrom(other.Backups);
            Networks.CopyFrom(other.Networks);
            Dns.CopyFrom(other.Dns);
            SriovCards.CopyFrom(other.SriovCards);
            StorageLayers.CopyFrom(other.StorageLayers);
            Ocfs2Nodes.CopyFrom(other.Ocfs2Nodes);
        }

        public InvalidFieldException? TakenName() =>
            Twice(VirtualMachines.Rows, row => (row.Pm, row.Name), "name", row => row.Name, "it is already taken by another VM of this PM")
            ?? Twice(Templates.Rows, row => (row.Pm, row.Name), "name", row => row.Name, "it is already taken by another template of this PM")
            ?? Twice(Storlinks.Rows, row => (row.Pm, row.Name), "name", row => row.Name, "it is already taken by another storlink of this PM")
            ?? Twice(Snapshots.Rows.Where(row => row.Kind == SnapshotKind.Saved), row => (row.Vm, row.Name), "name", row => row.Name, "it is already taken by another snapshot of this VM")
            ?? Twice(VmInterfaces.Rows, row => row.Mac, "mac", row => row.Mac.ToString(), "it is already taken by another interface")
            ?? Twice(Networks.Rows, row => (row.Pm, row.Name), "name", row => row.Name, "it is already taken by another network of this PM")
            ?? Twice(Dns.Rows, row => row.Pm, "pm", row => row.Pm.ToString(), "it is already taken: this PM has a DNS entry")
            ?? Twice(SriovCards.Rows, row => (row.Pm, row.PhysicalFunction), "pf", row => row.PhysicalFunction, "it is already taken: this card is recorded")
            ?? Twice(StorageLayers.Rows.Where(row => row.MountPoint is not null), row => (row.Pm, row.MountPoint), "mount_point", row => row.MountPoint!, "it is already taken by another storage of this PM")
            ?? Twice(Ocfs2Nodes.Rows, row => (row.Storage, row.Number), "number", row => row.Number.ToString(System.Globalization.CultureInfo.InvariantCulture), "it is already taken by another node of the cluster");

        private static InvalidFieldException? Twice<TRow, TKey>(IEnumerable<TRow> rows, Func<TRow, TKey> key, string field, Func<TRow, string> value, string rule)
            where TKey : notnull =>
            rows.GroupBy(key).FirstOrDefault(group => group.Skip(1).Any()) is { } twice ? new InvalidFieldException(field, value(twice.First()), rule) : null;
    }

    private sealed class Session(InMemoryStore store) : IStoreSession, IPhysicalMachineRepository, IStorlinkRepository, IVirtualMachineRepository,
        IVmInterfaceRepository, ITemplateRepository, IDiskRepository, ISnapshotRepository, IBackupRepository, INetworkRepository,
        IDnsRepository, ISriovRepository, IStorageLayerRepository, IOcfs2NodeRepository
    {
        private readonly List<Change> _changes = [];

        public IPhysicalMachineRepository PhysicalMachines => this;

        public IStorlinkRepository Storlinks => this;

        public IVirtualMachineRepository VirtualMachines => this;

        public IVmInterfaceRepository VmInterfaces => this;

        public ITemplateRepository Templates => this;

        public IDiskRepository Disks => this;

        public ISnapshotRepository Snapshots => this;

        public IBackupRepository Backups => this;

        public INetworkRepository Networks => this;

        public IDnsRepository Dns => this;

        public ISriovRepository SriovCards => this;

        public IStorageLayerRepository StorageLayers => this;

        public IOcfs2NodeRepository Ocfs2Nodes => this;

        public Task SaveAsync(CancellationToken cancellationToken = default)
        {
            cancellationToken.ThrowIfCancellationRequested();
            store.Save(_changes);
            _changes.Clear();
            return Task.CompletedTask;
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;

        Task<PhysicalMachine?> IPhysicalMachineRepository.FindAsync(PmId id, CancellationToken cancellationToken) => One(tables => tables.PhysicalMachines.Find(id), cancellationToken);

        IAsyncEnumerable<PhysicalMachine> IPhysicalMachineRepository.ListAsync(CancellationToken cancellationToken) =>
            Stream(tables => tables.PhysicalMachines.Rows.OrderBy(row => row.Name, StringComparer.Ordinal), cancellationToken);

        public void Add(PhysicalMachine row) => _changes.Add(Tables.PhysicalMachines.Add(row));

        public void Update(PhysicalMachine row) => _changes.Add(Tables.PhysicalMachines.Update(row));

        public void Delete(PhysicalMachine row) => _changes.Add(Tables.PhysicalMachines.Delete(row));

        Task<Storlink?> IStorlinkRepository.FindAsync(StorlinkId id, CancellationToken cancellationToken) => One(tables => tables.Storlinks.Find(id), cancellationToken);

        IAsyncEnumerable<Storlink> IStorlinkRepository.ListAsync(CancellationToken cancellationToken) =>
            Stream(tables => tables.Storlinks.Rows.OrderBy(row => row.Id.Value), cancellationToken);

        Task<Storlink?> IStorlinkRepository.FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken) =>
            One(tables => tables.Storlinks.Rows.FirstOrDefault(row => row.Pm == pm && row.Name == name), cancellationToken);

        Task<StorlinkId> IStorlinkRepository.NextIdAsync(CancellationToken cancellationToken) =>
            One(tables => new StorlinkId(tables.LastStorlink = Math.Max(tables.LastStorlink, tables.Storlinks.Rows.Select(row => row.Id.Value).DefaultIfEmpty().Max()) + 1), cancellationToken);

        public void Add(Storlink row) => _changes.Add(Tables.Storlinks.Add(row));

        public void Update(Storlink row) => _changes.Add(Tables.Storlinks.Update(row));

        public void Delete(Storlink row) => _changes.Add(Tables.Storlinks.Delete(row));

        Task<VirtualMachine?> IVirtualMachineRepository.FindAsync(VmId id, CancellationToken cancellationToken) => One(tables => tables.VirtualMachines.Find(id), cancellationToken);

        IAsyncEnumerable<VirtualMachine> IVirtualMachineRepository.ListAsync(CancellationToken cancellationToken) =>
            Stream(tables => tables.VirtualMachines.Rows.OrderBy(row => row.CreatedAt), cancellationToken);

        IAsyncEnumerable<VirtualMachineDevices> IVirtualMachineRepository.ListWithDevicesAsync(CancellationToken cancellationToken) =>
            Stream(
                tables => tables.VirtualMachines.Rows.OrderBy(row => row.CreatedAt).Select(machine => new VirtualMachineDevices
                {
                    Machine = machine,
                    Disks =
                    [
                        .. tables.Disks.Rows.Where(disk => disk.Owner == DiskOwner.Of(machine.Id)
                                || tables.Snapshots.Rows.Any(snapshot => snapshot.Vm == machine.Id && snapshot.Kind == SnapshotKind.Run && disk.Owner == DiskOwner.Of(snapshot.Id)))
                            .OrderBy(disk => disk.Order),
                    ],
                    Interfaces = [.. tables.VmInterfaces.Rows.Where(nic => nic.Vm == machine.Id).OrderBy(nic => nic.Id.Value)],
                }),
                cancellationToken);

        Task<VirtualMachine?> IVirtualMachineRepository.FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken) =>
            One(tables => tables.VirtualMachines.Rows.FirstOrDefault(row => row.Pm == pm && row.Name == name), cancellationToken);

        Task<IReadOnlyList<VirtualMachine>> IVirtualMachineRepository.ListByTemplateAsync(TemplateId template, CancellationToken cancellationToken) =>
            Some(tables => tables.VirtualMachines.Rows.Where(row => row.Template == template).OrderBy(row => row.CreatedAt), cancellationToken);

        public void Add(VirtualMachine row) => _changes.Add(Tables.VirtualMachines.Add(row));

        public void Update(VirtualMachine row) => _changes.Add(Tables.VirtualMachines.Update(row));

        public void Delete(VirtualMachine row) => _changes.Add(Tables.VirtualMachines.Delete(row));

        Task<VmInterface?> IVmInterfaceRepository.FindAsync(VmInterfaceId id, CancellationToken cancellationToken) => One(tables => tables.VmInterfaces.Find(id), cancellationToken);

        Task<IReadOnlyList<VmInterface>> IVmInterfaceRepository.ListByVmAsync(VmId vm, CancellationToken cancellationToken) =>
            Some(tables => tables.VmInterfaces.Rows.Where(row => row.Vm == vm).OrderBy(row => row.Id.Value), cancellationToken);

        IAsyncEnumerable<VmInterface> IVmInterfaceRepository.ListAsync(CancellationToken cancellationToken) =>
            Stream(tables => tables.VmInterfaces.Rows.OrderBy(row => row.Vm.Value).ThenBy(row => row.Id.Value), cancellationToken);

        Task<VmInterface?> IVmInterfaceRepository.FindByMacAsync(MacAddress mac, CancellationToken cancellationToken) =>
            One(tables => tables.VmInterfaces.Rows.FirstOrDefault(row => row.Mac == mac), cancellationToken);

        Task<VmInterfaceId> IVmInterfaceRepository.NextIdAsync(CancellationToken cancellationToken) =>
            One(tables => new VmInterfaceId(tables.LastInterface = Math.Max(tables.LastInterface, tables.VmInterfaces.Rows.Select(row => row.Id.Value).DefaultIfEmpty().Max()) + 1), cancellationToken);

        public void Add(VmInterface row) => _changes.Add(Tables.VmInterfaces.Add(row));

        public void Update(VmInterface row) => _changes.Add(Tables.VmInterfaces.Update(row));

        public void Delete(VmInterface row) => _changes.Add(Tables.VmInterfaces.Delete(row));

        Task<Template?> ITemplateRepository.FindAsync(TemplateId id, CancellationToken cancellationToken) => One(tables => tables.Templates.Find(id), cancellationToken);

        IAsyncEnumerable<Template> ITemplateRepository.ListAsync(CancellationToken cancellationToken) =>
            Stream(tables => tables.Templates.Rows.OrderBy(row => row.CreatedAt), cancellationToken);

        Task<Template?> ITemplateRepository.FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken) =>
            One(tables => tables.Templates.Rows.FirstOrDefault(row => row.Pm == pm && row.Name == name), cancellationToken);

        public void Add(Template row) => _changes.Add(Tables.Templates.Add(row));

        public void Update(Template row) => _changes.Add(Tables.Templates.Update(row));

        public void Delete(Template row) => _changes.Add(Tables.Templates.Delete(row));

        Task<Disk?> IDiskRepository.FindAsync(DiskId id, CancellationToken cancellationToken) => One(tables => tables.Disks.Find(id), cancellationToken);

        Task<IReadOnlyList<Disk>> IDiskRepository.ListByOwnerAsync(DiskOwner owner, CancellationToken cancellationToken) =>
            Some(tables => tables.Disks.Rows.Where(row => row.Owner == owner).OrderBy(row => row.Order), cancellationToken);

        Task<IReadOnlyList<Disk>> IDiskRepository.ListByStorlinkAsync(StorlinkId storlink, CancellationToken cancellationToken) =>
            Some(tables => tables.Disks.Rows.Where(row => row.Storlink == storlink), cancellationToken);

        Task<IReadOnlyList<Disk>> IDiskRepository.ListByBackingAsync(DiskId backing, CancellationToken cancellationToken) =>
            Some(tables => tables.Disks.Rows.Where(row => row.Backing == backing), cancellationToken);

        IAsyncEnumerable<Disk> IDiskRepository.ListAsync(DiskOwnerKind kind, CancellationToken cancellationToken) =>
            Stream(tables => tables.Disks.Rows.Where(row => row.Owner.Kind == kind).OrderBy(row => row.Owner.Id).ThenBy(row => row.Order), cancellationToken);

        public void Add(Disk row) => _changes.Add(Tables.Disks.Add(row));

        public void Update(Disk row) => _changes.Add(Tables.Disks.Update(row));

        public void Delete(Disk row) => _changes.Add(Tables.Disks.Delete(row));

        Task<Snapshot?> ISnapshotRepository.FindAsync(SnapshotId id, CancellationToken cancellationToken) => One(tables => tables.Snapshots.Find(id), cancellationToken);

        Task<IReadOnlyList<Snapshot>> ISnapshotRepository.ListByVmAsync(VmId vm, CancellationToken cancellationToken) =>
            Some(tables => tables.Snapshots.Rows.Where(row => row.Vm == vm).OrderBy(row => row.CreatedAt), cancellationToken);

        public void Add(Snapshot row) => _changes.Add(Tables.Snapshots.Add(row));

        public void Update(Snapshot row) => _changes.Add(Tables.Snapshots.Update(row));

        public void Delete(Snapshot row) => _changes.Add(Tables.Snapshots.Delete(row));

        Task<Backup?> IBackupRepository.FindAsync(BackupId id, CancellationToken cancellationToken) => One(tables => tables.Backups.Find(id), cancellationToken);

        Task<IReadOnlyList<Backup>> IBackupRepository.ListByVmAsync(VmId vm, CancellationToken cancellationToken) =>
            Some(tables => tables.Backups.Rows.Where(row => row.Vm == vm).OrderBy(row => row.CreatedAt), cancellationToken);

        public void Add(Backup row) => _changes.Add(Tables.Backups.Add(row));

        public void Update(Backup row) => _changes.Add(Tables.Backups.Update(row));

        public void Delete(Backup row) => _changes.Add(Tables.Backups.Delete(row));

        Task<Network?> INetworkRepository.FindAsync(int id, CancellationToken cancellationToken) => One(tables => tables.Networks.Find(id), cancellationToken);

        Task<IReadOnlyList<Network>> INetworkRepository.ListByPmAsync(PmId pm, CancellationToken cancellationToken) =>
            Some(tables => tables.Networks.Rows.Where(row => row.Pm == pm).OrderBy(row => row.Name, StringComparer.Ordinal), cancellationToken);

        Task<int> INetworkRepository.NextIdAsync(CancellationToken cancellationToken) =>
            One(tables => tables.LastNetwork = Math.Max(tables.LastNetwork, tables.Networks.Rows.Select(row => row.Id).DefaultIfEmpty().Max()) + 1, cancellationToken);

        public void Add(Network row) => _changes.Add(Tables.Networks.Add(row));

        public void Update(Network row) => _changes.Add(Tables.Networks.Update(row));

        public void Delete(Network row) => _changes.Add(Tables.Networks.Delete(row));

        Task<DnsServers?> IDnsRepository.FindAsync(int id, CancellationToken cancellationToken) => One(tables => tables.Dns.Find(id), cancellationToken);

        Task<IReadOnlyList<DnsServers>> IDnsRepository.ListByPmAsync(PmId pm, CancellationToken cancellationToken) =>
            Some(tables => tables.Dns.Rows.Where(row => row.Pm == pm).OrderBy(row => row.Id), cancellationToken);

        Task<int> IDnsRepository.NextIdAsync(CancellationToken cancellationToken) =>
            One(tables => tables.LastDns = Math.Max(tables.LastDns, tables.Dns.Rows.Select(row => row.Id).DefaultIfEmpty().Max()) + 1, cancellationToken);

        public void Add(DnsServers row) => _changes.Add(Tables.Dns.Add(row));

        public void Update(DnsServers row) => _changes.Add(Tables.Dns.Update(row));

        public void Delete(DnsServers row) => _changes.Add(Tables.Dns.Delete(row));

        Task<SriovCard?> ISriovRepository.FindAsync(int id, CancellationToken cancellationToken) => One(tables => tables.SriovCards.Find(id), cancellationToken);

        Task<IReadOnlyList<SriovCard>> ISriovRepository.ListByPmAsync(PmId pm, CancellationToken cancellationToken) =>
            Some(tables => tables.SriovCards.Rows.Where(row => row.Pm == pm).OrderBy(row => row.PhysicalFunction, StringComparer.Ordinal), cancellationToken);

        Task<int> ISriovRepository.NextIdAsync(CancellationToken cancellationToken) =>
            One(tables => tables.LastSriovCard = Math.Max(tables.LastSriovCard, tables.SriovCards.Rows.Select(row => row.Id).DefaultIfEmpty().Max()) + 1, cancellationToken);

        public void Add(SriovCard row) => _changes.Add(Tables.SriovCards.Add(row));

        public void Update(SriovCard row) => _changes.Add(Tables.SriovCards.Update(row));

        public void Delete(SriovCard row) => _changes.Add(Tables.SriovCards.Delete(row));

        Task<StorageLayer?> IStorageLayerRepository.FindAsync(int id, CancellationToken cancellationToken) => One(tables => tables.StorageLayers.Find(id), cancellationToken);

        Task<IReadOnlyList<StorageLayer>> IStorageLayerRepository.ListByPmAsync(PmId pm, CancellationToken cancellationToken) =>
            Some(tables => tables.StorageLayers.Rows.Where(row => row.Pm == pm).OrderBy(row => row.Id), cancellationToken);

        Task<int> IStorageLayerRepository.NextIdAsync(CancellationToken cancellationToken) =>
            One(tables => tables.LastStorageLayer = Math.Max(tables.LastStorageLayer, tables.StorageLayers.Rows.Select(row => row.Id).DefaultIfEmpty().Max()) + 1, cancellationToken);

        public void Add(StorageLayer row) => _changes.Add(Tables.StorageLayers.Add(row));

        public void Update(StorageLayer row) => _changes.Add(Tables.StorageLayers.Update(row));

        public void Delete(StorageLayer row) => _changes.Add(Tables.StorageLayers.Delete(row));

        Task<Ocfs2Node?> IOcfs2NodeRepository.FindAsync(int id, CancellationToken cancellationToken) => One(tables => tables.Ocfs2Nodes.Find(id), cancellationToken);

        Task<IReadOnlyList<Ocfs2Node>> IOcfs2NodeRepository.ListByStorageAsync(int storage, CancellationToken cancellationToken) =>
            Some(tables => tables.Ocfs2Nodes.Rows.Where(row => row.Storage == storage).OrderBy(row => row.Number), cancellationToken);

        Task<int> IOcfs2NodeRepository.NextIdAsync(CancellationToken cancellationToken) =>
            One(tables => tables.LastOcfs2Node = Math.Max(tables.LastOcfs2Node, tables.Ocfs2Nodes.Rows.Select(row => row.Id).DefaultIfEmpty().Max()) + 1, cancellationToken);

        public void Add(Ocfs2Node row) => _changes.Add(Tables.Ocfs2Nodes.Add(row));

        public void Update(Ocfs2Node row) => _changes.Add(Tables.Ocfs2Nodes.Update(row));

        public void Delete(Ocfs2Node row) => _changes.Add(Tables.Ocfs2Nodes.Delete(row));

        private Tables Tables => store._tables;

        private Task<T> One<T>(Func<Tables, T> read, CancellationToken cancellationToken) => Task.FromResult(store.Read(read, cancellationToken));

        private Task<IReadOnlyList<T>> Some<T>(Func<Tables, IEnumerable<T>> read, CancellationToken cancellationToken) =>
            Task.FromResult(store.Read<IReadOnlyList<T>>(tables => [.. read(tables)], cancellationToken));

        private async IAsyncEnumerable<T> Stream<T>(Func<Tables, IEnumerable<T>> read, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            foreach (var row in await Some(read, cancellationToken))
            {
                yield return row;
            }
        }
    }
}
