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
