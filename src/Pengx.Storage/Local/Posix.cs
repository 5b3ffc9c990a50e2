using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>What is known of a file without opening it. A symbolic link is not followed.</summary>
internal readonly record struct FileStatus(bool IsRegular, bool IsDirectory, long Size, long Allocated);

/// <summary>The calls of Linux that .NET has no form for. Failures carry the system's own words.</summary>
internal static partial class Posix
{
    // QEMU takes one byte per permission that it holds (from 100) and that it denies to others (from 200), so any lock in
    // this range means that a QEMU program has the image open (QEMU, block/file-posix.c).
    private const long FirstImageLock = 100;
    private const long ImageLocks = 200;
    private const long WritePermissionLock = 101;

    // Ours, beyond QEMU's: who holds it is still making the file.
    private const long OwnerLock = 1000;

    private const int CurrentDirectory = -100;
    private const int RenameNoReplace = 1;
    private const int SymlinkNoFollow = 0x100;
    private const int OfdGetLock = 36;
    private const int OfdSetLock = 37;
    private const short WriteLock = 1;
    private const short Unlocked = 2;
    private const nuint CloneFile = 0x40049409;

    private const int ReadWrite = 2;
    private const int Create = 0x40;
    private const int Exclusive = 0x80;
    private const int NonBlocking = 0x800;
    private const int CloseOnExec = 0x80000;

    private const int NoEntry = 2;
    private const int Again = 11;
    private const int Access = 13;
    private const int Exists = 17;
    private const int Invalid = 22;
    private const int NoSpace = 28;
    private const int NotImplemented = 38;
    private const int QuotaExceeded = 122;

    // These three differ between processors.
    private static bool IsArm => RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;

    private static int DirectoryOnly => IsArm ? 0x4000 : 0x10000;

    private static int NoFollow => IsArm ? 0x8000 : 0x20000;

    private static int Direct => IsArm ? 0x10000 : 0x4000;

    /// <summary>A file's kind, length and the space it takes; <see langword="null"/> when there is none.</summary>
    public static unsafe FileStatus? Status(string path)
    {
        StatX status = default;
        if (statx(CurrentDirectory, path, SymlinkNoFollow, 0x7ff, &status) != 0)
        {
            return Marshal.GetLastPInvokeError() == NoEntry ? null : throw Failure(path, "cannot be looked at");
        }

        var kind = status.Mode & 0xf000;
        return new(kind == 0x8000, kind == 0x4000, (long)status.Size, (long)status.Blocks * 512);
    }

    /// <summary>Opens an image file for reading; takes no lock, unlike .NET's own way of opening.</summary>
    public static SafeFileHandle OpenRead(string path) => Open(path, NoFollow | NonBlocking) ?? throw Failure(path, "cannot be opened");

    /// <summary>Opens an image file for reading and writing; takes no lock.</summary>
    public static SafeFileHandle OpenWrite(string path) => Open(path, ReadWrite | NoFollow | NonBlocking) ?? throw Failure(path, "cannot be opened for writing");

    /// <summary>Makes a file that was not there, for its owner alone.</summary>
    public static SafeFileHandle CreateNew(string path) => Open(path, ReadWrite | Create | Exclusive) ?? throw Failure(path, "cannot be created");

    /// <summary>Whether the file system of a file takes writes that bypass the page cache.</summary>
    public static bool TakesDirectWrites(string path)
    {
        using var handle = Open(path, ReadWrite | NoFollow | Direct);
        return handle is not null;
    }

    /// <summary>Makes the names in a directory durable.</summary>
    public static void SyncDirectory(string path)
    {
        using var handle = Open(path, DirectoryOnly) ?? throw Failure(path, "cannot be opened");
        if (fsync(handle) != 0 && Marshal.GetLastPInvokeError() != Invalid)
        {
            throw Failure(path, "cannot be made durable");
        }
    }

    /// <summary>Gives a file a name that nothing has.</summary>
    /// <returns><see langword="false"/> when something has the name.</returns>
    public static bool TryRename(string from, string to)
    {
        if (renameat2(CurrentDirectory, from, CurrentDirectory, to, RenameNoReplace) == 0)
        {
            return true;
        }

        // NFS has no such rename; a hard link refuses a taken name as well.
        if (Marshal.GetLastPInvokeError() is Invalid or NotImplemented && link(from, to) == 0)
        {
            File.Delete(from);
            return true;
        }

        return Marshal.GetLastPInvokeError() == Exists ? false : throw Failure(from, $"cannot be renamed to {to}");
    }

    /// <summary>Lets a file share all its blocks with another, where the file system can.</summary>
    public static bool TryClone(SafeFileHandle from, SafeFileHandle to) => ioctl(to, CloneFile, from) == 0;

    /// <summary>Marks a file as being made by this process, until the handle is closed or the process ends in any way.</summary>
    /// <returns><see langword="false"/> when another owns it.</returns>
    public static bool TryOwn(SafeFileHandle handle, string path)
    {
        FileLock request = new() { Type = WriteLock, Start = OwnerLock, Length = 1 };
        return fcntl(handle, OfdSetLock, ref request) == 0
            || (Marshal.GetLastPInvokeError() is Again or Access ? false : throw Failure(path, "cannot be locked"));
    }

    /// <summary>Whether a QEMU program has an image open in any way.</summary>
    public static bool IsOpenElsewhere(SafeFileHandle handle, string path) => IsLocked(handle, path, FirstImageLock, ImageLocks);

    /// <summary>Whether a QEMU program has an image open for writing.</summary>
    public static bool IsOpenForWritingElsewhere(SafeFileHandle handle, string path) => IsLocked(handle, path, WritePermissionLock, 1);

    private static bool IsLocked(SafeFileHandle handle, string path, long start, long length)
    {
        FileLock request = new() { Type = WriteLock, Start = start, Length = length };
        return fcntl(handle, OfdGetLock, ref request) == 0 ? request.Type != Unlocked : throw Failure(path, "cannot be asked for its locks");
    }

    private static SafeFileHandle? Open(string path, int flags)
    {
        var descriptor = open(path, flags | CloseOnExec, 0x180);
        return descriptor < 0 ? null : new(descriptor, ownsHandle: true);
    }

    private static PengxException Failure(string path, string what)
    {
        var error = Marshal.GetLastPInvokeError();
        var message = $"{path} {what}: {Marshal.GetPInvokeErrorMessage(error)}.";
        return error is NoSpace or QuotaExceeded ? new InsufficientResourceException(message) : new StorageException(message);
    }

#pragma warning disable IDE1006, SYSLIB1054 // The names of the C library.
    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags, int mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(SafeFileHandle handle);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int renameat2(int fromDirectory, string from, int toDirectory, string to, int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int link(string from, string to);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(SafeFileHandle handle, nuint request, SafeFileHandle other);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(SafeFileHandle handle, int command, ref FileLock request);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int statx(int directory, string path, int flags, uint mask, StatX* status);
#pragma warning restore IDE1006, SYSLIB1054

    // struct flock of 64-bit Linux.
    [StructLayout(LayoutKind.Sequential)]
    private struct FileLock
    {
        public short Type;
        public short Whence;
        public long Start;
        public long Length;
        public int Pid;
    }

    // struct statx is the same on every processor.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct StatX
    {
        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(40)]
        public ulong Size;

        [FieldOffset(48)]
        public ulong Blocks;
    }
}
