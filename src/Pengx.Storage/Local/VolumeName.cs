namespace Pengx.Storage;

/// <summary>The names that files of a disk have in a directory: made from its UUID and nothing else.</summary>
/// <remarks>
/// <c>{uuid}.{format}</c> is a whole volume, <c>{uuid}</c> one that was laid there by hand. Half made ones are
/// <c>.{uuid}.{format}.part-{random}</c>, half removed ones <c>.{uuid}.{format}.trash-{random}</c>.
/// </remarks>
internal static class VolumeName
{
    private const int UuidLength = 36;
    private const string Part = ".part-";
    private const string Trash = ".trash-";

    public static string Final(DiskId disk, DiskFormat format) => $"{disk}.{format.Name}";

    public static string NewPart(DiskId disk, DiskFormat format) => $".{disk}.{format.Name}{Part}{Random()}";

    public static string NewTrash(string final) => $".{final}{Trash}{Random()}";

    /// <summary>The names under which a whole volume can lie.</summary>
    public static IEnumerable<string> Finals(DiskId disk) => [Final(disk, DiskFormat.Raw), Final(disk, DiskFormat.Qcow2), disk.ToString()];

    /// <summary>Reads a name; <see langword="null"/> for a stranger's.</summary>
    public static VolumeEntry? Parse(string name)
    {
        var hidden = name.StartsWith('.');
        var rest = name.AsSpan(hidden ? 1 : 0);
        if (rest.Length < UuidLength || !Guid.TryParseExact(rest[..UuidLength], "D", out var value))
        {
            return null;
        }

        // The same UUID in capitals is another name, and not one that we would ever find again.
        DiskId disk = new(value);
        if (!rest.StartsWith(disk.ToString(), StringComparison.Ordinal))
        {
            return null;
        }

        rest = rest[UuidLength..];
        var ours = hidden
            ? rest.Contains(Part, StringComparison.Ordinal) || rest.Contains(Trash, StringComparison.Ordinal)
            : rest is "" or ".raw" or ".qcow2";
        return ours ? new(disk, name, Complete: !hidden) : null;
    }

    private static string Random() => Guid.NewGuid().ToString("N")[..12];
}
