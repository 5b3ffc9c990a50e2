using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text;

namespace Pengx.Orchestration;

/// <summary>What the fields of storage layers accept.</summary>
internal static class StorageRules
{
    private const int MaxPathLength = 1024;
    private const int MaxNameLength = 127;

    private static readonly SearchValues<char> s_misread = SearchValues.Create(",;:'\"\\`$|&<>*?() \t");

    public static StorageLayer Layer(StorageRequest request, PmId pm)
    {
        var category = request.Category is { } given && Enum.IsDefined(given) ? given : throw new InvalidFieldException("category", null, "it is local, fc, iscsi, nfs, ocfs2, drbd, pv, vg or lv");
        Only(request, category);
        var layer = new StorageLayer { Id = 0, Pm = pm, Category = category, MountPoint = Optional(request.MountPoint, value => Path("mount_point", value)) };
        layer = category switch
        {
            StorageCategory.Local when request.DeviceId is null => layer with { MountPoint = Path("mount_point", request.MountPoint) },
            StorageCategory.Local => layer with { DeviceId = Device("device_id", request.DeviceId), MountPoint = Path("mount_point", request.MountPoint), FileSystem = FileSystem(request.FileSystem) },
            StorageCategory.FibreChannel => layer with { Target = Wwpn(request.Target), Lun = Lun(request.Lun) },
            StorageCategory.Iscsi => layer with
            {
                TargetIp = NetworkRules.Address("target_ip", request.TargetIp),
                TargetPort = Port("target_port", request.TargetPort),
                Target = Iqn(request.Target),
                Lun = Lun(request.Lun ?? 0),
                ChapUser = Chap(request),
            },
            StorageCategory.Nfs => layer with { Target = Export(request.Target), MountPoint = Path("mount_point", request.MountPoint), Uuid = Guid.NewGuid().ToString() },
            StorageCategory.Ocfs2 => layer with { DeviceId = Device("device_id", request.DeviceId), MountPoint = Path("mount_point", request.MountPoint), FileSystem = "ocfs2" },
            StorageCategory.Drbd => layer with
            {
                DrbdResourceName = Name("drbd_rsc_name", request.DrbdResourceName),
                DrbdDisk = Device("drbd_disk", request.DrbdDisk),
                DrbdIp = NetworkRules.Address("drbd_ip", request.DrbdIp),
                DrbdPeerIps = Peers(request),
                DrbdMinor = request.DrbdMinor is >= 0 and < 1 << 20 ? request.DrbdMinor : throw new InvalidFieldException("drbd_minor", Text(request.DrbdMinor), "it is the number N of /dev/drbdN, from 0 to 1048575"),
                DrbdPort = Port("drbd_port", request.DrbdPort),
            },
            StorageCategory.PhysicalVolume => layer with { DeviceId = Device("device_id", request.DeviceId) },
            StorageCategory.VolumeGroup => layer with { Name = Name("name", request.Name), PhysicalVolumeIds = Items("pv_ids", request.PhysicalVolumeIds) },
            _ => layer with { Name = Name("name", request.Name), VolumeGroupId = Demand("vg_id", request.VolumeGroupId), Size = Size(request.SizeMiB) },
        };
        if (layer is { MountPoint: not null, FileSystem: null, Category: StorageCategory.FibreChannel or StorageCategory.Iscsi or StorageCategory.LogicalVolume })
        {
            layer = layer with { FileSystem = FileSystem(request.FileSystem) };
        }

        return layer with { MountOptions = Optional(request.MountOptions, Options) };
    }

    public static DataSize Size(long? value) => value is >= 1 and <= 1L << 40 ? DataSize.FromMiB(value.Value) : throw new InvalidFieldException("size", value?.ToString(CultureInfo.InvariantCulture), "it is given in whole MiB, from 1 on");

