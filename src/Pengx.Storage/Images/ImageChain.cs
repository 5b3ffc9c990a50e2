using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>An image with all that lies beneath it, as the headers say: read by an own reader within fixed bounds, before any
/// tool opens a file, so that no tool ever has to guess a format or follows a name out of the allowed directories.</summary>
public sealed record ImageChain
{
    /// <summary>Longer chains are refused: each layer costs memory and time at every read, and a loop would never end.</summary>
    public const int MaxDepth = 64;

    /// <summary>The size that the guest sees.</summary>
    public required DataSize Size { get; init; }

    /// <summary>The images, the top one first.</summary>
    public required IReadOnlyList<ImageChainLayer> Layers { get; init; }

    /// <summary>How many images lie beneath the top one.</summary>
    public int Depth => Layers.Count - 1;

    /// <summary>The space that all layers take together.</summary>
    public DataSize Allocated => new(Layers.Sum(layer => layer.Allocated.Bytes));

    /// <summary>Reads an image and what lies beneath it.</summary>
    /// <param name="image">The image, in a file or on a block device.</param>
    /// <param name="roots">Where the files of the chain must lie; anywhere when not given.</param>
    /// <exception cref="StorageException">A layer cannot be read, lies elsewhere, is damaged, is encrypted, keeps its data in
    /// another file, names its backing file neither by an absolute path nor as a volume beside it, or without its format, or there are
    /// too many.</exception>
    public static ImageChain Read(DiskLayer image, ImageRoots? roots = null)
    {
        ArgumentNullException.ThrowIfNull(image);
        List<ImageChainLayer> layers = [];
        var (path, format) = (ImageTool.PathOf(image), image.Format);
        var isBlock = image.Location is BlockLocation;
        while (true)
        {
            if (layers.Count > MaxDepth)
            {
                throw new StorageException($"The image {ImageTool.PathOf(image)} lies on more than {MaxDepth} layers; merge some of its snapshots first.");
            }

            roots?.Demand(path);
            var layer = LayerOf(path, format, isBlock);
            layers.Add(layer);
            if (layer.Header?.BackingFile is not { } backing)
            {
                return new() { Size = layers[0].Size, Layers = layers };
            }

            if (!isBlock && VolumeName.Parse(backing) is { Complete: true })
            {
                backing = Path.Combine(Path.GetDirectoryName(path)!, backing);
            }

            if (!backing.StartsWith('/') || layer.Header.BackingFormat is null || !DiskFormatNames.TryParse(layer.Header.BackingFormat, out format))
            {
                throw new StorageException($"The image {path} names its backing file without an absolute path or without a known format; it was not made here and is not opened.");
            }

            path = backing;
            isBlock = Posix.IsDevice(path);
        }
    }

    /// <summary>The size that the guest sees.</summary>
    internal static DataSize SizeOf(string path, DiskFormat format)
    {
        if (format == DiskFormat.Raw)
        {
            using var handle = Posix.OpenRead(path);
            return new(Posix.LengthOf(handle, path));
        }

        return HeaderOf(path).Size;
    }

    /// <summary>Reads an image's header.</summary>
    internal static Qcow2Header HeaderOf(string path)
    {
        using var handle = Posix.OpenRead(path);
        return HeaderOf(handle, path);
    }

    /// <summary>Refuses an image that cannot be used without another file or a key.</summary>
    internal static void DemandReadable(string path, Qcow2Header header)
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

    private static Qcow2Header HeaderOf(SafeFileHandle handle, string path)
    {
        try
        {
            return Qcow2Header.Read(handle, Posix.LengthOf(handle, path));
        }
        catch (InvalidDataException exception)
        {
            throw new StorageException($"The image {path} is recorded as qcow2, but {exception.Message}.", exception);
        }
    }

    private static ImageChainLayer LayerOf(string path, DiskFormat format, bool isBlock)
    {
        using var handle = isBlock ? Posix.OpenBlockRead(path) : Posix.OpenRead(path);
        var length = Posix.LengthOf(handle, path);
        Qcow2Header? header = null;
        if (format == DiskFormat.Qcow2)
        {
            header = HeaderOf(handle, path);
            DemandReadable(path, header);
        }

        return new()
        {
            Image = new(isBlock ? new BlockLocation(path) : new FileLocation(path), format),
            Header = header,
            Size = header?.Size ?? new(length),
            Allocated = new(isBlock ? length : Posix.Status(path)?.Allocated ?? 0),
        };
    }
}

/// <summary>One image of a chain.</summary>
public sealed record ImageChainLayer
{
    /// <summary>Where it lies, and its format.</summary>
    public required DiskLayer Image { get; init; }

    /// <summary>What its header says; none for a raw image.</summary>
    public Qcow2Header? Header { get; init; }

    /// <summary>The size that a guest would see of it.</summary>
    public required DataSize Size { get; init; }

    /// <summary>The space it takes.</summary>
    public required DataSize Allocated { get; init; }
}
