namespace Pengx.Qemu;

/// <summary>Finds programs as a shell would, and in the directories of system tools, which an ordinary user's PATH leaves out.</summary>
internal static class ProgramSearch
{
    private static readonly string[] s_system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

    /// <summary>The absolute path of a program; <see langword="null"/> when there is none.</summary>
    /// <param name="program">A name or an absolute path.</param>
    public static string? Find(string program)
    {
        if (Path.IsPathFullyQualified(program))
        {
            return File.Exists(program) ? program : null;
        }

        if (program.Contains('/', StringComparison.Ordinal))
        {
            return null;
        }

        return (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Where(Path.IsPathFullyQualified)
            .Concat(s_system)
            .Select(directory => Path.Combine(directory, program))
            .FirstOrDefault(File.Exists);
    }
}
