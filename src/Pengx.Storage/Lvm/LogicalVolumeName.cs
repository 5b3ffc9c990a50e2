using System.Globalization;

namespace Pengx.Storage;

/// <summary>The names and tags of logical volumes: made from a disk's UUID and nothing else.</summary>
/// <remarks><c>{uuid}</c> is a whole volume, <c>part-{uuid}</c> one half made, <c>del-{uuid}</c> one half removed.</remarks>
internal static class LogicalVolumeName
{
    public const string Tag = "pengx";
    private const string FormatTag = "pengx.format.";
    private const string SizeTag = "pengx.size.";
    private const string GrowTag = "pengx.grow.";
    private const string PartPrefix = "part-";
    private const string TrashPrefix = "del-";
    private const int MaxLength = 127;

    private static readonly string[] s_reservedStarts = ["snapshot", "pvmove"];
    private static readonly string[] s_reservedParts = ["_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_mimage", "_mlog", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig", "_pmspare", "_iorig", "_imeta", "_vpool"];

    public static string Final(DiskId disk) => disk.ToString();

    public static string Part(DiskId disk) => $"{PartPrefix}{disk}";

    public static string Trash(DiskId disk) => $"{TrashPrefix}{disk}";

    public static IReadOnlyList<string> Tags(VolumeSpec spec) => [Tag, FormatTag + spec.Format.Name, Size(spec.Size)];

    public static string Size(DataSize size) => SizeTag + size.Bytes.ToString(CultureInfo.InvariantCulture);

    /// <summary>Marks a volume that is being grown, with where its old end was: what comes after must be zeroed before use.</summary>
    public static string Growing(long oldSize) => GrowTag + oldSize.ToString(CultureInfo.InvariantCulture);

    public static DiskFormat? FormatOf(LvmLogicalVolume volume) =>
        volume.Tags.FirstOrDefault(tag => tag.StartsWith(FormatTag, StringComparison.Ordinal)) is { } tag && DiskFormatNames.TryParse(tag[FormatTag.Length..], out var format) ? format : null;

    public static DataSize? SizeOf(LvmLogicalVolume volume) => NumberOf(volume, SizeTag) is { } bytes ? new(bytes) : null;

    public static long? GrowingFrom(LvmLogicalVolume volume) => NumberOf(volume, GrowTag);

    /// <summary>Reads a name; <see langword="null"/> for a stranger's.</summary>
    public static VolumeEntry? Parse(string name)
    {
        var prefix = new[] { PartPrefix, TrashPrefix }.FirstOrDefault(candidate => name.StartsWith(candidate, StringComparison.Ordinal)) ?? "";
        return Guid.TryParseExact(name.AsSpan(prefix.Length), "D", out var value) && new DiskId(value) is var disk && name.AsSpan(prefix.Length).SequenceEqual(disk.ToString())
            ? new(disk, name, Complete: prefix.Length == 0)
            : null;
    }

    /// <summary>Demands that a name can be a volume group's or a logical volume's (lvm(8), VALID NAMES).</summary>
    /// <exception cref="InvalidFieldException">It cannot.</exception>
    public static string Demand(string field, string? name)
    {
        var valid = name is { Length: > 0 and <= MaxLength } && name[0] != '-' && name is not ("." or "..")
            && name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '+' or '_' or '.' or '-')
            && !s_reservedStarts.Any(start => name.StartsWith(start, StringComparison.Ordinal))
            && !s_reservedParts.Any(part => name.Contains(part, StringComparison.Ordinal));
        return valid ? name! : throw new InvalidFieldException(field, name, $"it must be 1 to {MaxLength} of the characters a-z, A-Z, 0-9, '+', '_', '.' and '-', not begin with '-', 'snapshot' or 'pvmove', and hold none of LVM's own endings such as '_tdata'.");
    }

    private static long? NumberOf(LvmLogicalVolume volume, string start) =>
        volume.Tags.FirstOrDefault(tag => tag.StartsWith(start, StringComparison.Ordinal)) is { } tag
            && long.TryParse(tag.AsSpan(start.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var bytes) ? bytes : null;
}
