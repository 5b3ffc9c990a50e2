using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>The locks on open files, QEMU's and our own.</summary>
internal static partial class Posix
{
    // QEMU takes one byte per permission that it holds (from 100) and that it denies to others (from 200), so any lock in
    // this range means that a QEMU program has the image open (QEMU, block/file-posix.c).
    private const long FirstImageLock = 100;
    private const long ImageLocks = 200;
    private const long WritePermissionLock = 101;

    // Ours, beyond QEMU's: who holds it is still making the file.
    private const long OwnerLock = 1000;

    /// <summary>How long to wait before looking again whether a file is still owned. A process that is just being started holds copies
    /// of our descriptors, and their locks with them, until it has become its program: what looks owned by another may be ours of a
    /// moment ago.</summary>
    public static readonly TimeSpan OwnerPause = TimeSpan.FromMilliseconds(20);

    private const int OfdGetLock = 36;
    private const int OfdSetLock = 37;
    private const short ReadLock = 0;
    private const short WriteLock = 1;
    private const short Unlocked = 2;

    /// <summary>Marks a file as being made by this process, until the handle is closed or the process ends in any way.</summary>
    /// <returns><see langword="false"/> when another owns it.</returns>
    public static bool TryOwn(SafeFileHandle handle, string path)
    {
        FileLock request = new() { Type = WriteLock, Start = OwnerLock, Length = 1 };
        return fcntl(handle, OfdSetLock, ref request) == 0
            || (Marshal.GetLastPInvokeError() is Again or Access ? false : throw Failure(path, "cannot be locked"));
    }

    /// <summary>Marks a file as being made by this process, looking again for a while when another seems to own it.</summary>
    /// <param name="handle">The open file.</param>
    /// <param name="path">Its path, for errors.</param>
    /// <param name="attempts">How often to look.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <returns><see langword="false"/> when another owned it all the time.</returns>
    public static async Task<bool> TryOwnAsync(SafeFileHandle handle, string path, int attempts, CancellationToken cancellationToken)
    {
        for (var attempt = 1; !TryOwn(handle, path); attempt++)
        {
            if (attempt == attempts)
            {
                return false;
            }

            await Task.Delay(OwnerPause, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        }

        return true;
    }

    /// <summary>Takes locks as a reader or writer of an image does; held until the handle is closed.</summary>
    /// <returns><see langword="false"/> when another holds one that excludes it.</returns>
    public static bool TryLock(SafeFileHandle handle, string path, long start)
    {
        // Shared ones only: QEMU takes no others, and looks at each other's bytes instead.
        FileLock request = new() { Type = ReadLock, Start = start, Length = 1 };
        return fcntl(handle, OfdSetLock, ref request) == 0
            || (Marshal.GetLastPInvokeError() is Again or Access ? false : throw Failure(path, "cannot be locked"));
    }

    /// <summary>Gives locks back.</summary>
    public static void Unlock(SafeFileHandle handle, string path, long start, long length)
    {
        FileLock request = new() { Type = Unlocked, Start = start, Length = length };
        if (fcntl(handle, OfdSetLock, ref request) != 0)
        {
            throw Failure(path, "cannot be unlocked");
        }
    }

    /// <summary>Whether a QEMU program has an image open in any way.</summary>
    public static bool IsOpenElsewhere(SafeFileHandle handle, string path) => IsLocked(handle, path, FirstImageLock, ImageLocks);

    /// <summary>Whether a QEMU program has an image open for writing.</summary>
    public static bool IsOpenForWritingElsewhere(SafeFileHandle handle, string path) => IsLocked(handle, path, WritePermissionLock, 1);

    /// <summary>Whether anything else holds a lock within a range.</summary>
    public static bool IsLocked(SafeFileHandle handle, string path, long start, long length)
    {
        FileLock request = new() { Type = WriteLock, Start = start, Length = length };
        return fcntl(handle, OfdGetLock, ref request) == 0 ? request.Type != Unlocked : throw Failure(path, "cannot be asked for its locks");
    }

#pragma warning disable IDE1006, SYSLIB1054 // The names of the C library.
    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(SafeFileHandle handle, int command, ref FileLock request);
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
}
