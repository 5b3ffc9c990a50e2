using System.Net;

namespace Pengx;

/// <summary>The layers of storage that a physical machine can have beneath its storage links.</summary>
public enum StorageCategory
{
    /// <summary>A local directory or device, <c>local</c>.</summary>
    Local,

    /// <summary>A Fibre Channel LUN, <c>fc</c>.</summary>
    FibreChannel,

    /// <summary>An iSCSI target, <c>iscsi</c>.</summary>
    Iscsi,

    /// <summary>An NFS export, <c>nfs</c>.</summary>
    Nfs,

    /// <summary>An OCFS2 volume, <c>ocfs2</c>.</summary>
    Ocfs2,

    /// <summary>A DRBD resource, <c>drbd</c>.</summary>
    Drbd,

    /// <summary>An LVM physical volume, <c>pv</c>.</summary>
    PhysicalVolume,

    /// <summary>An LVM volume group, <c>vg</c>.</summary>
    VolumeGroup,

    /// <summary>An LVM logical volume, <c>lv</c>.</summary>
    LogicalVolume,
}

/// <summary>A layer of storage on a physical machine, beneath the storage links (reference, chapter 9: <c>Storage</c>).
/// Which fields matter follows from the category, as the reference lists them.</summary>
public sealed record StorageLayer
{
    /// <summary>The layer's number.</summary>
    public required int Id { get; init; }

    /// <summary>The physical machine it belongs to.</summary>
    public required PmId Pm { get; init; }

    /// <summary>What it is.</summary>
    public required StorageCategory Category { get; init; }

    /// <summary>The name it has on its host, such as <c>/dev/sdb</c>, <c>vm</c> or <c>vm/disk</c>.</summary>
    public string? Name { get; init; }

    /// <summary>Its size.</summary>
    public DataSize Size { get; init; }

    /// <summary>Its free space.</summary>
    public DataSize Free { get; init; }

    /// <summary>Its UUID; generated for NFS.</summary>
    public string? Uuid { get; init; }

    /// <summary>Where it is mounted: local, fc, iscsi, nfs, ocfs2, lv.</summary>
    public string? MountPoint { get; init; }

    /// <summary>The file system where it is mounted, such as <c>ext4</c>.</summary>
    public string? FileSystem { get; init; }

    /// <summary>The options it is mounted with, comma separated; the driver's own when not given.</summary>
    public string? MountOptions { get; init; }

    /// <summary>The target's address: iscsi.</summary>
    public IPAddress? TargetIp { get; init; }

    /// <summary>The target's TCP port: iscsi; 3260 when not given.</summary>
    public int? TargetPort { get; init; }

    /// <summary>The server and path of an NFS export, an iSCSI target's name, or the world wide port name of an FC target.</summary>
    public string? Target { get; init; }

    /// <summary>The number of the logical unit: iscsi, fc.</summary>
    public int? Lun { get; init; }

    /// <summary>The name that this host logs in by with CHAP: iscsi. The secret is in no row.</summary>
    public string? ChapUser { get; init; }

    /// <summary>The physical volumes of a volume group.</summary>
    public IReadOnlyList<string> PhysicalVolumeIds { get; init; } = [];

    /// <summary>How many logical volumes a volume group has.</summary>
    public int? LogicalVolumeCount { get; init; }

    /// <summary>The volume group of a logical volume.</summary>
    public string? VolumeGroupId { get; init; }

    /// <summary>The device to format with OCFS2.</summary>
    public string? DeviceId { get; init; }

    /// <summary>The DRBD resource.</summary>
    public string? DrbdResourceName { get; init; }

    /// <summary>The local device that DRBD mirrors.</summary>
    public string? DrbdDisk { get; init; }

    /// <summary>The addresses of DRBD's peers.</summary>
    public IReadOnlyList<IPAddress> DrbdPeerIps { get; init; } = [];

    /// <summary>This host's own address among DRBD's peers.</summary>
    public IPAddress? DrbdIp { get; init; }

    /// <summary>The number of the DRBD device, <c>/dev/drbdN</c>.</summary>
    public int? DrbdMinor { get; init; }

    /// <summary>The TCP port of the DRBD resource on all its hosts; 7788 plus the minor when not given.</summary>
    public int? DrbdPort { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }
}

/// <summary>A node of an OCFS2 cluster (reference, chapter 9: <c>OCFS2</c>).</summary>
public sealed record Ocfs2Node
{
    /// <summary>The row's number.</summary>
    public required int Id { get; init; }

    /// <summary>The OCFS2 storage layer.</summary>
    public required int Storage { get; init; }

    /// <summary>The physical machine that the node is.</summary>
    public required PmId Pm { get; init; }

    /// <summary>The node's address in the cluster.</summary>
    public required IPAddress PeerIp { get; init; }

    /// <summary>The node's name: its host name.</summary>
    public required string PeerName { get; init; }

    /// <summary>The node's slot.</summary>
    public required int Number { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }
}
