namespace Pengx.Orchestration;

/// <summary>The ways in which rows, storage, hypervisor and journal can disagree.</summary>
public enum InconsistencyKind
{
    /// <summary>An image lies on a storage link that no disk row and no unfinished operation knows.</summary>
    VolumeWithoutDisk,

    /// <summary>An image that was left half made or half removed, and that no unfinished operation works on.</summary>
    UnfinishedVolume,

    /// <summary>A disk row whose image is not there.</summary>
    DiskWithoutVolume,

    /// <summary>A description lies on a storage link of a backup that no row and no unfinished operation knows.</summary>
    DescriptionWithoutBackup,

    /// <summary>A backup whose description, with its checksums, is not there.</summary>
    BackupWithoutDescription,

    /// <summary>The configuration that the hypervisor stored is not what the rows say, or is missing.</summary>
    DefinitionDiffers,

    /// <summary>The hypervisor knows a domain that is no machine and no template.</summary>
    DomainWithoutRow,

    /// <summary>A row's state is not the hypervisor's truth.</summary>
    StateDiffers,

    /// <summary>An interface that was deleted while its guest ran is still kept although the guest does not run.</summary>
    InterfaceStillRetired,

    /// <summary>An object is locked although no unfinished operation holds it.</summary>
    LockWithoutOperation,

    /// <summary>An image lies on others than the rows say, or a running machine has others open.</summary>
    ChainDiffers,

    /// <summary>The rows of a machine's snapshots form no tree with one place where the machine stands.</summary>
    SnapshotsDiffer,

    /// <summary>Something could not be looked at.</summary>
    NotChecked,

    /// <summary>The hypervisor of this host knows a machine or template that its row says is another host's: where it runs, it may run on both.</summary>
    DomainOfAnotherHost,
}

/// <summary>A place where rows, storage, hypervisor and journal disagree.</summary>
/// <param name="Kind">How.</param>
/// <param name="Subject">About what: <c>vm/7e1…</c>, <c>storlink/3/disk/09f…</c>.</param>
/// <param name="Message">The sentence for the operator.</param>
public sealed record Inconsistency(InconsistencyKind Kind, string Subject, string Message);
