namespace Pengx;

/// <summary>The port to the database: opens units of work.</summary>
public interface IPengxStore
{
    /// <summary>Readies the database: creates or migrates it, and writes where it stands. Call it once, first.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="UnavailableException">It cannot be reached.</exception>
    Task InitializeAsync(CancellationToken cancellationToken = default);

    /// <summary>Opens a unit of work. Sessions are cheap, short, and for one caller at a time.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="UnavailableException">The database cannot be reached.</exception>
    Task<IStoreSession> OpenAsync(CancellationToken cancellationToken = default);
}

/// <summary>A unit of work: what is added, updated and deleted through it becomes true in one transaction by
/// <see cref="SaveAsync"/>, or not at all.</summary>
public interface IStoreSession : IAsyncDisposable
{
    /// <summary>Physical machines.</summary>
    IPhysicalMachineRepository PhysicalMachines { get; }

    /// <summary>Storage links.</summary>
    IStorlinkRepository Storlinks { get; }

    /// <summary>Virtual machines.</summary>
    IVirtualMachineRepository VirtualMachines { get; }

    /// <summary>Network interfaces of virtual machines.</summary>
    IVmInterfaceRepository VmInterfaces { get; }

    /// <summary>Templates.</summary>
    ITemplateRepository Templates { get; }

    /// <summary>Disks.</summary>
    IDiskRepository Disks { get; }

    /// <summary>Snapshots.</summary>
    ISnapshotRepository Snapshots { get; }

    /// <summary>Backups.</summary>
    IBackupRepository Backups { get; }

    /// <summary>Network devices of physical machines.</summary>
    INetworkRepository Networks { get; }

    /// <summary>Name servers of physical machines.</summary>
    IDnsRepository Dns { get; }

    /// <summary>Cards with virtual functions.</summary>
    ISriovRepository SriovCards { get; }

    /// <summary>Layers of storage beneath the storage links.</summary>
    IStorageLayerRepository StorageLayers { get; }

    /// <summary>Nodes of OCFS2 clusters.</summary>
    IOcfs2NodeRepository Ocfs2Nodes { get; }

    /// <summary>Commits all changes of the session in one transaction.</summary>
    /// <param name="cancellationToken">Ends the call; the outcome is then unknown.</param>
    /// <exception cref="ConcurrencyException">A row was changed or deleted by another since it was read; nothing is changed.</exception>
    /// <exception cref="InvalidFieldException">A name that must be unique is taken; nothing is changed.</exception>
    /// <exception cref="InUseException">A row would be left without the one it belongs to; nothing is changed.</exception>
    /// <exception cref="UnavailableException">The database cannot be reached.</exception>
    Task SaveAsync(CancellationToken cancellationToken = default);
}
