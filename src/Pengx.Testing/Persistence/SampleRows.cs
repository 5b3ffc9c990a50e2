using System.Globalization;
using System.Net;

namespace Pengx.Testing;

/// <summary>Whole, valid rows for tests of stores: every field is set, so that a forgotten one shows.</summary>
public static class SampleRows
{
    /// <summary>A time with a fraction, to the 100 ns that a row must keep.</summary>
    public static DateTimeOffset Time { get; } = new DateTimeOffset(2026, 11, 23, 6, 23, 59, TimeSpan.Zero).AddTicks(1_234_567);

    /// <summary>A physical machine.</summary>
    /// <param name="name">Its name.</param>
    public static PhysicalMachine Pm(string name = "pm1") => new()
    {
        Id = PmId.New(),
        Name = name,
        Cpus = 8,
        Memory = DataSize.FromGiB(64),
        SshPublicKey = "ssh-ed25519 AAAAC3Nz pm1",
        CreatedAt = Time,
        UpdatedAt = Time.AddDays(1),
    };

    /// <summary>A storage link.</summary>
    /// <param name="pm">Its physical machine.</param>
    /// <param name="id">Its number.</param>
    /// <param name="name">Its name.</param>
    public static Storlink Storlink(PmId pm, int id = 1, string name = "local") => new()
    {
        Id = new(id),
        Pm = pm,
        Name = name,
        Link = "/srv/pengx",
        Type = StorlinkType.FibreChannel,
        Level = StorlinkLevel.File,
        Shared = true,
        Description = "the fast one",
    };

    /// <summary>A virtual machine.</summary>
    /// <param name="pm">Its physical machine.</param>
    /// <param name="name">Its name.</param>
    public static VirtualMachine Vm(PmId pm, string name = "web1") => new()
    {
        Id = VmId.New(),
        Pm = pm,
        Name = name,
        Description = "Web server, \"ünïcode\" & <xml>",
        Os = GuestOs.Debian,
        Architecture = OsArchitecture.X86,
        Cpus = 2,
        Memory = DataSize.FromMiB(2048),
        MaxMemory = new DataSize((4L << 40) + 1),
        VirtualFunctions = [new PciAddress(0, 3, 16, 0), new PciAddress(1, 0xff, 31, 7)],
        VncPort = 5901,
        VncPassword = "secret12",
        State = VmState.Paused,
        CreatedAt = Time,
        RecentBootedAt = Time.AddHours(1),
        UpdatedAt = Time.AddHours(2),
    };

    /// <summary>A network interface of a virtual machine.</summary>
    /// <param name="vm">Its machine.</param>
    /// <param name="id">Its number; also the end of its hardware address.</param>
    public static VmInterface Interface(VmId vm, int id = 1) => new()
    {
        Id = new(id),
        Vm = vm,
        Name = "eth0",
        Switch = "xenbr0",
        Mac = MacAddress.Parse(string.Create(CultureInfo.InvariantCulture, $"00:16:3e:00:{id / 256:x2}:{id % 256:x2}")),
        IpAddress = IPAddress.Parse("2001:db8::7"),
        Method = AddressMethod.Dhcp,
        Retired = true,
    };

    /// <summary>A template.</summary>
    /// <param name="pm">Its physical machine.</param>
    /// <param name="name">Its name.</param>
    public static Template Template(PmId pm, string name = "debian12") => new()
    {
        Id = TemplateId.New(),
        Pm = pm,
        Name = name,
        Description = "golden",
        Os = GuestOs.Windows,
        Architecture = OsArchitecture.X86,
        VncPort = 5902,
        VncPassword = "golden12",
        State = VmState.Running,
        CreatedAt = Time,
        RecentBootedAt = Time.AddHours(1),
        UpdatedAt = Time.AddHours(2),
    };

    /// <summary>A disk.</summary>
    /// <param name="owner">Its owner.</param>
    /// <param name="storlink">The storage link it lies on.</param>
    /// <param name="order">Its place among the owner's disks.</param>
    public static Disk Disk(DiskOwner owner, StorlinkId storlink, int order = 0) => new()
    {
        Id = DiskId.New(),
        Owner = owner,
        Order = order,
        Size = new DataSize((5L << 40) + 512),
        Format = DiskFormat.Qcow2,
        Storlink = storlink,
        Type = "system",
        Description = "root",
        CreatedAt = Time,
    };

    /// <summary>A snapshot.</summary>
    /// <param name="vm">Its machine.</param>
    /// <param name="name">Its name.</param>
    /// <param name="kind">Saved or run.</param>
    public static Snapshot Snapshot(VmId vm, string name = "before upgrade", SnapshotKind kind = SnapshotKind.Saved) => new()
    {
        Id = SnapshotId.New(),
        Vm = vm,
        Kind = kind,
        Name = name,
        Description = "safe point",
        CreatedAt = Time,
    };

