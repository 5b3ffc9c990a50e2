namespace Pengx;

/// <summary>What a storage link stands on (reference: storlink field <c>type</c>).</summary>
public enum StorlinkType
{
    /// <summary>A local disk, <c>LO</c>.</summary>
    Local,

    /// <summary>Fibre Channel, <c>FC</c>.</summary>
    FibreChannel,

    /// <summary>iSCSI, <c>ISC</c>.</summary>
    Iscsi,

    /// <summary>Network File System, <c>NFS</c>; always at file level.</summary>
    Nfs,

    /// <summary>Ceph, <c>CEP</c>; always at object level.</summary>
    Ceph,
}

/// <summary>How disks lie on a storage link (reference: storlink field <c>level</c>).</summary>
public enum StorlinkLevel
{
    /// <summary>As files in a directory, <c>FL</c>.</summary>
    File,

    /// <summary>As logical volumes of a volume group, <c>BL</c>.</summary>
    Block,

    /// <summary>As RBD images of a pool, <c>OB</c>.</summary>
    Object,
}

/// <summary>Where disks live (reference, chapter 9: <c>Storlink</c>). Its size and free space are measured when asked.</summary>
public sealed record Storlink
{
    /// <summary>The storage link's number.</summary>
    public required StorlinkId Id { get; init; }

    /// <summary>The physical machine it belongs to.</summary>
    public required PmId Pm { get; init; }

    /// <summary>Its name, unique on its physical machine.</summary>
    public required string Name { get; init; }

    /// <summary>A directory at file level, <c>/dev/VG</c> at block level, a pool's name at object level.</summary>
    public required string Link { get; init; }

    /// <summary>What it stands on.</summary>
    public required StorlinkType Type { get; init; }

    /// <summary>How disks lie on it.</summary>
    public required StorlinkLevel Level { get; init; }

    /// <summary>Whether other physical machines see the same disks.</summary>
    public bool Shared { get; init; }

    /// <summary>What it is for, in the operator's words.</summary>
    public string? Description { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }
}
