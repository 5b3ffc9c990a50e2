namespace Pengx.Storage;

/// <summary>Reads where file systems are mounted, from the kernel's own list: asking a path itself could hang on a dead server.</summary>
internal static class MountTable
{
    private const int MountPointField = 4;

    /// <summary>The mount point that a path lies under.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="table">Lines in the form of <c>/proc/self/mountinfo</c>.</param>
    public static string MountPointOf(string path, IEnumerable<string> table) =>
        table.Select(line => line.Split(' '))
            .Where(fields => fields.Length > MountPointField)
            .Select(fields => Unescape(fields[MountPointField]))
            .Where(point => point == "/" || path == point || path.StartsWith(point + "/", StringComparison.Ordinal))
            .MaxBy(point => point.Length) ?? "/";

    // Blanks, tabs, line feeds and backslashes are written in octal.
    public static string Unescape(string text) => text
        .Replace(@"\040", " ", StringComparison.Ordinal)
        .Replace(@"\011", "\t", StringComparison.Ordinal)
        .Replace(@"\012", "\n", StringComparison.Ordinal)
        .Replace(@"\134", @"\", StringComparison.Ordinal);
}
