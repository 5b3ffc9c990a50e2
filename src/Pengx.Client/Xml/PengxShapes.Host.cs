namespace Pengx.Client;

/// <content>The host's own parts, which the reference lists as models and gives no routes.</content>
public static partial class PengxShapes
{
    /// <summary><c>&lt;network&gt;</c> of <c>/networks/</c>.</summary>
    public static XmlShape<NetworkResource> Network { get; } = new("network", "networks", WriteNetwork, ReadNetwork);

    /// <summary><c>&lt;dns&gt;</c> of <c>/dns/</c>.</summary>
    public static XmlShape<DnsResource> Dns { get; } = new("dns", "dnses", WriteDns, ReadDns);

    /// <summary><c>&lt;iso&gt;</c> of <c>/isos/</c>.</summary>
    public static XmlShape<IsoResource> Iso { get; } = new("iso", "isos", WriteIso, ReadIso);

    /// <summary><c>&lt;sriov&gt;</c> of <c>/sriov/</c>.</summary>
    public static XmlShape<SriovResource> Sriov { get; } = new("sriov", "sriovs", WriteSriov, ReadSriov);

    /// <summary><c>&lt;storage&gt;</c> of <c>/storages/</c>.</summary>
    public static XmlShape<StorageResource> Storage { get; } = new("storage", "storages", WriteStorage, ReadStorage);

    /// <summary><c>&lt;plan&gt;</c>: what would be done.</summary>
    public static XmlShape<PlanResource> Plan { get; } = new("plan", null, WritePlan, ReadPlan);

    private static void WriteNetwork(WireWriter writer, NetworkResource value)
    {
        writer.Begin("network", value.Id);
        writer.Uuid("pm", value.Pm);
        writer.Text("name", value.Name);
        writer.Text("category", value.Category);
        writer.Text("mac", value.Mac);
        writer.Text("method", value.Method);
        writer.Text("ipaddress", value.IpAddress);
        writer.Number("prefix", value.Prefix);
        writer.Text("gateway", value.Gateway);
        writer.Text("bridge_type", value.BridgeType);
        writer.Text("bridge_ports", value.BridgePorts);
        writer.Text("bond_slaves", value.BondSlaves);
        writer.Text("bond_mode", value.BondMode);
        writer.Number("mtu", value.Mtu);
        writer.Number("vlan_id", value.VlanId);
        writer.Text("vlan_device", value.VlanDevice);
        writer.Boolean("managed", value.Managed);
        writer.Begin("actual");
        if (value.Actual is { } actual)
        {
            WriteActual(writer, actual);
        }

        writer.End();
        writer.End();
    }

    private static void WriteActual(WireWriter writer, NetworkActual value)
    {
        writer.Text("mac", value.Mac);
        writer.Text("ipaddress", value.IpAddress);
        writer.Number("prefix", value.Prefix);
        writer.Text("bridge_ports", value.BridgePorts);
        writer.Text("bond_slaves", value.BondSlaves);
        writer.Text("bond_mode", value.BondMode);
        writer.Number("mtu", value.Mtu);
    }

    private static NetworkResource ReadNetwork(WireElement element) => new()
    {
        Id = element.RequiredInteger(),
        Pm = element.Reference("pm"),
        Name = element.Required("name"),
        Category = element.Optional("category"),
        Mac = element.Optional("mac"),
        Method = element.Optional("method"),
        IpAddress = element.Optional("ipaddress"),
        Prefix = element.Integer("prefix"),
        Gateway = element.Optional("gateway"),
        BridgeType = element.Optional("bridge_type"),
        BridgePorts = element.Optional("bridge_ports"),
        BondSlaves = element.Optional("bond_slaves"),
        BondMode = element.Optional("bond_mode"),
        Mtu = element.Integer("mtu"),
        VlanId = element.Integer("vlan_id"),
        VlanDevice = element.Optional("vlan_device"),
        Managed = element.Boolean("managed"),
        Actual = element.Find("actual") is { Children.Count: > 0 } actual ? ReadActual(actual) : null,
    };

