using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Orchestration;

/// <summary>What is known of a file without opening it. A symbolic link is not followed.</summary>
internal readonly record struct HostFileStatus(bool IsRegular, bool IsLink, UnixFileMode Mode, uint User, uint Group, long Size);

/// <summary>The calls of Linux that .NET has no form for. Failures carry the system's own words.</summary>
internal static partial class HostFile
{
    private const int CurrentDirectory = -100;
    private const int SymlinkNoFollow = 0x100;
    private const uint BasicStats = 0x7ff;
    private const int CloseOnExec = 0x80000;
    private const int NoEntry = 2;
    private const int NotDirectory = 20;
    private const int Invalid = 22;

    /// <summary>A file's kind, mode, owner and length; <see langword="null"/> when there is none.</summary>
    public static unsafe HostFileStatus? Status(string path)
    {
        StatX status = default;
        if (statx(CurrentDirectory, path, SymlinkNoFollow, BasicStats, &status) != 0)
        {
            return Marshal.GetLastPInvokeError() is NoEntry or NotDirectory ? null : throw Failure(path, "cannot be looked at");
        }

        var kind = status.Mode & 0xf000;
        return new(kind == 0x8000, kind == 0xa000, (UnixFileMode)(status.Mode & 0xfff), status.User, status.Group, (long)status.Size);
    }

    /// <summary>Gives a file the owner that another has.</summary>
    public static void Give(SafeFileHandle file, string path, HostFileStatus owner)
    {
        if (Status(path) is { } now && (now.User, now.Group) != (owner.User, owner.Group) && fchown(file, owner.User, owner.Group) != 0)
        {
            throw Failure(path, $"cannot be given to user {owner.User}, group {owner.Group}");
        }
    }

    /// <summary>Makes the names in a directory durable.</summary>
    public static void SyncDirectory(string path)
    {
        var descriptor = open(path, CloseOnExec, 0);
        if (descriptor < 0)
        {
            throw Failure(path, "cannot be opened");
        }

        using var handle = new SafeFileHandle(descriptor, ownsHandle: true);

        // Some file systems have nothing to do for a directory, and say so.
        if (fsync(handle) != 0 && Marshal.GetLastPInvokeError() != Invalid)
        {
            throw Failure(path, "cannot be made durable");
        }
    }

    private static StorageException Failure(string path, string what) => new($"{path} {what}: {Marshal.GetLastPInvokeErrorMessage()}.");

#pragma warning disable IDE1006, SYSLIB1054 // The names of the C library.
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags, int mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(SafeFileHandle handle);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fchown(SafeFileHandle handle, uint user, uint group);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int statx(int directory, string path, int flags, uint mask, StatX* status);
#pragma warning restore IDE1006, SYSLIB1054

    // struct statx is the same on every processor.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct StatX
    {
        [FieldOffset(20)]
        public uint User;

        [FieldOffset(24)]
        public uint Group;

        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(40)]
        public ulong Size;
    }
}
