using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>What is known of a file without opening it. A symbolic link is not followed.</summary>
internal readonly record struct FileStatus(bool IsRegular, bool IsDirectory, long Size, long Allocated);

/// <summary>Which file an open handle is of, and in which state; equal only while nothing has changed it. A number that a removed
/// file had is soon given to another: only with the time of its birth it names one file.</summary>
internal readonly record struct FileIdentity(ulong FileSystem, ulong Inode, long BornAt, long Length, long ModifiedAt, long ChangedAt);

/// <summary>The calls that tell what a file or device is.</summary>
internal static partial class Posix
{
    private const int SymlinkNoFollow = 0x100;
    private const int EmptyPath = 0x1000;
    private const int SeekEnd = 2;
    private const int BlockDevice = 0x6000;

    /// <summary>A file's kind, length and the space it takes; <see langword="null"/> when there is none.</summary>
    public static unsafe FileStatus? Status(string path)
    {
        StatX status = default;
        if (statx(CurrentDirectory, path, SymlinkNoFollow, 0xfff, &status) != 0)
        {
            return Marshal.GetLastPInvokeError() == NoEntry ? null : throw Failure(path, "cannot be looked at");
        }

        var kind = status.Mode & 0xf000;
        return new(kind == 0x8000, kind == 0x4000, (long)status.Size, (long)status.Blocks * 512);
    }

    /// <summary>A block device's number, <c>major:minor</c>, symbolic links followed; <see langword="null"/> when there is nothing.</summary>
    /// <exception cref="StorageException">It is no block device.</exception>
    public static unsafe string? DeviceNumber(string path)
    {
        StatX status = default;
        if (statx(CurrentDirectory, path, 0, 0x7ff, &status) != 0)
        {
            return Marshal.GetLastPInvokeError() is NoEntry or NotDirectory ? null : throw Failure(path, "cannot be looked at");
        }

        return (status.Mode & 0xf000) == BlockDevice ? $"{status.DeviceMajor}:{status.DeviceMinor}" : throw new StorageException($"{path} is not a block device.");
    }

    /// <summary>As <see cref="DeviceNumber"/>, with <see langword="null"/> for whatever else it may be.</summary>
    public static unsafe string? FindDeviceNumber(string path)
    {
        StatX status = default;
        return statx(CurrentDirectory, path, 0, 0x7ff, &status) == 0 && (status.Mode & 0xf000) == BlockDevice ? $"{status.DeviceMajor}:{status.DeviceMinor}" : null;
    }

    /// <summary>Whether a path is the name of a block device: only those beneath <c>/dev</c> are, where links are made by root alone.</summary>
    public static bool IsDevice(string path) =>
        path.StartsWith("/dev/", StringComparison.Ordinal) && !path.StartsWith("/dev/shm/", StringComparison.Ordinal)
        && !path.Contains("/../", StringComparison.Ordinal) && FindDeviceNumber(path) is not null;

    /// <summary>How long an open file or block device is.</summary>
    public static long LengthOf(SafeFileHandle handle, string path)
    {
        // A block device's length is where seeking ends; its status says 0.
        var length = lseek(handle, 0, SeekEnd);
        return length >= 0 ? length : throw Failure(path, "cannot be asked for its length");
    }

    /// <summary>Which file an open handle is of.</summary>
    public static unsafe FileIdentity IdentityOf(SafeFileHandle handle, string path)
    {
        StatX status = default;
        return statx(handle, "", EmptyPath, 0xfff, &status) == 0
            ? new(((ulong)status.FileSystemMajor << 32) | status.FileSystemMinor, status.Inode, status.Born.Ticks, (long)status.Size, status.Modified.Ticks, status.Changed.Ticks)
            : throw Failure(path, "cannot be looked at");
    }

    /// <summary>Whether a path still leads to an open file.</summary>
    public static unsafe bool IsStill(string path, FileIdentity identity)
    {
        StatX status = default;
        return statx(CurrentDirectory, path, SymlinkNoFollow, 0xfff, &status) == 0
            && (((ulong)status.FileSystemMajor << 32) | status.FileSystemMinor, status.Inode, status.Born.Ticks) == (identity.FileSystem, identity.Inode, identity.BornAt);
    }

#pragma warning disable IDE1006, SYSLIB1054 // The names of the C library.
    [LibraryImport("libc", SetLastError = true)]
    private static partial long lseek(SafeFileHandle handle, long offset, int whence);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int statx(int directory, string path, int flags, uint mask, StatX* status);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int statx(SafeFileHandle directory, string path, int flags, uint mask, StatX* status);
#pragma warning restore IDE1006, SYSLIB1054

    // struct statx is the same on every processor.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct StatX
    {
        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(32)]
        public ulong Inode;

        [FieldOffset(40)]
        public ulong Size;

        [FieldOffset(48)]
        public ulong Blocks;

        [FieldOffset(80)]
        public TimeStamp Born;

        [FieldOffset(96)]
        public TimeStamp Changed;

        [FieldOffset(112)]
        public TimeStamp Modified;

        [FieldOffset(128)]
        public uint DeviceMajor;

        [FieldOffset(132)]
        public uint DeviceMinor;

        [FieldOffset(136)]
        public uint FileSystemMajor;

        [FieldOffset(140)]
        public uint FileSystemMinor;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeStamp
    {
        public long Seconds;
        public uint Nanoseconds;
        public int Reserved;

        public readonly long Ticks => unchecked((Seconds * 1_000_000_000) + Nanoseconds);
    }
}