    private static NetworkActual ReadActual(WireElement element) => new()
    {
        Mac = element.Optional("mac"),
        IpAddress = element.Optional("ipaddress"),
        Prefix = element.Integer("prefix"),
        BridgePorts = element.Optional("bridge_ports"),
        BondSlaves = element.Optional("bond_slaves"),
        BondMode = element.Optional("bond_mode"),
        Mtu = element.Integer("mtu"),
    };

    private static void WriteDns(WireWriter writer, DnsResource value)
    {
        writer.Begin("dns", value.Id);
        writer.Uuid("pm", value.Pm);
        writer.Text("ipaddress1", value.IpAddress1);
        writer.Text("ipaddress2", value.IpAddress2);
        writer.Text("actual", value.Actual);
        writer.End();
    }

    private static DnsResource ReadDns(WireElement element) => new()
    {
        Id = element.RequiredInteger(),
        Pm = element.Reference("pm"),
        IpAddress1 = element.Optional("ipaddress1"),
        IpAddress2 = element.Optional("ipaddress2"),
        Actual = element.Optional("actual"),
    };

    private static void WriteIso(WireWriter writer, IsoResource value)
    {
        writer.Begin("iso");
        writer.Text("name", value.Name);
        writer.Number("size", value.Size);
        writer.End();
    }

    private static IsoResource ReadIso(WireElement element) => new() { Name = element.Required("name"), Size = element.Number("size") ?? 0 };

    private static void WriteSriov(WireWriter writer, SriovResource value)
    {
        writer.Begin("sriov", value.Id);
        writer.Uuid("pm", value.Pm);
        writer.Text("pf", value.PhysicalFunction);
        writer.Number("total_vfs", value.Total);
        writer.Begin("vfs");
        foreach (var function in value.Functions)
        {
            writer.Begin("vf");
            writer.Text("address", function.Address);
            writer.Reference("vm", function.Machine);
            writer.End();
        }

        writer.End();
        writer.End();
    }

    private static SriovResource ReadSriov(WireElement element) => new()
    {
        Id = element.RequiredInteger(),
        Pm = element.Reference("pm"),
        PhysicalFunction = element.Required("pf"),
        Total = element.Integer("total_vfs"),
        Functions = [.. (element.Find("vfs")?.FindAll("vf") ?? []).Select(function => new SriovFunctionResource { Address = function.Required("address"), Machine = function.Reference("vm") })],
    };

    private static void WriteStorage(WireWriter writer, StorageResource value)
    {
        writer.Begin("storage", value.Id);
        writer.Uuid("pm", value.Pm);
        writer.Text("category", value.Category);
        writer.Number("size", value.Size);
        writer.Number("free", value.Free);
        writer.Text("uuid", value.Uuid);
        writer.Text("name", value.Name);
        writer.Text("mount_point", value.MountPoint);
        writer.Text("filesystem", value.FileSystem);
        writer.Text("mount_options", value.MountOptions);
        writer.Text("target_ip", value.TargetIp);
        writer.Number("target_port", value.TargetPort);
        writer.Text("target", value.Target);
        writer.Number("lun", value.Lun);
        writer.Text("chap_user", value.ChapUser);
        writer.Text("pv_ids", value.PvIds);
        writer.Text("vg_id", value.VgId);
        writer.Text("device_id", value.DeviceId);
        writer.Text("drbd_rsc_name", value.DrbdResourceName);
        writer.Text("drbd_disk", value.DrbdDisk);
        writer.Text("drbd_peer_ip", value.DrbdPeerIp);
        writer.Text("drbd_ip", value.DrbdIp);
        writer.Number("drbd_minor", value.DrbdMinor);
        writer.Number("drbd_port", value.DrbdPort);
        writer.Number("lv_no", value.LvNo);
        writer.Boolean("attached", value.Attached);
        writer.Begin("warnings");
        foreach (var warning in value.Warnings)
        {
            writer.Text("warning", warning);
        }

        writer.End();
        writer.Begin("nodes");
        foreach (var node in value.Nodes)
        {
            WriteNode(writer, node);
        }

        writer.End();
        writer.End();
    }

