namespace Pengx.Host;

/// <summary>How the reference spells the domain's values; read in any case.</summary>
internal static class WireNames
{
    private static readonly (string Name, GuestOs Value)[] Systems =
        [.. Enum.GetValues<GuestOs>().Select(os => (os.ToString().ToUpperInvariant(), os))];

    private static readonly (string Name, OsArchitecture Value)[] Architectures = [("X86", OsArchitecture.X86), ("X64", OsArchitecture.X64)];

    private static readonly (string Name, StorlinkType Value)[] Types =
    [
        ("LO", StorlinkType.Local), ("FC", StorlinkType.FibreChannel), ("ISC", StorlinkType.Iscsi), ("NFS", StorlinkType.Nfs), ("CEP", StorlinkType.Ceph),
    ];

    private static readonly (string Name, StorlinkLevel Value)[] Levels = [("FL", StorlinkLevel.File), ("BL", StorlinkLevel.Block), ("OB", StorlinkLevel.Object)];

    private static readonly (string Name, DiskFormat Value)[] Formats = [("raw", DiskFormat.Raw), ("qcow2", DiskFormat.Qcow2)];

    private static readonly (string Name, NetworkCategory Value)[] NetworkCategories = [("nic", NetworkCategory.Nic), ("bridge", NetworkCategory.Bridge), ("bond", NetworkCategory.Bond)];

    private static readonly (string Name, AddressMethod Value)[] Methods =
        [("manual", AddressMethod.Manual), ("static", AddressMethod.Static), ("dhcp", AddressMethod.Dhcp), ("none", AddressMethod.None)];

    private static readonly (string Name, BridgeType Value)[] BridgeTypes = [("bridge", BridgeType.Linux), ("ovs", BridgeType.OpenVSwitch)];

    private static readonly (string Name, StorageCategory Value)[] StorageCategories =
    [
        ("local", StorageCategory.Local), ("fc", StorageCategory.FibreChannel), ("iscsi", StorageCategory.Iscsi), ("nfs", StorageCategory.Nfs), ("ocfs2", StorageCategory.Ocfs2),
        ("drbd", StorageCategory.Drbd), ("pv", StorageCategory.PhysicalVolume), ("vg", StorageCategory.VolumeGroup), ("lv", StorageCategory.LogicalVolume),
    ];

    private static readonly (string Name, LogicalVolumeKind Value)[] VolumeKinds = [("thick", LogicalVolumeKind.Thick), ("thinpool", LogicalVolumeKind.ThinPool), ("thin", LogicalVolumeKind.Thin)];

    private static readonly (string Name, StorageVerb Value)[] Verbs =
        [("attach", StorageVerb.Attach), ("detach", StorageVerb.Detach), ("resize", StorageVerb.Resize), ("delete", StorageVerb.Delete)];

    private static readonly (string Name, StorageRisk Value)[] Risks = [("readonly", StorageRisk.ReadOnly), ("reversible", StorageRisk.Reversible), ("destructive", StorageRisk.Destructive)];

    private static readonly (string Name, bool Value)[] BackupTypes = [("full", false), (Incremental, true)];

    /// <summary>The type of a backup that lies upon another.</summary>
    public const string Incremental = "incremental";

    public static bool IsIncremental(string? text) => text is not null && Read("type", text, BackupTypes);

    public static string Of(NetworkCategory category) => Name(NetworkCategories, category);

    public static string Of(AddressMethod method) => Name(Methods, method);

    public static string Of(BridgeType type) => Name(BridgeTypes, type);

    public static string Of(StorageCategory category) => Name(StorageCategories, category);

    public static string Of(StorageRisk risk) => Name(Risks, risk);

    public static NetworkCategory NetworkKind(string text) => Read("category", text, NetworkCategories);

    public static AddressMethod Method(string text) => Read("method", text, Methods);

    public static BridgeType BridgeKind(string text) => Read("bridge_type", text, BridgeTypes);

    public static StorageCategory StorageKind(string text) => Read("category", text, StorageCategories);

    public static LogicalVolumeKind VolumeKind(string text) => Read("lv_kind", text, VolumeKinds);

    public static StorageVerb Verb(string text) => Read("verb", text, Verbs);

    public static string Of(VmState state) => state.ToString().ToUpperInvariant();

    public static string Of(GuestOs os) => Name(Systems, os);

    public static string Of(OsArchitecture architecture) => Name(Architectures, architecture);

    public static string Of(StorlinkType type) => Name(Types, type);

    public static string Of(StorlinkLevel level) => Name(Levels, level);

    public static GuestOs Os(string text) => Read("os", text, Systems);

    public static OsArchitecture Architecture(string text) => Read("os_arch", text, Architectures);

    public static StorlinkType Type(string text) => Read("type", text, Types);

    public static StorlinkLevel Level(string text) => Read("level", text, Levels);

    public static DiskFormat Format(string field, string text) => Read(field, text, Formats);

    private static string Name<T>((string Name, T Value)[] names, T value) => names.First(entry => EqualityComparer<T>.Default.Equals(entry.Value, value)).Name;

    private static T Read<T>(string field, string text, (string Name, T Value)[] names)
    {
        foreach (var (name, value) in names)
        {
            if (name.Equals(text, StringComparison.OrdinalIgnoreCase))
            {
                return value;
            }
        }

        throw new InvalidFieldException(field, text, $"use one of {string.Join(", ", names.Select(entry => entry.Name))}.");
    }
}