    /// <summary>A backup.</summary>
    /// <param name="vm">Its machine.</param>
    /// <param name="storlink">The storage link it lies on.</param>
    /// <param name="name">Its name.</param>
    public static Backup Backup(VmId vm, StorlinkId storlink, string name = "nightly") => new()
    {
        Id = BackupId.New(),
        Vm = vm,
        Name = name,
        Description = "kept a week",
        Storlink = storlink,
        Size = DataSize.FromGiB(3),
        CreatedAt = Time,
    };

    /// <summary>A network device.</summary>
    /// <param name="pm">Its physical machine.</param>
    /// <param name="id">Its number.</param>
    /// <param name="name">Its name.</param>
    public static Network Network(PmId pm, int id = 1, string name = "xenbr0") => new()
    {
        Id = id,
        Pm = pm,
        Name = name,
        Category = NetworkCategory.Bridge,
        Method = AddressMethod.Static,
        Mac = MacAddress.Parse("00:16:3e:7f:00:01"),
        IpAddress = IPAddress.Parse("192.0.2.10"),
        PrefixLength = 24,
        Gateway = IPAddress.Parse("192.0.2.1"),
        BridgeType = BridgeType.OpenVSwitch,
        BridgePorts = ["eth0", "eth1"],
        BondSlaves = ["eth2", "eth3"],
        BondMode = BondMode.LinkAggregation,
        Mtu = 9000,
        VlanId = 42,
        VlanDevice = "eth7",
        Managed = true,
    };

    /// <summary>The name servers of a physical machine.</summary>
    /// <param name="pm">The physical machine.</param>
    /// <param name="id">Its number.</param>
    public static DnsServers Dns(PmId pm, int id = 1) => new()
    {
        Id = id,
        Pm = pm,
        Address1 = IPAddress.Parse("192.0.2.53"),
        Address2 = IPAddress.Parse("2001:db8::53"),
    };

    /// <summary>A card with virtual functions.</summary>
    /// <param name="pm">Its physical machine.</param>
    /// <param name="id">Its number.</param>
    /// <param name="name">Its physical function.</param>
    public static SriovCard SriovCard(PmId pm, int id = 1, string name = "eth0") => new()
    {
        Id = id,
        Pm = pm,
        PhysicalFunction = name,
        VirtualFunctions = [new PciAddress(0, 3, 16, 0), new PciAddress(1, 0xff, 31, 7)],
    };

    /// <summary>A layer of storage, with fields of every category.</summary>
    /// <param name="pm">Its physical machine.</param>
    /// <param name="id">Its number; also the end of its mount point.</param>
    public static StorageLayer StorageLayer(PmId pm, int id = 1) => new()
    {
        Id = id,
        Pm = pm,
        Category = StorageCategory.Drbd,
        Name = "vm/disk",
        Size = new DataSize((3L << 40) + 512),
        Free = new DataSize(1L << 33),
        Uuid = "GdK6Jl-8Hsz-oa3k",
        MountPoint = string.Create(CultureInfo.InvariantCulture, $"/mnt/{id}"),
        FileSystem = "xfs",
        MountOptions = "nosuid,nodev",
        TargetIp = IPAddress.Parse("2001:db8::3260"),
        TargetPort = 3261,
        Target = "iqn.2026-11.example:vm",
        Lun = 7,
        ChapUser = "host1",
        PhysicalVolumeIds = ["pv1", "pv2"],
        LogicalVolumeCount = 3,
        VolumeGroupId = "vg",
        DeviceId = "/dev/sdb",
        DrbdResourceName = "r0",
        DrbdDisk = "/dev/sdc",
        DrbdPeerIps = [IPAddress.Parse("192.0.2.2"), IPAddress.Parse("192.0.2.3")],
        DrbdIp = IPAddress.Parse("192.0.2.1"),
        DrbdMinor = 4,
        DrbdPort = 7799,
    };

    /// <summary>A node of an OCFS2 cluster.</summary>
    /// <param name="pm">The physical machine that it is.</param>
    /// <param name="storage">The layer's number.</param>
    /// <param name="id">Its number; also its slot.</param>
    public static Ocfs2Node Ocfs2Node(PmId pm, int storage = 1, int id = 1) => new()
    {
        Id = id,
        Storage = storage,
        Pm = pm,
        PeerIp = IPAddress.Parse("192.0.2.7"),
        PeerName = string.Create(CultureInfo.InvariantCulture, $"node{id}"),
        Number = id,
    };
}