    internal static void WriteNode(WireWriter writer, StorageNodeResource node)
    {
        writer.Begin("node");
        writer.Uuid("pm", node.Pm);
        writer.Text("peer_ip", node.PeerIp);
        writer.Text("peer_name", node.PeerName);
        writer.Number("number", node.Number);
        writer.End();
    }

    private static StorageResource ReadStorage(WireElement element) => new()
    {
        Id = element.RequiredInteger(),
        Pm = element.Reference("pm"),
        Category = element.Required("category"),
        Size = element.Number("size"),
        Free = element.Number("free"),
        Uuid = element.Optional("uuid"),
        Name = element.Optional("name"),
        MountPoint = element.Optional("mount_point"),
        FileSystem = element.Optional("filesystem"),
        MountOptions = element.Optional("mount_options"),
        TargetIp = element.Optional("target_ip"),
        TargetPort = element.Integer("target_port"),
        Target = element.Optional("target"),
        Lun = element.Integer("lun"),
        ChapUser = element.Optional("chap_user"),
        PvIds = element.Optional("pv_ids"),
        VgId = element.Optional("vg_id"),
        DeviceId = element.Optional("device_id"),
        DrbdResourceName = element.Optional("drbd_rsc_name"),
        DrbdDisk = element.Optional("drbd_disk"),
        DrbdPeerIp = element.Optional("drbd_peer_ip"),
        DrbdIp = element.Optional("drbd_ip"),
        DrbdMinor = element.Integer("drbd_minor"),
        DrbdPort = element.Integer("drbd_port"),
        LvNo = element.Integer("lv_no"),
        Attached = WireReading.TryBoolean(element.Find("attached")?.Text, out var attached) ? attached : null,
        Warnings = [.. (element.Find("warnings")?.FindAll("warning") ?? []).Select(warning => warning.Text ?? "")],
        Nodes =
        [
            .. (element.Find("nodes")?.FindAll("node") ?? []).Select(node => new StorageNodeResource
            {
                Pm = node.Uuid("pm") ?? Guid.Empty,
                PeerIp = node.Required("peer_ip"),
                PeerName = node.Required("peer_name"),
                Number = node.Integer("number") ?? 0,
            }),
        ],
    };

    private static void WritePlan(WireWriter writer, PlanResource value)
    {
        writer.Begin("plan");
        writer.Text("title", value.Title);
        writer.Text("risk", value.Risk);
        writer.Begin("warnings");
        foreach (var warning in value.Warnings)
        {
            writer.Text("warning", warning);
        }

        writer.End();
        writer.Begin("steps");
        foreach (var step in value.Steps)
        {
            writer.Begin("step");
            writer.Text("description", step.Description);
            writer.Text("risk", step.Risk);
            foreach (var before in step.Before)
            {
                writer.Text("before", before);
            }

            writer.Text("run", step.Run);
            writer.Text("after", step.After);
            writer.Text("undo", step.Undo);
            writer.End();
        }

        writer.End();
        writer.End();
    }

    private static PlanResource ReadPlan(WireElement element) => new()
    {
        Title = element.Required("title"),
        Risk = element.Optional("risk"),
        Warnings = [.. (element.Find("warnings")?.FindAll("warning") ?? []).Select(warning => warning.Text ?? "")],
        Steps =
        [
            .. (element.Find("steps")?.FindAll("step") ?? []).Select(step => new PlanStepResource
            {
                Description = step.Required("description"),
                Risk = step.Optional("risk"),
                Before = [.. step.FindAll("before").Select(before => before.Text ?? "")],
                Run = step.Required("run"),
                After = step.Required("after"),
                Undo = step.Optional("undo"),
            }),
        ],
    };
}
