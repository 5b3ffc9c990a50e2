using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>QEMU's locks on an image, as one of its programs takes them: while this is held, none of them begins what would
/// spoil a copy, and one that is at it already is found.</summary>
/// <remarks>A byte from 100 says which permission its holder has, the same byte from 200 which one it denies to all others
/// (QEMU, <c>block/file-posix.c</c> and <c>include/block/block-common.h</c>).</remarks>
internal static class ImageLock
{
    private const long Held = 100;
    private const long Denied = 200;

    private const int ConsistentRead = 0;
    private const int Writing = 1;
    private const int Resizing = 3;

    /// <summary>Locks an image for reading.</summary>
    /// <param name="handle">The open image; closing it gives the locks back.</param>
    /// <param name="path">Its path, for errors.</param>
    /// <param name="whileInUse">Whether to read even while something writes to it.</param>
    /// <returns>Whether something is writing to it.</returns>
    /// <exception cref="InUseException">Something writes to the image, and that was not allowed.</exception>
    public static bool ForReading(SafeFileHandle handle, string path, bool whileInUse)
    {
        if (whileInUse)
        {
            return Posix.IsOpenForWritingElsewhere(handle, path);
        }

        // First ours, then a look at the others': whoever comes in between finds ours.
        var free = Posix.TryLock(handle, path, Held + ConsistentRead)
            && Posix.TryLock(handle, path, Denied + Writing)
            && Posix.TryLock(handle, path, Denied + Resizing)
            && !Posix.IsLocked(handle, path, Held + Writing, 1)
            && !Posix.IsLocked(handle, path, Held + Resizing, 1)
            && !Posix.IsLocked(handle, path, Denied + ConsistentRead, 1);
        return free ? false : throw new InUseException($"The image {path} is in use: something has it open for writing. Stop it first, or ask to read it while it is in use; such a copy may be of no one moment.");
    }

    /// <summary>Locks an image that is written over.</summary>
    /// <exception cref="InUseException">Something has the image open.</exception>
    public static void ForWriting(SafeFileHandle handle, string path)
    {
        var free = Posix.TryLock(handle, path, Held + Writing)
            && Posix.TryLock(handle, path, Denied + ConsistentRead)
            && Posix.TryLock(handle, path, Denied + Writing)
            && !Posix.IsLocked(handle, path, Held + ConsistentRead, 1)
            && !Posix.IsLocked(handle, path, Held + Writing, 1)
            && !Posix.IsLocked(handle, path, Denied + Writing, 1);
        if (!free)
        {
            throw new InUseException($"The image {path} is in use: something has it open.");
        }
    }

    /// <summary>Gives the locks of an image back, so that a tool can take its own.</summary>
    public static void Release(SafeFileHandle handle, string path) => Posix.Unlock(handle, path, Held, Denied);
}