    /// <summary>What the reference does not list for a category is refused, so that a slip shows.</summary>
    private static void Only(StorageRequest request, StorageCategory category)
    {
        (string Field, string? Value, StorageCategory[] Of)[] fields =
        [
            ("name", request.Name, [StorageCategory.VolumeGroup, StorageCategory.LogicalVolume]),
            ("size", Text(request.SizeMiB), [StorageCategory.LogicalVolume]),
            ("mount_point", request.MountPoint, [StorageCategory.Local, StorageCategory.FibreChannel, StorageCategory.Iscsi, StorageCategory.Nfs, StorageCategory.Ocfs2, StorageCategory.LogicalVolume]),
            ("filesystem", request.FileSystem, [StorageCategory.Local, StorageCategory.FibreChannel, StorageCategory.Iscsi, StorageCategory.LogicalVolume]),
            ("mount_options", request.MountOptions, [StorageCategory.Nfs]),
            ("target_ip", request.TargetIp, [StorageCategory.Iscsi]),
            ("target_port", Text(request.TargetPort), [StorageCategory.Iscsi]),
            ("target", request.Target, [StorageCategory.Nfs, StorageCategory.Iscsi, StorageCategory.FibreChannel]),
            ("lun", Text(request.Lun), [StorageCategory.Iscsi, StorageCategory.FibreChannel]),
            ("chap_user", request.ChapUser, [StorageCategory.Iscsi]),
            ("pv_ids", request.PhysicalVolumeIds, [StorageCategory.VolumeGroup]),
            ("vg_id", request.VolumeGroupId, [StorageCategory.LogicalVolume]),
            ("lv_pool", request.Pool, [StorageCategory.LogicalVolume]),
            ("device_id", request.DeviceId, [StorageCategory.Local, StorageCategory.PhysicalVolume, StorageCategory.Ocfs2]),
            ("drbd_rsc_name", request.DrbdResourceName, [StorageCategory.Drbd]),
            ("drbd_disk", request.DrbdDisk, [StorageCategory.Drbd]),
            ("drbd_peer_ip", request.DrbdPeerIps, [StorageCategory.Drbd]),
            ("drbd_ip", request.DrbdIp, [StorageCategory.Drbd]),
            ("drbd_minor", Text(request.DrbdMinor), [StorageCategory.Drbd]),
            ("drbd_port", Text(request.DrbdPort), [StorageCategory.Drbd]),
            ("node", request.Nodes.Count == 0 ? null : Text(request.Nodes.Count), [StorageCategory.Ocfs2]),
        ];
        foreach (var (field, value, of) in fields)
        {
            if (value is not null && !of.Contains(category))
            {
                throw new InvalidFieldException(field, value, $"it is for the categories {string.Join(", ", of.Select(Text))} only");
            }
        }

        if (request.ChapSecret is not null && category != StorageCategory.Iscsi)
        {
            throw new InvalidFieldException("chap_secret", null, "it is for the category iscsi only");
        }
    }

    public static string Text(StorageCategory category) => category switch
    {
        StorageCategory.Local => "local",
        StorageCategory.FibreChannel => "fc",
        StorageCategory.Iscsi => "iscsi",
        StorageCategory.Nfs => "nfs",
        StorageCategory.Ocfs2 => "ocfs2",
        StorageCategory.Drbd => "drbd",
        StorageCategory.PhysicalVolume => "pv",
        StorageCategory.VolumeGroup => "vg",
        _ => "lv",
    };

    public static IReadOnlyList<Ocfs2Node> Nodes(StorageRequest request, PmId own)
    {
        if (request.Category != StorageCategory.Ocfs2)
        {
            return [];
        }

        Ocfs2Node[] nodes =
        [
            .. request.Nodes.Select(node => new Ocfs2Node
            {
                Id = 0,
                Storage = 0,
                Pm = node.Pm,
                PeerIp = NetworkRules.Address("peer_ip", node.PeerIp),
                PeerName = HostName(node.PeerName),
                Number = node.Number is >= 0 and <= 254 ? node.Number : throw new InvalidFieldException("number", Text(node.Number), "a node has a slot from 0 to 254"),
            }),
        ];
        return nodes.Length == 0 || nodes.All(node => node.Pm != own) ? throw new InvalidFieldException("node", null, "the cluster's nodes are listed, this PM among them")
            : Twice(nodes, node => node.Number) is { } slot ? throw new InvalidFieldException("number", Text(slot), "each node has a slot of its own")
            : Twice(nodes, node => node.PeerName) is { } name ? throw new InvalidFieldException("peer_name", name, "each node has a name of its own")
            : Twice(nodes, node => node.PeerIp) is { } address ? throw new InvalidFieldException("peer_ip", address.ToString(), "each node has an address of its own")
            : nodes;
    }

