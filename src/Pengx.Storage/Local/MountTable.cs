namespace Pengx.Storage;

/// <summary>A mounted file system as the kernel lists it.</summary>
internal sealed record Mount(string Point, string Type, string Source, string Number);

/// <summary>Reads where file systems are mounted, from the kernel's own list: asking a path itself could hang on a dead server.</summary>
internal static class MountTable
{
    private const int NumberField = 2;
    private const int PointField = 4;

    /// <summary>What is mounted, in the order of mounting.</summary>
    /// <param name="table">Lines in the form of <c>/proc/self/mountinfo</c>.</param>
    public static IEnumerable<Mount> Read(IEnumerable<string> table) => table
        .Select(line => line.Split(' '))
        .Where(fields => Array.IndexOf(fields, "-") is > PointField and var dash && dash + 2 < fields.Length)
        .Select(fields => new Mount(Unescape(fields[PointField]), fields[Array.IndexOf(fields, "-") + 1], fields[Array.IndexOf(fields, "-") + 2], fields[NumberField]));

    /// <summary>The file system that a path lies on: the last one mounted, where several lie over each other.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="table">Lines in the form of <c>/proc/self/mountinfo</c>.</param>
    public static Mount? FindOf(string path, IEnumerable<string> table) => Read(table)
        .Where(mount => mount.Point == "/" || path == mount.Point || path.StartsWith(mount.Point + "/", StringComparison.Ordinal))
        .Reverse()
        .MaxBy(mount => mount.Point.Length);

    // Blanks, tabs, line feeds and backslashes are written in octal.
    private static string Unescape(string text) => text
        .Replace(@"\040", " ", StringComparison.Ordinal)
        .Replace(@"\011", "\t", StringComparison.Ordinal)
        .Replace(@"\012", "\n", StringComparison.Ordinal)
        .Replace(@"\134", @"\", StringComparison.Ordinal);
}
