using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>The calls that read, write and copy, and look for what is to be copied.</summary>
internal static partial class Posix
{
    private const int SeekDataFrom = 3;
    private const int SeekHoleFrom = 4;
    private const uint StartWriting = 2;
    private const uint WriteAndWait = 7;
    private const nuint CloneFile = 0x40049409;
    private const nuint CloneRange = 0x4020940d;
    private const nuint ZeroOut = 0x127f;

    /// <summary>Where data begin at or after an offset; the length when none do. Where the file system cannot tell, at the
    /// offset.</summary>
    public static long NextData(SafeFileHandle handle, string path, long offset, long length) => Seek(handle, path, offset, SeekDataFrom, length, offset);

    /// <summary>Where the data that lie at an offset end.</summary>
    public static long NextHole(SafeFileHandle handle, string path, long offset, long length) => Seek(handle, path, offset, SeekHoleFrom, length, length);

    /// <summary>Reads until a buffer is full or the file ends.</summary>
    public static unsafe int Read(SafeFileHandle handle, string path, Span<byte> buffer, long offset)
    {
        var done = 0;
        fixed (byte* bytes = buffer)
        {
            while (done < buffer.Length)
            {
                var count = pread(handle, bytes + done, (nuint)(buffer.Length - done), offset + done);
                if (count == 0)
                {
                    break;
                }

                if (count > 0)
                {
                    done += (int)count;
                }
                else if (Marshal.GetLastPInvokeError() != Interrupted)
                {
                    throw Failure(path, $"cannot be read at byte {offset + done}");
                }
            }
        }

        return done;
    }

    /// <summary>Writes all of a buffer.</summary>
    public static unsafe void Write(SafeFileHandle handle, string path, ReadOnlySpan<byte> buffer, long offset)
    {
        var done = 0;
        fixed (byte* bytes = buffer)
        {
            while (done < buffer.Length)
            {
                var count = pwrite(handle, bytes + done, (nuint)(buffer.Length - done), offset + done);
                if (count >= 0)
                {
                    done += (int)count;
                }
                else if (Marshal.GetLastPInvokeError() != Interrupted)
                {
                    throw Failure(path, $"cannot be written at byte {offset + done}");
                }
            }
        }
    }

    /// <summary>Copies a range from file to file, to where it is in the first, without a way through this process.</summary>
    /// <returns>How many bytes were copied: fewer where the source ends. <see langword="null"/> where the kernel does not do it for these two files.</returns>
    public static unsafe long? CopyRange(SafeFileHandle from, string source, SafeFileHandle to, string target, long offset, long length)
    {
        long done = 0;
        while (done < length)
        {
            var (input, output) = (offset + done, offset + done);
            var count = copy_file_range(from, &input, to, &output, (nuint)(length - done), 0);
            if (count > 0)
            {
                done += count;
                continue;
            }

            if (count == 0)
            {
                break;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case Interrupted:
                    continue;
                case CrossDevice or Invalid or NotImplemented or NotSupported when done == 0:
                    return null;
                default:
                    throw Failure(target, $"cannot be written at byte {output} from {source}");
            }
        }

        return done;
    }

    /// <summary>Has the kernel begin to read a range from the disk. A hint that may fail.</summary>
    public static void ReadAhead(SafeFileHandle handle, long offset, long length) => _ = readahead(handle, offset, (nuint)length);

    /// <summary>Has the kernel begin to write a range to the disk. No promise of anything: a hint that may fail.</summary>
    public static void BeginWriting(SafeFileHandle handle, long offset, long length) => _ = sync_file_range(handle, offset, length, StartWriting);

    /// <summary>Waits until a range has reached the disk's own cache, where the file system can tell. Bounds what waits in memory; what is
    /// durable, only <see cref="SyncData"/> says.</summary>
    public static void FinishWriting(SafeFileHandle handle, string path, long offset, long length)
    {
        while (sync_file_range(handle, offset, length, WriteAndWait) != 0)
        {
            switch (Marshal.GetLastPInvokeError())
            {
                case Interrupted:
                    continue;
                case Invalid or NotImplemented or NoSeek:
                    return;
                default:

                    // That something could not be written is told once: to this call, and not to SyncData any more.
                    throw Failure(path, $"cannot be written at byte {offset} or after");
            }
        }
    }

    /// <summary>Makes a file's content durable, its length included.</summary>
    public static void SyncData(SafeFileHandle handle, string path)
    {
        while (fdatasync(handle) != 0)
        {
            if (Marshal.GetLastPInvokeError() != Interrupted)
            {
                throw Failure(path, "cannot be made durable");
            }
        }
    }

    /// <summary>Makes a range of a block device read as zeros; the device does it itself where it can.</summary>
    public static unsafe void Zero(SafeFileHandle handle, string path, long offset, long length)
    {
        var range = stackalloc ulong[] { (ulong)offset, (ulong)length };
        if (ioctl(handle, ZeroOut, range) != 0)
        {
            throw Failure(path, $"cannot be zeroed at byte {offset}");
        }
    }

    /// <summary>Lets a file share all its blocks with another, where the file system can.</summary>
    public static bool TryClone(SafeFileHandle from, SafeFileHandle to) => ioctl(to, CloneFile, from) == 0;

    /// <summary>Whether a new file in a directory can share its blocks with a file. Tried, with a nameless file.</summary>
    public static unsafe bool CanClone(string source, string directory)
    {
        using var from = Open(source, NoFollow | NonBlocking);
        using var to = Open(directory, TemporaryFile | ReadWrite);
        if (from is null || to is null)
        {
            return false;
        }

        // A length of 0 means all; of a long file one block says as much.
        const int block = 64 * 1024;
        CloneRequest request = new() { Source = from.DangerousGetHandle(), Length = lseek(from, 0, SeekEnd) > block ? block : 0UL };
        return ioctl(to, CloneRange, &request) == 0;
    }

    private static long Seek(SafeFileHandle handle, string path, long offset, int whence, long length, long unknown)
    {
        var found = lseek(handle, offset, whence);
        if (found >= 0)
        {
            return Math.Min(found, length);
        }

        return Marshal.GetLastPInvokeError() switch
        {
            NoSuchAddress => length,
            Invalid => unknown,
            _ => throw Failure(path, "cannot be asked where its data lie"),
        };
    }

#pragma warning disable IDE1006, SYSLIB1054 // The names of the C library.
    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint pread(SafeFileHandle handle, byte* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint pwrite(SafeFileHandle handle, byte* buffer, nuint count, long offset);

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint copy_file_range(SafeFileHandle from, long* source, SafeFileHandle to, long* target, nuint count, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint readahead(SafeFileHandle handle, long offset, nuint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int sync_file_range(SafeFileHandle handle, long offset, long length, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fdatasync(SafeFileHandle handle);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(SafeFileHandle handle, nuint request, SafeFileHandle other);

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial int ioctl(SafeFileHandle handle, nuint request, void* argument);
#pragma warning restore IDE1006, SYSLIB1054

    // struct file_clone_range
    [StructLayout(LayoutKind.Sequential)]
    private struct CloneRequest
    {
        public long Source;
        public ulong SourceOffset;
        public ulong Length;
        public ulong TargetOffset;
    }
}
