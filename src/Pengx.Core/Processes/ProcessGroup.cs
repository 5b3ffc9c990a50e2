using System.Buffers.Text;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Pengx;

/// <summary>A program and everything it started: the processes of the session that the program leads.</summary>
/// <remarks>A process that makes a session of its own (a daemon) has left, on purpose, and is not ours any more.</remarks>
internal sealed partial class ProcessGroup(int leader)
{
    public const int Terminate = 15;
    public const int Kill = 9;

    private const int ExecutePermission = 1;

    public int Leader { get; } = leader;

    /// <summary>Sends a signal to all of the group, and to those of its session that made groups of their own.</summary>
    public void Signal(int signal)
    {
        // Before setsid has run there is no such group yet, only the process.
        if (SendSignal(-Leader, signal) != 0)
        {
            _ = SendSignal(Leader, signal);
        }

        foreach (var (pid, group) in Members())
        {
            if (group != Leader)
            {
                _ = SendSignal(pid, signal);
            }
        }
    }

    /// <summary>Kills what is left of the group itself; nothing left: does nothing.</summary>
    public void Sweep() => _ = SendSignal(-Leader, Kill);

    /// <summary>Whether anything but ended processes is left of the session.</summary>
    public bool IsAlive() => Members().Count > 0;

    /// <summary>Whether this user may execute a file.</summary>
    public static bool IsExecutable(string path) => File.Exists(path) && Access(path, ExecutePermission) == 0;

    /// <summary>How many bytes a program has read and written, whatever that was; <see langword="null"/> where the kernel does not show it.</summary>
    /// <remarks>proc(5): <c>/proc/PID/io</c>, of all its threads.</remarks>
    public static long? ReadAndWritten(int pid)
    {
        try
        {
            long sum = 0;
            foreach (var line in File.ReadLines($"/proc/{pid}/io"))
            {
                if (line.StartsWith("rchar: ", StringComparison.Ordinal) || line.StartsWith("wchar: ", StringComparison.Ordinal))
                {
                    sum += long.Parse(line.AsSpan(7), NumberStyles.None, CultureInfo.InvariantCulture);
                }
            }

            return sum;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private List<(int Pid, int Group)> Members()
    {
        List<(int, int)> members = [];
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory.AsSpan()), out var pid) && ReadStatus(pid) is { } status
                && (status.Session == Leader || status.Group == Leader) && status.State is not ('Z' or 'X'))
            {
                members.Add((pid, status.Group));
            }
        }

        return members;
    }

    // proc(5): "pid (name) state ppid pgrp session …"; the name may hold anything, parentheses too.
    private static (char State, int Group, int Session)? ReadStatus(int pid)
    {
        Span<byte> buffer = stackalloc byte[512];
        int length;
        try
        {
            using var file = File.OpenHandle($"/proc/{pid}/stat");
            length = RandomAccess.Read(file, buffer, 0);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }

        ReadOnlySpan<byte> line = buffer[..length];
        var name = line.LastIndexOf((byte)')');
        if (name < 0 || name + 2 >= line.Length)
        {
            return null;
        }

        var rest = line[(name + 2)..];
        var state = (char)rest[0];
        Span<int> numbers = stackalloc int[3];
        rest = rest[1..];
        for (var i = 0; i < numbers.Length; i++)
        {
            rest = rest.TrimStart((byte)' ');
            if (!Utf8Parser.TryParse(rest, out numbers[i], out var consumed))
            {
                return null;
            }

            rest = rest[consumed..];
        }

        return (state, numbers[1], numbers[2]);
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int pid, int signal);

    [LibraryImport("libc", EntryPoint = "access", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Access(string path, int mode);
}
