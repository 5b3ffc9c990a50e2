namespace Pengx.Client;

/// <summary>The body of <c>POST /storages/</c>.</summary>
public sealed record StorageCreateRequest
{
    /// <summary>What it is.</summary>
    public required string Category { get; init; }

    /// <summary>The size of a logical volume in MiB.</summary>
    public long? Size { get; init; }

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

    /// <summary>The secret to log in with; never answered.</summary>
    public string? ChapSecret { get; init; }

    /// <summary><c>thick</c>, <c>thinpool</c> or <c>thin</c>; null means thick.</summary>
    public string? LvKind { get; init; }

    /// <summary>The thin pool of a thin volume.</summary>
    public string? LvPool { get; init; }

    /// <summary>Whether the file system is made; null means no.</summary>
    public bool? Format { get; init; }

    /// <summary>The signature that may be overwritten, as a refusal showed it.</summary>
    public string? Consent { get; init; }

    /// <summary>The nodes of an OCFS2 layer's cluster.</summary>
    public IReadOnlyList<StorageNodeResource> Nodes { get; init; } = [];
}
