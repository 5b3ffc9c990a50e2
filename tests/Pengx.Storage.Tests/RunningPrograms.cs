namespace Pengx.Storage.Tests;

/// <summary>What runs on this machine, by proc(5).</summary>
internal static class RunningPrograms
{
    /// <summary>The command line of each program; its words end with a zero byte each.</summary>
    public static IEnumerable<string> CommandLines() =>
        Directory.EnumerateDirectories("/proc").Where(directory => int.TryParse(Path.GetFileName(directory), out _)).Select(CommandLineOf);

    private static string CommandLineOf(string process)
    {
        try
        {
            return File.ReadAllText(Path.Combine(process, "cmdline"));
        }
        catch (IOException)
        {
            // It has ended meanwhile.
            return "";
        }
    }
}
