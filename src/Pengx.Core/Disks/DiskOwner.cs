namespace Pengx;

/// <summary>The kinds of objects that own disks.</summary>
public enum DiskOwnerKind
{
    /// <summary>A virtual machine.</summary>
    Vm,

    /// <summary>A snapshot of a virtual machine.</summary>
    Snapshot,

    /// <summary>A backup of a virtual machine.</summary>
    Backup,

    /// <summary>A template.</summary>
    Template,

    /// <summary>The memory that a guest had at a snapshot: no disk of the guest's, but a volume like one.</summary>
    Memory,
}

/// <summary>The one object that a disk belongs to.</summary>
/// <param name="Kind">What kind of object it is.</param>
/// <param name="Id">Its UUID.</param>
public readonly record struct DiskOwner(DiskOwnerKind Kind, Guid Id)
{
    /// <summary>A virtual machine as owner.</summary>
    /// <param name="id">The machine.</param>
    public static DiskOwner Of(VmId id) => new(DiskOwnerKind.Vm, id.Value);

    /// <summary>A snapshot as owner.</summary>
    /// <param name="id">The snapshot.</param>
    public static DiskOwner Of(SnapshotId id) => new(DiskOwnerKind.Snapshot, id.Value);

    /// <summary>A backup as owner.</summary>
    /// <param name="id">The backup.</param>
    public static DiskOwner Of(BackupId id) => new(DiskOwnerKind.Backup, id.Value);

    /// <summary>A template as owner.</summary>
    /// <param name="id">The template.</param>
    public static DiskOwner Of(TemplateId id) => new(DiskOwnerKind.Template, id.Value);

    /// <summary>The memory of a snapshot as owner.</summary>
    /// <param name="id">The snapshot.</param>
    public static DiskOwner MemoryOf(SnapshotId id) => new(DiskOwnerKind.Memory, id.Value);
}
