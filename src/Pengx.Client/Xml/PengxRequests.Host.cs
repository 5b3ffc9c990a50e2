namespace Pengx.Client;

/// <content>The host's own parts, which the reference lists as models and gives no routes.</content>
public static partial class PengxRequests
{
    /// <summary><c>POST /networks/</c> and <c>PUT /networks/{id}/</c>.</summary>
    public static RequestShape<NetworkRequest> Network { get; } = new(
        ["network"],
        (writer, value) =>
        {
            writer.OptionalText("name", value.Name);
            writer.OptionalText("category", value.Category);
            writer.OptionalText("method", value.Method);
            writer.OptionalText("ipaddress", value.IpAddress);
            writer.OptionalNumber("prefix", value.Prefix);
            writer.OptionalText("gateway", value.Gateway);
            writer.OptionalText("bridge_type", value.BridgeType);
            writer.OptionalText("bridge_ports", value.BridgePorts);
            writer.OptionalText("bond_slaves", value.BondSlaves);
            writer.OptionalText("bond_mode", value.BondMode);
            writer.OptionalNumber("mtu", value.Mtu);
            writer.OptionalNumber("vlan_id", value.VlanId);
            writer.OptionalText("vlan_device", value.VlanDevice);
        },
        fields => new NetworkRequest
        {
            Name = fields.Text("name"),
            Category = fields.Text("category"),
            Method = fields.Text("method"),
            IpAddress = fields.Text("ipaddress"),
            Prefix = fields.Integer("prefix"),
            Gateway = fields.Text("gateway"),
            BridgeType = fields.Text("bridge_type"),
            BridgePorts = fields.Text("bridge_ports"),
            BondSlaves = fields.Text("bond_slaves"),
            BondMode = fields.Text("bond_mode"),
            Mtu = fields.Integer("mtu"),
            VlanId = fields.Integer("vlan_id"),
            VlanDevice = fields.Text("vlan_device"),
        });

    /// <summary><c>POST /dns/</c> and <c>PUT /dns/{id}/</c>.</summary>
    public static RequestShape<DnsRequest> Dns { get; } = new(
        ["dns"],
        (writer, value) =>
        {
            writer.Text("ipaddress1", value.IpAddress1);
            writer.Text("ipaddress2", value.IpAddress2);
        },
        fields => new DnsRequest { IpAddress1 = fields.RequiredText("ipaddress1"), IpAddress2 = fields.Text("ipaddress2") });

    /// <summary><c>POST /sriov/</c> and <c>PUT /sriov/{id}/</c>.</summary>
    public static RequestShape<SriovRequest> Sriov { get; } = new(
        ["sriov"],
        (writer, value) =>
        {
            writer.OptionalText("pf", value.PhysicalFunction);
            writer.OptionalNumber("num_vfs", value.FunctionCount);
        },
        fields => new SriovRequest { PhysicalFunction = fields.Text("pf"), FunctionCount = fields.Integer("num_vfs") });

    /// <summary><c>POST /storages/</c>.</summary>
    public static RequestShape<StorageCreateRequest> StorageCreate { get; } = new(
        ["storage"],
        (writer, value) =>
        {
            writer.Text("category", value.Category);
            writer.OptionalNumber("size", value.Size);
            writer.OptionalText("name", value.Name);
            writer.OptionalText("mount_point", value.MountPoint);
            writer.OptionalText("filesystem", value.FileSystem);
            writer.OptionalText("mount_options", value.MountOptions);
            writer.OptionalText("target_ip", value.TargetIp);
            writer.OptionalNumber("target_port", value.TargetPort);
            writer.OptionalText("target", value.Target);
            writer.OptionalNumber("lun", value.Lun);
            writer.OptionalText("chap_user", value.ChapUser);
            writer.OptionalText("pv_ids", value.PvIds);
            writer.OptionalText("vg_id", value.VgId);
            writer.OptionalText("device_id", value.DeviceId);
            writer.OptionalText("drbd_rsc_name", value.DrbdResourceName);
            writer.OptionalText("drbd_disk", value.DrbdDisk);
            writer.OptionalText("drbd_peer_ip", value.DrbdPeerIp);
            writer.OptionalText("drbd_ip", value.DrbdIp);
            writer.OptionalNumber("drbd_minor", value.DrbdMinor);
            writer.OptionalNumber("drbd_port", value.DrbdPort);
            writer.OptionalText("chap_secret", value.ChapSecret);
            writer.OptionalText("lv_kind", value.LvKind);
            writer.OptionalText("lv_pool", value.LvPool);
            writer.OptionalBoolean("format", value.Format);
            writer.OptionalText("consent", value.Consent);
            foreach (var node in value.Nodes)
            {
                PengxShapes.WriteNode(writer, node);
            }
        },
        fields => new StorageCreateRequest
        {
            Category = fields.RequiredText("category"),
            Size = fields.Number("size"),
            Name = fields.Text("name"),
            MountPoint = fields.Text("mount_point"),
            FileSystem = fields.Text("filesystem"),
            MountOptions = fields.Text("mount_options"),
            TargetIp = fields.Text("target_ip"),
            TargetPort = fields.Integer("target_port"),
            Target = fields.Text("target"),
            Lun = fields.Integer("lun"),
            ChapUser = fields.Text("chap_user"),
            PvIds = fields.Text("pv_ids"),
            VgId = fields.Text("vg_id"),
            DeviceId = fields.Text("device_id"),
            DrbdResourceName = fields.Text("drbd_rsc_name"),
            DrbdDisk = fields.Text("drbd_disk"),
            DrbdPeerIp = fields.Text("drbd_peer_ip"),
            DrbdIp = fields.Text("drbd_ip"),
            DrbdMinor = fields.Integer("drbd_minor"),
            DrbdPort = fields.Integer("drbd_port"),
            ChapSecret = fields.Text("chap_secret"),
            LvKind = fields.Text("lv_kind"),
            LvPool = fields.Text("lv_pool"),
            Format = fields.Boolean("format"),
            Consent = fields.Text("consent"),
            Nodes = fields.Elements("node", node => new StorageNodeResource
            {
                Pm = node.RequiredUuid("pm"),
                PeerIp = node.RequiredText("peer_ip"),
                PeerName = node.RequiredText("peer_name"),
                Number = node.RequiredInteger("number"),
            }),
        });

    /// <summary><c>PUT /storages/{id}/</c>.</summary>
    public static RequestShape<StorageUpdateRequest> StorageUpdate { get; } = new(
        ["storage"],
        (writer, value) => writer.OptionalNumber("size", value.Size),
        fields => new StorageUpdateRequest { Size = fields.Number("size") });
}
