using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Pengx.Orchestration;

/// <summary>What the fields of requests accept; every rule has one place, and a breach names field, value and rule.</summary>
internal static class FieldRules
{
    private const int MaxNameLength = 255;
    private const int MaxDescriptionLength = 4000;
    private const int MaxLinkLength = 1024;
    private const int MaxSwitchLength = 15;
    private const int MaxCpus = 128;
    private const long MinMemoryMiB = 16;
    private const long MaxMemoryMiB = 16L * 1024 * 1024;
    private const long MaxDiskMiB = 64L * 1024 * 1024;

    // What a path of a storage link may not have: characters that some tool's command line or configuration gives a meaning.
    private const string MisreadInPaths = ",;:'\"\\`$|&<>*?";

    private static readonly SearchValues<char> s_misreadInPaths = SearchValues.Create(MisreadInPaths);

    public static string Name(string? value, string field = "name")
    {
        var trimmed = value?.Trim() ?? string.Empty;
        return trimmed.Length > 0 && IsText(trimmed, allowLines: false) && trimmed.EnumerateRunes().Count() <= MaxNameLength
            ? trimmed
            : throw new InvalidFieldException(field, value, $"a name has 1 to {MaxNameLength} characters and no control characters");
    }

    public static string? Description(string? value)
    {
        var trimmed = value?.Trim();
        return string.IsNullOrEmpty(trimmed) ? null
            : trimmed.Length <= MaxDescriptionLength && IsText(trimmed, allowLines: true) ? trimmed
            : throw new InvalidFieldException("desc", value, $"a description has at most {MaxDescriptionLength} characters and no control characters");
    }

    public static int Cpus(int value) => value is >= 1 and <= MaxCpus
        ? value
        : throw new InvalidFieldException("cpu_core", Text(value), $"a machine has 1 to {MaxCpus} processors");

    public static DataSize Memory(string field, long value) => value is >= MinMemoryMiB and <= MaxMemoryMiB
        ? DataSize.FromMiB(value)
        : throw new InvalidFieldException(field, Text(value), $"memory is given in whole MiB, from {MinMemoryMiB} to {MaxMemoryMiB}");

    public static void MemoryFits(DataSize memory, DataSize maxMemory)
    {
        if (memory > maxMemory)
        {
            throw new InvalidFieldException("memory", Text(memory.MiB), $"it is at most maxmem, which is {maxMemory.MiB} MiB");
        }
    }

    public static DataSize DiskSize(string field, long value) => value is >= 1 and <= MaxDiskMiB
        ? DataSize.FromMiB(value)
        : throw new InvalidFieldException(field, Text(value), $"a disk's size is given in whole MiB, from 1 to {MaxDiskMiB}");

    public static string Switch(string field, string? value)
    {
        var trimmed = value?.Trim() ?? string.Empty;
        var name = trimmed.Length > 0 && trimmed.All(char.IsAsciiDigit) ? $"xenbr{Number(trimmed)}" : trimmed;
        return name.Length is >= 1 and <= MaxSwitchLength && char.IsAsciiLetterOrDigit(name[0])
            && name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '_' or '-')
            ? name
            : throw new InvalidFieldException(field, value, $"a switch is a whole number n (xenbr{{n}}) or a name of 1 to {MaxSwitchLength} letters, digits, dots, hyphens and underscores that begins with a letter or digit");

        static string Number(string digits) => digits.TrimStart('0') is { Length: > 0 } number ? number : "0";
    }

    public static IPAddress IpAddress(string? value)
    {
        var trimmed = value?.Trim();
        return IPAddress.TryParse(trimmed, out var address)
            && (address.AddressFamily == AddressFamily.InterNetworkV6
                ? address.ScopeId == 0 && !trimmed.Contains('%', StringComparison.Ordinal) && !trimmed.Contains('[', StringComparison.Ordinal)
                : address.ToString() == trimmed)
            ? address
            : throw new InvalidFieldException("ipaddress", value, "it is an IPv4 address such as 192.168.0.1 or an IPv6 address");
    }

    public static string Link(string? value, StorlinkLevel level)
    {
        var trimmed = value?.Trim() ?? string.Empty;
        if (level == StorlinkLevel.Object)
        {
            return trimmed.Length is >= 1 and <= MaxNameLength && char.IsAsciiLetterOrDigit(trimmed[0])
                && trimmed.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '_' or '-')
                ? trimmed
                : throw new InvalidFieldException("link", value, "at object level (OB) it is a pool's name of letters, digits, dots, hyphens and underscores");
        }

        var parts = trimmed.Split('/');
        return trimmed.Length is >= 2 and <= MaxLinkLength && trimmed[0] == '/' && IsText(trimmed, allowLines: false)
            && trimmed.AsSpan().IndexOfAny(s_misreadInPaths) < 0 && !parts.Any(part => part is "." or "..")
            && !parts[1..].SkipLast(1).Any(string.IsNullOrEmpty)
            ? trimmed.TrimEnd('/')
            : throw new InvalidFieldException("link", value, $"it is an absolute path of at most {MaxLinkLength} characters, without '.', '..' and empty parts, and without control characters and {MisreadInPaths}");
    }

    public static void StorlinkKind(StorlinkType type, StorlinkLevel level)
    {
        if (!Enum.IsDefined(type))
        {
            throw new InvalidFieldException("type", null, "it is LO, FC, ISC, NFS or CEP");
        }

        if (!Enum.IsDefined(level))
        {
            throw new InvalidFieldException("level", null, "it is FL, BL or OB");
        }

        if ((type == StorlinkType.Nfs) && level != StorlinkLevel.File)
        {
            throw new InvalidFieldException("level", Code(level), "storage of type NFS is at file level (FL)");
        }

        if ((type == StorlinkType.Ceph) != (level == StorlinkLevel.Object))
        {
            throw new InvalidFieldException("level", Code(level), type == StorlinkType.Ceph
                ? "storage of type CEP is at object level (OB)"
                : "object level (OB) is for storage of type CEP");
        }
    }

    public static string IsoName(string value)
    {
        var trimmed = value.Trim();
        return trimmed.Length is >= 1 and <= MaxNameLength && IsText(trimmed, allowLines: false) && !trimmed.Contains('/', StringComparison.Ordinal)
            && trimmed is not ("." or "..")
            ? trimmed
            : throw new InvalidFieldException("iso", value, "it is the file name of an ISO image in one of the host's directories");
    }

    private static bool IsText(string text, bool allowLines)
    {
        var rest = text.AsSpan();
        while (!rest.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(rest, out var rune, out var consumed) != OperationStatus.Done
                || (Rune.IsControl(rune) && !(allowLines && rune.Value is '\n' or '\r' or '\t')))
            {
                return false;
            }

            rest = rest[consumed..];
        }

        return true;
    }

    private static string Code(StorlinkLevel level) => level switch
    {
        StorlinkLevel.File => "FL",
        StorlinkLevel.Block => "BL",
        _ => "OB",
    };

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