    private static T? Twice<T>(IEnumerable<Ocfs2Node> nodes, Func<Ocfs2Node, T> key)
    {
        var twice = nodes.GroupBy(key).FirstOrDefault(group => group.Skip(1).Any());
        return twice is null ? default : twice.Key;
    }

    private static int? Twice(IEnumerable<Ocfs2Node> nodes, Func<Ocfs2Node, int> key) => nodes.GroupBy(key).FirstOrDefault(group => group.Skip(1).Any())?.Key;

    private static string HostName(string? value)
    {
        var trimmed = value?.Trim() ?? "";
        return trimmed.Length is >= 1 and <= 64 && char.IsAsciiLetterOrDigit(trimmed[0]) && trimmed.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '-')
            ? trimmed
            : throw new InvalidFieldException("peer_name", value, "it is the node's host name: 1 to 64 letters, digits, dots and hyphens");
    }

    public static string Path(string field, string? value)
    {
        var trimmed = value?.Trim() ?? "";
        var parts = trimmed.Split('/');
        return trimmed.Length is >= 2 and <= MaxPathLength && trimmed[0] == '/' && trimmed.AsSpan().IndexOfAny(s_misread) < 0 && !trimmed.EnumerateRunes().Any(Rune.IsControl)
            && !parts.Any(part => part is "." or "..") && !parts[1..].SkipLast(1).Any(string.IsNullOrEmpty)
            ? trimmed.TrimEnd('/')
            : throw new InvalidFieldException(field, value, $"it is an absolute path of at most {MaxPathLength} characters, without '.', '..' and empty parts, and without blanks and ,;:'\"\\`$|&<>*?()");
    }

    public static string Device(string field, string? value)
    {
        // Names of udev's have colons: by-path/ip-192.0.2.1:3260-iscsi-iqn…-lun-0.
        var trimmed = value?.Trim() ?? "";
        return trimmed.StartsWith("/dev/", StringComparison.Ordinal) && trimmed.Length is > 5 and <= MaxPathLength
            && trimmed.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '/' or '.' or '_' or '-' or ':' or '+' or '@')
            && !trimmed.Split('/')[1..].Any(part => part is "" or "." or "..")
            ? trimmed
            : throw new InvalidFieldException(field, value, "it is the path of a device beneath /dev/, such as /dev/sdb");
    }

    private static string Name(string field, string? value)
    {
        var trimmed = value?.Trim() ?? "";
        return trimmed.Length is >= 1 and <= MaxNameLength && (char.IsAsciiLetterOrDigit(trimmed[0]) || trimmed[0] == '_')
            && trimmed.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '_' or '+' or '-')
            ? trimmed
            : throw new InvalidFieldException(field, value, $"it has 1 to {MaxNameLength} letters, digits, dots, hyphens, underscores and plus signs, and begins with a letter, digit or underscore");
    }

    // RFC 3720, 3.2.6.3: lower case letters, digits, '-', '.' and ':'.
    private static string Iqn(string? value)
    {
        var trimmed = value?.Trim() ?? "";
        var isIqn = trimmed.Length is > 12 and <= 223 && trimmed.StartsWith("iqn.", StringComparison.Ordinal) && trimmed[8] == '-' && trimmed[11] == '.'
            && trimmed[4..8].All(char.IsAsciiDigit) && trimmed[9..11].All(char.IsAsciiDigit)
            && trimmed.All(letter => char.IsAsciiLetterLower(letter) || char.IsAsciiDigit(letter) || letter is '.' or '-' or ':');
        var isNumber = trimmed.Length is 20 && trimmed.StartsWith("eui.", StringComparison.Ordinal) && trimmed[4..].All(char.IsAsciiHexDigit);
        return isIqn || isNumber ? trimmed : throw new InvalidFieldException("target", value, "it is an iSCSI name such as iqn.2026-11.org.example:disk1 (lower case) or eui. with 16 hexadecimal digits");
    }

    private static string Wwpn(string? value)
    {
        var digits = (value?.Trim() ?? "").Replace(":", "", StringComparison.Ordinal).ToLowerInvariant();
        digits = digits.StartsWith("0x", StringComparison.Ordinal) ? digits[2..] : digits;
        return digits.Length == 16 && digits.All(char.IsAsciiHexDigit) ? $"0x{digits}" : throw new InvalidFieldException("target", value, "it is the world wide port name of an FC target: 16 hexadecimal digits");
    }

    private static string Export(string? value)
    {
        var trimmed = value?.Trim() ?? "";
        var colon = trimmed.StartsWith('[') ? trimmed.IndexOf("]:", StringComparison.Ordinal) + 1 : trimmed.IndexOf(':', StringComparison.Ordinal);
        if (colon < 1)
        {
            throw Refused();
        }

        var (server, path) = (trimmed[..colon], trimmed[(colon + 1)..]);
        var isAddress = IPAddress.TryParse(server.Trim('[', ']'), out _) && server.Contains(':', StringComparison.Ordinal) == server.StartsWith('[');
        var isName = server.Length <= 255 && server.Split('.').All(part => part.Length is >= 1 and <= 63 && part[0] != '-' && part.All(letter => char.IsAsciiLetterOrDigit(letter) || letter == '-'));
        return (isAddress || isName) && (path == "/" || Path("target", path) == path) ? trimmed : throw Refused();

        InvalidFieldException Refused() => new("target", value, "it is server:/path, with a host name, an IPv4 address or an IPv6 address in brackets");
    }

    private static string Options(string value)
    {
        string[] allowed = ["vers", "nfsvers", "proto", "port", "mountport", "timeo", "retrans", "rsize", "wsize", "nconnect", "hard", "soft", "softerr", "ro", "rw", "noatime", "nolock", "lock", "sec", "nosuid", "nodev", "noexec", "ac", "noac", "actimeo", "retry"];
        foreach (var option in value.Split(','))
        {
            var key = option.Split('=')[0];
            if (!allowed.Contains(key) || !option.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '=' or '.' or '_'))
            {
                throw new InvalidFieldException("mount_options", value, $"'{option}' is none of {string.Join(", ", allowed)}");
            }
        }

        return value;
    }

    private static string? Chap(StorageRequest request)
    {
        if (request.ChapUser is null != request.ChapSecret is null)
        {
            throw new InvalidFieldException(request.ChapUser is null ? "chap_user" : "chap_secret", null, "CHAP needs both a user and a secret");
        }

        // Secrets and names end up as lines of a file.
        if (request.ChapSecret is { } secret && (secret.Length is < 12 or > 255 || secret.Any(letter => letter is <= ' ' or > '~')))
        {
            throw new InvalidFieldException("chap_secret", null, "it has 12 to 255 printable characters without blanks (it is not shown)");
        }

        return request.ChapUser is { } user && (user.Length > 255 || user.Any(letter => letter is <= ' ' or > '~'))
            ? throw new InvalidFieldException("chap_user", user, "it has 1 to 255 printable characters without blanks")
            : request.ChapUser;
    }

    private static string FileSystem(string? value) => value is "ext4" or "xfs" ? value : throw new InvalidFieldException("filesystem", value, "it is ext4 or xfs");

    private static int Lun(int? value) => value is >= 0 and < 16384 ? value.Value : throw new InvalidFieldException("lun", Text(value), "a logical unit has a number from 0 to 16383");

    private static int? Port(string field, int? value) => value is null or (>= 1 and <= 65535) ? value : throw new InvalidFieldException(field, Text(value), "it is a TCP port from 1 to 65535");

    private static string[] Items(string field, string? value) =>
        (value ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) is { Length: > 0 } items ? items : throw new InvalidFieldException(field, value, "at least one is named");

    private static IPAddress[] Peers(StorageRequest request)
    {
        IPAddress[] peers = [.. Items("drbd_peer_ip", request.DrbdPeerIps).Select(text => NetworkRules.Address("drbd_peer_ip", text))];
        return peers.Distinct().Count() == peers.Length && !peers.Contains(NetworkRules.Address("drbd_ip", request.DrbdIp))
            ? peers
            : throw new InvalidFieldException("drbd_peer_ip", request.DrbdPeerIps, "each peer is named once, and this host is none of them");
    }

    private static string Demand(string field, string? value) => string.IsNullOrWhiteSpace(value) ? throw new InvalidFieldException(field, value, "it is needed for this category") : value.Trim();

    private static string? Optional(string? value, Func<string, string> rule) => value is null ? null : rule(value);

    private static string? Text(long? value) => value?.ToString(CultureInfo.InvariantCulture);
}
