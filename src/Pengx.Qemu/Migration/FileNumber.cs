using System.Runtime.InteropServices;

namespace Pengx.Qemu;

/// <summary>The number by which a file system knows a file: hosts that share the file system see the same one, and a copy of the file
/// has another.</summary>
internal static class FileNumber
{
    private const int CurrentDirectory = -100;
    private const uint WithNumber = 0x100;
    private const int ResultBytes = 256;
    private const int NumberOffset = 32;

    /// <summary>Reads it; <see langword="null"/> when there is no such file to be seen.</summary>
    /// <param name="path">The file.</param>
    public static unsafe ulong? Find(string path)
    {
        var result = stackalloc byte[ResultBytes];
        return NativeMethods.StatExtended(CurrentDirectory, path, 0, WithNumber, result) == 0
            ? MemoryMarshal.Read<ulong>(new ReadOnlySpan<byte>(result + NumberOffset, sizeof(ulong)))
            : null;
    }
}
