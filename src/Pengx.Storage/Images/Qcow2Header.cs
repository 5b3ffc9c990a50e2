using System.Buffers.Binary;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>What the header of a qcow2 image says. Read within fixed bounds and following no name in it, so that a hostile
/// image costs nothing and opens nothing.</summary>
/// <remarks>Source: QEMU, <c>docs/interop/qcow2.rst</c>.</remarks>
public sealed record Qcow2Header
{
    private static ReadOnlySpan<byte> Magic => [(byte)'Q', (byte)'F', (byte)'I', 0xfb];

    private const int ShortLength = 72;
    private const int LongLength = 104;
    internal const int MaxHeader = 64 * 1024;
    private const int MaxName = 1023;
    private const long MaxL1Bytes = 32 * 1024 * 1024;

    private const ulong Corrupt = 1 << 1;
    private const ulong DataFile = 1 << 2;

    // Dirty, corrupt, data file, compression type, extended L2 entries.
    private const ulong KnownIncompatible = 0x1f;

    private const uint BackingFormatExtension = 0xe2792aca;
    private const uint DataFileExtension = 0x44415441;
    private const uint BitmapsExtension = 0x23852875;

    /// <summary>The version of the format: 2 or 3.</summary>
    public required int Version { get; init; }

    /// <summary>The size that the guest sees.</summary>
    public required DataSize Size { get; init; }

    /// <summary>The size of a cluster in bytes.</summary>
    public required int ClusterSize { get; init; }

    /// <summary>The file that the image is an overlay of, as the header writes it; <see langword="null"/> when it stands alone.</summary>
    public string? BackingFile { get; init; }

    /// <summary>The backing file's format, as the header writes it; without one a tool would have to probe.</summary>
    public string? BackingFormat { get; init; }

    /// <summary>Whether the guest's data lies in another file.</summary>
    public bool HasExternalDataFile { get; init; }

    /// <summary>Whether the image is encrypted.</summary>
    public bool IsEncrypted { get; init; }

    /// <summary>Whether QEMU found the image damaged and marked it.</summary>
    public bool IsCorrupt { get; init; }

    /// <summary>How many internal snapshots the image has.</summary>
    public int SnapshotCount { get; init; }

    /// <summary>How many bitmaps of changed areas the image has.</summary>
    public int BitmapCount { get; init; }

    /// <summary>Reads the header of an image file.</summary>
    /// <param name="path">The file; a symbolic link is refused.</param>
    /// <exception cref="InvalidDataException">It is no qcow2 image, or a damaged one; the message says what is wrong.</exception>
    /// <exception cref="StorageException">The file cannot be read.</exception>
    public static Qcow2Header Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using var handle = Posix.OpenRead(path);
        return Read(handle, Posix.LengthOf(handle, path));
    }

    internal static Qcow2Header Read(SafeFileHandle handle, long imageLength)
    {
        var buffer = new byte[MaxHeader];
        var length = 0;
        int count;
        while (length < buffer.Length && (count = RandomAccess.Read(handle, buffer.AsSpan(length), length)) > 0)
        {
            length += count;
        }

        return Parse(buffer.AsSpan(0, length), imageLength);
    }

    /// <summary>Reads a header.</summary>
    /// <param name="start">The first bytes of the image, 64 KiB where it has that many.</param>
    /// <param name="imageLength">The length of the whole file.</param>
    /// <exception cref="InvalidDataException">It is no qcow2 image, or a damaged one; the message says what is wrong.</exception>
    public static Qcow2Header Parse(ReadOnlySpan<byte> start, long imageLength)
    {
        Demand(start.StartsWith(Magic), "it does not begin with the mark of a qcow2 image");
        Demand(start.Length >= ShortLength, "it ends within its header");
        var version = UInt32(start, 4);
        Demand(version is 2 or 3, $"it is of version {version}, not 2 or 3");
        var clusterBits = UInt32(start, 20);
        Demand(clusterBits is >= 9 and <= 21, $"its cluster size of 2^{clusterBits} is out of bounds");
        var size = UInt64(start, 24);
        Demand(size <= long.MaxValue - 512, "its size is out of bounds");

        var l1Entries = UInt32(start, 36);
        var l1Offset = UInt64(start, 40);
        var l1Bytes = l1Entries * 8L;
        Demand(l1Bytes <= MaxL1Bytes && l1Offset <= (ulong)imageLength && l1Bytes <= imageLength - (long)l1Offset, "its first table lies outside the file");
        Demand(UInt64(start, 48) < (ulong)imageLength, "its reference counts lie outside the file");

        ulong incompatible = 0;
        var headerLength = ShortLength;
        if (version == 3)
        {
            Demand(start.Length >= LongLength, "it ends within its header");
            incompatible = UInt64(start, 72);
            Demand((incompatible & ~KnownIncompatible) == 0, $"it uses features that are not known here (0x{incompatible & ~KnownIncompatible:x})");
            var written = UInt32(start, 100);
            Demand(written >= LongLength && written <= start.Length && written % 8 == 0, "its header's length is out of bounds");
            headerLength = (int)written;
        }

        var backingOffset = UInt64(start, 8);
        var backingLength = UInt32(start, 16);
        string? backingFile = null;
        if (backingOffset != 0)
        {
            Demand(backingLength is > 0 and <= MaxName, $"its backing file's name has {backingLength} bytes");
            Demand(backingOffset >= (ulong)headerLength && backingOffset <= (ulong)start.Length - Math.Min((ulong)start.Length, backingLength), "its backing file's name lies outside the header");
            backingFile = Encoding.UTF8.GetString(start.Slice((int)backingOffset, (int)backingLength));
        }

        var (backingFormat, dataFile, bitmaps) = ReadExtensions(start[headerLength..(backingFile is null ? start.Length : (int)backingOffset)]);
        return new()
        {
            Version = (int)version,
            Size = new((long)size),
            ClusterSize = 1 << (int)clusterBits,
            BackingFile = backingFile,
            BackingFormat = backingFormat,
            HasExternalDataFile = dataFile || (incompatible & DataFile) != 0,
            IsEncrypted = UInt32(start, 32) != 0,
            IsCorrupt = (incompatible & Corrupt) != 0,
            BitmapCount = bitmaps,
            SnapshotCount = (int)Math.Min(UInt32(start, 60), int.MaxValue),
        };
    }

    private static (string? BackingFormat, bool DataFile, int Bitmaps) ReadExtensions(ReadOnlySpan<byte> area)
    {
        string? backingFormat = null;
        var dataFile = false;
        var bitmaps = 0;
        while (area.Length >= 8)
        {
            var type = UInt32(area, 0);
            var length = UInt32(area, 4);
            if (type == 0)
            {
                break;
            }

            area = area[8..];
            Demand(length <= area.Length, "an extension of its header is longer than the header");
            if (type == BackingFormatExtension)
            {
                Demand(length <= 16, "its backing file's format has a name that is too long");
                backingFormat = Encoding.UTF8.GetString(area[..(int)length]);
            }

            if (type == BitmapsExtension)
            {
                Demand(length >= 4, "its list of bitmaps is cut off");
                bitmaps = (int)Math.Min(UInt32(area, 0), int.MaxValue);
            }

            dataFile |= type == DataFileExtension;
            area = area[(int)Math.Min(area.Length, (length + 7L) / 8 * 8)..];
        }

        return (backingFormat, dataFile, bitmaps);
    }

    private static uint UInt32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32BigEndian(bytes[offset..]);

    private static ulong UInt64(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt64BigEndian(bytes[offset..]);

    private static void Demand(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidDataException(otherwise);
        }
    }
}
