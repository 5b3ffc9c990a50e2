using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>The calls of Linux that .NET has no form for: opening and naming. Failures carry the system's own words.</summary>
internal static partial class Posix
{
    private const int CurrentDirectory = -100;
    private const int ReadWrite = 2;
    private const int Create = 0x40;
    private const int Exclusive = 0x80;
    private const int NonBlocking = 0x800;
    private const int CloseOnExec = 0x80000;
    private const int PathOnly = 0x200000;
    private const int RenameNoReplace = 1;
    private const int NoEntry = 2;
    private const int Interrupted = 4;
    private const int NoSuchAddress = 6;
    private const int Again = 11;
    private const int Access = 13;
    private const int DeviceBusy = 16;
    private const int Exists = 17;
    private const int CrossDevice = 18;
    private const int NotDirectory = 20;
    private const int Invalid = 22;
    private const int NoSpace = 28;
    private const int NoSeek = 29;
    private const int NotImplemented = 38;
    private const int NotSupported = 95;
    private const int QuotaExceeded = 122;

    // These three differ between processors.
    private static bool IsArm => RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;

    private static int DirectoryOnly => IsArm ? 0x4000 : 0x10000;

    private static int NoFollow => IsArm ? 0x8000 : 0x20000;

    private static int Direct => IsArm ? 0x10000 : 0x4000;

    private static int TemporaryFile => DirectoryOnly | 0x400000;

    /// <summary>Opens an image file for reading; takes no lock, unlike .NET's own way of opening.</summary>
    public static SafeFileHandle OpenRead(string path) => OpenImage(path, NonBlocking) ?? throw Failure(path, "cannot be opened");

    /// <summary>Opens an image file for reading and writing; takes no lock.</summary>
    public static SafeFileHandle OpenWrite(string path) => OpenImage(path, ReadWrite | NonBlocking) ?? throw Failure(path, "cannot be opened for writing");

    /// <summary>Opens a block device, through symbolic links as their names are; takes no lock.</summary>
    public static SafeFileHandle OpenBlockRead(string path) => DemandBlock(Open(path, NonBlocking) ?? throw Failure(path, "cannot be opened"), path);

    /// <summary>Opens a block device for writing, and keeps the system from mounting it or using it meanwhile.</summary>
    /// <exception cref="InUseException">The system uses it: it is mounted, or part of another device.</exception>
    public static SafeFileHandle OpenBlockWrite(string path)
    {
        var handle = Open(path, ReadWrite | NonBlocking | Exclusive);
        if (handle is null)
        {
            throw Marshal.GetLastPInvokeError() == DeviceBusy
                ? new InUseException($"The device {path} is in use: the system has it mounted, or built another device on it.")
                : Failure(path, "cannot be opened for writing");
        }

        return DemandBlock(handle, path);
    }

    /// <summary>Makes a file that was not there, for its owner alone.</summary>
    public static SafeFileHandle CreateNew(string path) => Open(path, ReadWrite | Create | Exclusive) ?? throw Failure(path, "cannot be created");

    /// <summary>Whether the file system of a file takes writes that bypass the page cache.</summary>
    public static bool TakesDirectWrites(string path)
    {
        using var handle = OpenImage(path, ReadWrite | Direct);
        return handle is not null;
    }

    /// <summary>Where a path leads through all symbolic links. Opens nothing that could wait or be changed by it.</summary>
    public static string Resolve(string path)
    {
        // The file is held, not opened: a pipe would wait, and a tape would turn.
        using var handle = Open(path, PathOnly) ?? throw Failure(path, "cannot be found");
        return File.ResolveLinkTarget($"/proc/self/fd/{handle.DangerousGetHandle()}", returnFinalTarget: false)?.FullName ?? path;
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

    // An image may not be a symbolic link, except that devices have their lasting names by links that only root can make.
    private static SafeFileHandle? OpenImage(string path, int flags) => Open(path, IsDevice(path) ? flags : flags | NoFollow);

    private static SafeFileHandle? Open(string path, int flags)
    {
        var descriptor = open(path, flags | CloseOnExec, 0x180);
        return descriptor < 0 ? null : new(descriptor, ownsHandle: true);
    }

    private static unsafe SafeFileHandle DemandBlock(SafeFileHandle handle, string path)
    {
        StatX status = default;
        if (statx(handle, "", EmptyPath, 0xfff, &status) == 0 && (status.Mode & 0xf000) == BlockDevice)
        {
            return handle;
        }

        handle.Dispose();
        throw new StorageException($"{path} is not a block device.");
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
#pragma warning restore IDE1006, SYSLIB1054
}
