namespace Pengx.Storage;

/// <summary>The names that images of a disk have in a pool: made from its UUID and nothing else.</summary>
/// <remarks><c>{uuid}</c> is a whole volume, <c>.{uuid}.part-{random}</c> one half made. One half removed lies in the pool's trash,
/// under whichever name it had.</remarks>
internal static class RbdName
{
    /// <summary>How the images begin that a check of the pool makes and removes.</summary>
    public const string ProbePrefix = ".pengx-probe-";

    /// <summary>How the snapshots begin that a clone is made from; each is removed once the clone is there.</summary>
    public const string CloneSnapshotPrefix = "pengx-clone-";

    private const int UuidLength = 36;
    private const int MaxPlainLength = 128;
    private const string Part = ".part-";

    public static string Final(DiskId disk) => disk.ToString();

    public static string NewPart(DiskId disk) => $".{disk}{Part}{Random()}";

    public static string NewProbe() => ProbePrefix + Random();

    public static string CloneSnapshot(DiskId child) => $"{CloneSnapshotPrefix}{child}";

    /// <summary>Reads the name of an image outside the trash; <see langword="null"/> for a stranger's.</summary>
    public static VolumeEntry? Parse(string name)
    {
        var hidden = name.StartsWith('.');
        var rest = name.AsSpan(hidden ? 1 : 0);
        if (rest.Length < UuidLength || !Guid.TryParseExact(rest[..UuidLength], "D", out var value))
        {
            return null;
        }

        DiskId disk = new(value);
        if (!rest.StartsWith(disk.ToString(), StringComparison.Ordinal))
        {
            return null;
        }

        rest = rest[UuidLength..];
        return (hidden ? rest.StartsWith(Part, StringComparison.Ordinal) : rest.IsEmpty) ? new(disk, name, Complete: !hidden) : null;
    }

    /// <summary>The pool of a storage link. Only plain names are taken: in others, Ceph's tools see namespaces, images, snapshots
    /// or options.</summary>
    /// <exception cref="InvalidFieldException">The link breaks the rule.</exception>
    /// <exception cref="StorageException">The storage link is of another level.</exception>
    public static string PoolOf(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        if (storlink.Level != StorlinkLevel.Object)
        {
            throw new StorageException($"Storlink {storlink.Id} is not of level OB.");
        }

        return IsPlain(storlink.Link) ? storlink.Link : throw new InvalidFieldException(
            "link", storlink.Link, "at level OB it is the name of a Ceph pool: at most 128 letters, digits, '_', '.' and '-', not beginning with '-' or '.'.");
    }

    /// <summary>Whether a name means itself wherever Ceph's tools and QEMU read it.</summary>
    public static bool IsPlain(string name) =>
        name.Length is > 0 and <= MaxPlainLength && name[0] is not ('-' or '.') && name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '_' or '.' or '-');

    private static string Random() => Guid.NewGuid().ToString("N")[..12];
}
