namespace Pengx.Storage;

/// <summary>Looks down an image's backing files before a tool does, so that no tool ever has to guess a format.</summary>
internal static class ImageChain
{
    /// <summary>Longer chains are refused: each layer costs memory and time at every read, and a loop would never end.</summary>
    public const int MaxDepth = 64;

    /// <summary>The size that the guest sees.</summary>
    public static DataSize SizeOf(string path, DiskFormat format)
    {
        if (format == DiskFormat.Raw)
        {
            using var handle = Posix.OpenRead(path);
            return new(RandomAccess.GetLength(handle));
        }

        return HeaderOf(path).Size;
    }

    /// <summary>Demands that every layer beneath an image is named by an absolute path and with its format.</summary>
    /// <returns>The size that the guest sees of the top layer.</returns>
    public static DataSize Verify(string path, DiskFormat format)
    {
        var size = SizeOf(path, format);
        for (var depth = 0; format == DiskFormat.Qcow2; depth++)
        {
            if (depth == MaxDepth)
            {
                throw new StorageException($"The image {path} lies on more than {MaxDepth} layers; merge some of its snapshots first.");
            }

            var header = HeaderOf(path);
            DemandReadable(path, header);
            if (header.BackingFile is not { } backing)
            {
                break;
            }

            if (!backing.StartsWith('/') || header.BackingFormat is null || !DiskFormatNames.TryParse(header.BackingFormat, out format))
            {
                throw new StorageException($"The image {path} names its backing file without an absolute path or without a known format; it was not made here and is not opened.");
            }

            path = backing;
        }

        return size;
    }

    /// <summary>Reads an image's header.</summary>
    public static Qcow2Header HeaderOf(string path)
    {
        try
        {
            return Qcow2Header.Read(path);
        }
        catch (InvalidDataException exception)
        {
            throw new StorageException($"The image {path} is recorded as qcow2, but {exception.Message}.", exception);
        }
    }

    /// <summary>Refuses an image that cannot be used without another file or a key.</summary>
    public static void DemandReadable(string path, Qcow2Header header)
    {
        var reason = header switch
        {
            { HasExternalDataFile: true } => "keeps its data in another file",
            { IsEncrypted: true } => "is encrypted",
            { IsCorrupt: true } => "is marked as damaged; repair it with 'qemu-img check -r all' first",
            _ => null,
        };
        if (reason is not null)
        {
            throw new StorageException($"The image {path} is refused: it {reason}.");
        }
    }
}
