namespace Pengx.Client;

/// <summary>A layer of storage beneath the storlinks: <c>&lt;storage&gt;</c> of <c>/storages/</c>.</summary>
public sealed record StorageResource
{
    /// <summary>Its number.</summary>
    public required int Id { get; init; }

    /// <summary>The host.</summary>
    public Guid? Pm { get; init; }

    /// <summary><c>local</c>, <c>fc</c>, <c>iscsi</c>, <c>nfs</c>, <c>ocfs2</c>, <c>drbd</c>, <c>pv</c>, <c>vg</c> or <c>lv</c>.</summary>
    public required string Category { get; init; }

    /// <summary>Its size in MiB.</summary>
    public long? Size { get; init; }

    /// <summary>Its free space in MiB.</summary>
    public long? Free { get; init; }

    /// <summary>Its UUID.</summary>
    public string? Uuid { get; init; }

    /// <summary>The name of a volume group or logical volume.</summary>
    public string? Name { get; init; }

    /// <summary>Where it is mounted.</summary>
    public string? MountPoint { get; init; }

    /// <summary>The file system there.</summary>
    public string? FileSystem { get; init; }

    /// <summary>The options it is mounted with.</summary>
    public string? MountOptions { get; init; }

    /// <summary>An iSCSI target's address.</summary>
    public string? TargetIp { get; init; }

    /// <summary>An iSCSI target's port.</summary>
    public int? TargetPort { get; init; }

    /// <summary><c>server:/path</c> for NFS, the name for iSCSI, the port name for FC.</summary>
    public string? Target { get; init; }

    /// <summary>The logical unit.</summary>
    public int? Lun { get; init; }

    /// <summary>The name to log in by.</summary>
    public string? ChapUser { get; init; }

    /// <summary>The physical volumes, comma separated.</summary>
    public string? PvIds { get; init; }

    /// <summary>The volume group.</summary>
    public string? VgId { get; init; }

    /// <summary>The device.</summary>
    public string? DeviceId { get; init; }

    /// <summary>The DRBD resource.</summary>
    public string? DrbdResourceName { get; init; }

    /// <summary>The device that DRBD mirrors.</summary>
    public string? DrbdDisk { get; init; }

    /// <summary>The peers' addresses, comma separated.</summary>
    public string? DrbdPeerIp { get; init; }

    /// <summary>The host's own address among them.</summary>
    public string? DrbdIp { get; init; }

    /// <summary>The number of the DRBD device.</summary>
    public int? DrbdMinor { get; init; }

    /// <summary>The TCP port of the DRBD resource.</summary>
    public int? DrbdPort { get; init; }

    /// <summary>How many logical volumes a volume group has.</summary>
    public int? LvNo { get; init; }

    /// <summary>Whether it is usable on its host now; null where that cannot be told.</summary>
    public bool? Attached { get; init; }

    /// <summary>What is wrong with it, or will be.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>The nodes of an OCFS2 layer's cluster.</summary>
    public IReadOnlyList<StorageNodeResource> Nodes { get; init; } = [];
}
