namespace Pengx.Testing;

/// <summary>The verbs of the driver port that a fault can be laid on.</summary>
public enum SimulatedVerb
{
    /// <summary><see cref="IHypervisorDriver.StartAsync"/>.</summary>
    Connect,

    /// <summary><see cref="IHypervisorDriver.GetHostFactsAsync"/>.</summary>
    HostFacts,

    /// <summary><see cref="IHypervisorDriver.GetHostCountersAsync"/>.</summary>
    HostCounters,

    /// <summary><see cref="IDomainOperations.DefineAsync"/>.</summary>
    Define,

    /// <summary><see cref="IDomainOperations.FindDefinitionAsync"/>.</summary>
    FindDefinition,

    /// <summary><see cref="IDomainOperations.ListDefinedAsync"/>.</summary>
    ListDefined,

    /// <summary><see cref="IDomainOperations.UndefineAsync"/>.</summary>
    Undefine,

    /// <summary><see cref="IDomainOperations.StartAsync"/>.</summary>
    Start,

    /// <summary><see cref="IDomainOperations.RequestShutdownAsync"/>.</summary>
    RequestShutdown,

    /// <summary><see cref="IDomainOperations.RebootAsync"/>.</summary>
    Reboot,

    /// <summary><see cref="IDomainOperations.WaitUntilStoppedAsync"/>.</summary>
    WaitUntilStopped,

    /// <summary><see cref="IDomainOperations.DestroyAsync"/>.</summary>
    Destroy,

    /// <summary><see cref="IDomainOperations.PauseAsync"/>.</summary>
    Pause,

    /// <summary><see cref="IDomainOperations.ResumeAsync"/>.</summary>
    Resume,

    /// <summary><see cref="IDomainOperations.ResizeAsync"/>.</summary>
    Resize,

    /// <summary><see cref="IDomainOperations.RenameAsync"/>.</summary>
    Rename,

    /// <summary><see cref="IDomainOperations.FindAsync"/>.</summary>
    Find,

    /// <summary><see cref="IDomainOperations.ListAsync"/>.</summary>
    List,

    /// <summary><see cref="IDomainOperations.FindVncAsync"/>.</summary>
    FindVnc,

    /// <summary><see cref="IDomainOperations.FindCountersAsync"/>.</summary>
    FindCounters,

    /// <summary><see cref="IDeviceOperations.PlugDiskAsync"/>.</summary>
    PlugDisk,

    /// <summary><see cref="IDeviceOperations.UnplugDiskAsync"/>.</summary>
    UnplugDisk,

    /// <summary><see cref="IDeviceOperations.PlugNicAsync"/>.</summary>
    PlugNic,

    /// <summary><see cref="IDeviceOperations.UnplugNicAsync"/>.</summary>
    UnplugNic,

    /// <summary><see cref="ILiveDisks.ReadAsync"/>.</summary>
    ReadDisks,

    /// <summary><see cref="ILiveDisks.OverlayAsync"/>.</summary>
    OverlayDisks,

    /// <summary><see cref="ILiveDisks.CommitAsync"/>.</summary>
    CommitDisk,

    /// <summary><see cref="ILiveDisks.StreamAsync"/>.</summary>
    StreamDisk,

    /// <summary><see cref="ILiveMigration.CheckMigrationAsync"/>.</summary>
    CheckMigration,

    /// <summary><see cref="ILiveMigration.MigrateAsync"/>.</summary>
    Migrate,

    /// <summary><see cref="IChangedBlocks.ReadAsync"/>.</summary>
    ReadChanges,

    /// <summary><see cref="IChangedBlocks.TrackAsync"/>.</summary>
    TrackChanges,

    /// <summary><see cref="IChangedBlocks.ForgetAsync"/>.</summary>
    ForgetChanges,

    /// <summary><see cref="IChangedBlocks.CopyAsync"/>.</summary>
    CopyChanges,

    /// <summary><see cref="IChangedBlocks.AbandonCopiesAsync"/>.</summary>
    AbandonCopies,

    /// <summary><see cref="ILiveMigration.IsHereAsync"/>.</summary>
    IsHere,

    /// <summary><see cref="IGuestMemory.CheckSaveAsync"/>.</summary>
    CheckMemory,

    /// <summary><see cref="IGuestMemory.SaveAsync"/>.</summary>
    SaveMemory,

    /// <summary><see cref="IGuestMemory.StartAsync"/>.</summary>
    StartWithMemory,
}
