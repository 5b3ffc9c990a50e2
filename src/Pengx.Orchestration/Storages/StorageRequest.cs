namespace Pengx.Orchestration;

/// <summary>What a new layer of storage shall be, as a request writes it. Which fields matter follows from the category.</summary>
public sealed record StorageRequest
{
    /// <summary>What it is. Field <c>category</c>.</summary>
    public StorageCategory? Category { get; init; }

    /// <summary>The name of a new volume group or logical volume. Field <c>name</c>.</summary>
    public string? Name { get; init; }

    /// <summary>The size in MiB: lv. Field <c>size</c>.</summary>
    public long? SizeMiB { get; init; }

    /// <summary>Where it is mounted. Field <c>mount_point</c>.</summary>
    public string? MountPoint { get; init; }

    /// <summary>The file system there. Field <c>filesystem</c>.</summary>
    public string? FileSystem { get; init; }

    /// <summary>Whether that file system is made; otherwise it must be there. Field <c>format</c>.</summary>
    public bool Format { get; init; }

    /// <summary>The signature that may be overwritten, as it was shown. Field <c>consent</c>.</summary>
    public string? Consent { get; init; }

    /// <summary>The options it is mounted with. Field <c>mount_options</c>.</summary>
    public string? MountOptions { get; init; }

    /// <summary>The target's address: iscsi. Field <c>target_ip</c>.</summary>
    public string? TargetIp { get; init; }

    /// <summary>The target's port: iscsi. Field <c>target_port</c>.</summary>
    public int? TargetPort { get; init; }

    /// <summary>The target: <c>server:/path</c> for nfs, the name for iscsi, the world wide port name for fc. Field <c>target</c>.</summary>
    public string? Target { get; init; }

    /// <summary>The logical unit: iscsi, fc. Field <c>lun</c>.</summary>
    public int? Lun { get; init; }

    /// <summary>The name to log in by: iscsi. Field <c>chap_user</c>.</summary>
    public string? ChapUser { get; init; }

    /// <summary>Its secret, 12 to 16 characters; kept in a file of the owner's until it is in the initiator's own. Field <c>chap_secret</c>.</summary>
    public string? ChapSecret { get; init; }

    /// <summary>The physical volumes: vg; UUIDs, devices or storage numbers, comma separated. Field <c>pv_ids</c>.</summary>
    public string? PhysicalVolumeIds { get; init; }

    /// <summary>The volume group: lv; UUID, name or storage number. Field <c>vg_id</c>.</summary>
    public string? VolumeGroupId { get; init; }

    /// <summary>The kind of logical volume. Field <c>lv_kind</c>.</summary>
    public LogicalVolumeKind Kind { get; init; }

    /// <summary>The thin pool of a thin volume. Field <c>lv_pool</c>.</summary>
    public string? Pool { get; init; }

    /// <summary>The device: local, pv, ocfs2; a path or a storage number. Field <c>device_id</c>.</summary>
    public string? DeviceId { get; init; }

    /// <summary>The DRBD resource. Field <c>drbd_rsc_name</c>.</summary>
    public string? DrbdResourceName { get; init; }

    /// <summary>The device that DRBD mirrors. Field <c>drbd_disk</c>.</summary>
    public string? DrbdDisk { get; init; }

    /// <summary>The peers' addresses, comma separated. Field <c>drbd_peer_ip</c>.</summary>
    public string? DrbdPeerIps { get; init; }

    /// <summary>This host's address among them. Field <c>drbd_ip</c>.</summary>
    public string? DrbdIp { get; init; }

    /// <summary>The number of the DRBD device. Field <c>drbd_minor</c>.</summary>
    public int? DrbdMinor { get; init; }

    /// <summary>The TCP port of the DRBD resource. Field <c>drbd_port</c>.</summary>
    public int? DrbdPort { get; init; }

    /// <summary>The nodes of the cluster: ocfs2. Elements <c>node</c>.</summary>
    public IReadOnlyList<StorageNodeRequest> Nodes { get; init; } = [];
}

/// <summary>A node of an OCFS2 cluster, as a request writes it.</summary>
/// <param name="Pm">The PM that it is. Field <c>pm</c>.</param>
/// <param name="PeerIp">Its address in the cluster. Field <c>peer_ip</c>.</param>
/// <param name="PeerName">Its host name. Field <c>peer_name</c>.</param>
/// <param name="Number">Its slot. Field <c>number</c>.</param>
public sealed record StorageNodeRequest(PmId Pm, string PeerIp, string PeerName, int Number);

/// <summary>A layer of storage as lists and answers show it.</summary>
/// <param name="Layer">Its row, with measured fields where they could be measured.</param>
/// <param name="Attached">Whether it is usable on this host now; <see langword="null"/> where that cannot be told.</param>
/// <param name="Warnings">What is wrong with it, or will be.</param>
/// <param name="Nodes">The nodes of an OCFS2 layer's cluster.</param>
public sealed record StorageView(StorageLayer Layer, bool? Attached, IReadOnlyList<string> Warnings, IReadOnlyList<Ocfs2Node> Nodes);
