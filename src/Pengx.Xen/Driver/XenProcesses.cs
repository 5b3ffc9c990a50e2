using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace Pengx.Xen;

/// <summary>The processes that stand behind a domain: xl's monitor, which cleans up after a guest and starts it again when it reboots, the xl
/// that moves it to another host, and the QEMU that serves its disks. They are known by a path of ours among their arguments, never by a name.</summary>
internal static class XenProcesses
{
    /// <summary>The monitors of a domain: the <c>xl create</c> that stayed behind.</summary>
    /// <param name="files">The domain's files.</param>
    public static IReadOnlyList<int> FindMonitors(XenFiles files) => FindXl("create", files);

    /// <summary>What moves a domain to another host: the <c>xl migrate</c> that is at work, also for a service that is gone.</summary>
    /// <param name="files">The domain's files.</param>
    public static IReadOnlyList<int> FindMoves(XenFiles files) => FindXl("migrate", files);

    /// <summary>The QEMUs of a domain: there may be one of an earlier run that did not end.</summary>
    /// <param name="files">The domain's files.</param>
    public static IReadOnlyList<int> FindQemus(XenFiles files) =>
        [.. Find(arguments => arguments.Any(argument => argument.StartsWith($"unix:{files.MonitorSocket},", StringComparison.Ordinal)))];

    /// <summary>Ends a process that was just found, and waits until it is gone.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async Task EndAsync(int pid, CancellationToken cancellationToken)
    {
        if (Open(pid) is { } process)
        {
            using (process)
            {
                try
                {
                    process.Kill();
                    await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
                }
                catch (Exception exception) when (exception is InvalidOperationException or Win32Exception)
                {
                    // It has ended by itself.
                }
            }
        }
    }

    /// <summary>Waits until a process has ended.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async Task WaitForExitAsync(int pid, CancellationToken cancellationToken)
    {
        if (Open(pid) is { } process)
        {
            using (process)
            {
                await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Whether a process has a file open.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="path">The file.</param>
    public static bool HasOpen(int pid, string path)
    {
        try
        {
            return new DirectoryInfo(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/fd")).EnumerateFileSystemInfos().Any(link => link.LinkTarget == path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static Process? Open(int pid)
    {
        try
        {
            return Process.GetProcessById(pid);
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    private static int[] FindXl(string verb, XenFiles files) =>
        [.. Find(arguments => Path.GetFileName(arguments[0]) == "xl" && arguments.Contains(verb) && arguments.Contains(files.Configuration))];

    private static IEnumerable<int> Find(Func<string[], bool> isWanted)
    {
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
                && ReadArguments(directory) is { Length: > 0 } arguments && isWanted(arguments))
            {
                yield return pid;
            }
        }
    }

    private static string[] ReadArguments(string directory)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, "cmdline")).Split('\0', StringSplitOptions.RemoveEmptyEntries);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
