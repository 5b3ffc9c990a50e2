using System.Globalization;
using System.Text;

namespace Pengx.Qemu;

/// <summary>The QEMU processes of one run directory, as the kernel knows them: no pid file can be stale, and no process that
/// was started in a crashed service's last moment can be missed.</summary>
internal static class ProcessTable
{
    /// <summary>A process of a domain.</summary>
    /// <param name="Pid">Its id.</param>
    /// <param name="Domain">The domain.</param>
    public readonly record struct Entry(int Pid, DomainId Domain);

    /// <summary>Finds the processes whose arguments name both a domain and its pid file in the run directory.</summary>
    /// <param name="pidFile">The pid file of a domain.</param>
    public static IReadOnlyList<Entry> Find(Func<DomainId, string> pidFile)
    {
        List<Entry> found = [];
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
                && FindDomain(pid) is { } domain
                && IsOf(pid, domain, pidFile(domain)))
            {
                found.Add(new(pid, domain));
            }
        }

        return found;
    }

    /// <summary>Whether a process is the one of a domain: its arguments name the domain and this very pid file.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="domain">The domain.</param>
    /// <param name="pidFile">The domain's pid file.</param>
    public static bool IsOf(int pid, DomainId domain, string pidFile)
    {
        var arguments = ReadArguments(pid);
        return ValueOf(arguments, "-uuid") == domain.ToString() && ValueOf(arguments, "-pidfile") == pidFile;
    }

    /// <summary>Finds the processes that have an argument which begins with a text.</summary>
    /// <param name="text">The text.</param>
    public static IReadOnlyList<int> FindByArgument(string text) =>
        [.. Directory.EnumerateDirectories("/proc")
            .Select(directory => int.TryParse(Path.GetFileName(directory.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out var pid) ? pid : 0)
            .Where(pid => pid > 0 && pid != Environment.ProcessId && ReadArguments(pid).Any(argument => argument.StartsWith(text, StringComparison.Ordinal)))];

    /// <summary>When a process started, in clock ticks since the host booted; with the id it names a process for good.</summary>
    /// <param name="pid">The process.</param>
    public static long? ReadStartTicks(int pid) => ReadStat(pid) is { Length: > 19 } fields && long.TryParse(fields[19], NumberStyles.None, CultureInfo.InvariantCulture, out var ticks) ? ticks : null;

    /// <summary>Processor time of a process; <see langword="null"/> when it is gone.</summary>
    /// <param name="pid">The process.</param>
    public static TimeSpan? ReadCpuTime(int pid)
    {
        // Ticks are 1/100 s on every Linux that .NET runs on (USER_HZ).
        return ReadStat(pid) is { Length: > 12 } fields
            && long.TryParse(fields[11], NumberStyles.None, CultureInfo.InvariantCulture, out var user)
            && long.TryParse(fields[12], NumberStyles.None, CultureInfo.InvariantCulture, out var system)
                ? TimeSpan.FromMilliseconds((user + system) * 10)
                : null;
    }

    /// <summary>Memory of the host that a process holds (resident).</summary>
    /// <param name="pid">The process.</param>
    public static DataSize ReadResidentMemory(int pid)
    {
        var text = ReadText($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/statm")?.Split(' ');
        return text is { Length: > 1 } && long.TryParse(text[1], NumberStyles.None, CultureInfo.InvariantCulture, out var pages)
            ? new(pages * Environment.SystemPageSize)
            : DataSize.Zero;
    }

    private static DomainId? FindDomain(int pid) => DomainId.TryParse(ValueOf(ReadArguments(pid), "-uuid"), out var id) ? id : null;

    // The fields after the name, which may itself hold spaces and parentheses: state is [0].
    private static string[]? ReadStat(int pid)
    {
        var text = ReadText($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/stat");
        var end = text?.LastIndexOf(')') ?? -1;
        return end < 0 ? null : text![(end + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }

    private static string[] ReadArguments(int pid) =>
        ReadText($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/cmdline")?.Split('\0') ?? [];

    private static string? ValueOf(string[] arguments, string option)
    {
        var at = Array.LastIndexOf(arguments, option);
        return at >= 0 && at + 1 < arguments.Length ? arguments[at + 1] : null;
    }

    private static string? ReadText(string path)
    {
        try
        {
            return Encoding.UTF8.GetString(File.ReadAllBytes(path));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
