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

    /// <summary>Reads an image and what lies beneath it, all of it in files and on block devices.</summary>
    /// <param name="image">The image, in a file or on a block device.</param>
    /// <param name="roots">Where the files of the chain must lie; anywhere when not given.</param>
    /// <exception cref="StorageException">A layer cannot be read, lies elsewhere, is damaged, is encrypted, keeps its data in
    /// another file, names its backing file neither by an absolute path nor as a volume beside it, or without its format, or there are
    /// too many.</exception>
    public static ImageChain Read(DiskLayer image, ImageRoots? roots = null)
    {
        ArgumentNullException.ThrowIfNull(image);
        List<ImageChainLayer> layers = [];
        for (var next = image; next is not null; next = BeneathOf(layers[^1]))
        {
            DemandDepth(image, layers);
            layers.Add(LocalLayer(next, roots));
        }

        return new() { Size = layers[0].Size, Layers = layers };
    }

    /// <summary>Reads an image and what lies beneath it, in Ceph, too.</summary>
    /// <param name="image">The image.</param>
    /// <param name="images">Fetches what lies in Ceph.</param>
    /// <param name="roots">Where the files of the chain must lie, and no file names an image in Ceph; anywhere when not given.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="StorageException">As <see cref="Read"/> says.</exception>
    /// <exception cref="ProcessFailedException">An image in Ceph cannot be read; the message has the tool's words.</exception>
    internal static async Task<ImageChain> ReadAsync(DiskLayer image, ImageTool images, ImageRoots? roots, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        List<ImageChainLayer> layers = [];
        for (var next = image; next is not null; next = BeneathOf(layers[^1]))
        {
            DemandDepth(image, layers);
            var here = next;
            if (roots is not null && here.Location is RbdLocation && layers is [.., { Image.Location: not RbdLocation } upper])
            {
                throw new StorageException($"The image {upper.Image.Location} is refused: it names {here.Location} in Ceph beneath it, which lies in none of the directories that are allowed.");
            }

            layers.Add(here.Location is RbdLocation
                ? await RemoteLayerAsync(here, images, cancellationToken).ConfigureAwait(false)
                : await Task.Run(() => LocalLayer(here, roots), cancellationToken).ConfigureAwait(false));
        }

        return new() { Size = layers[0].Size, Layers = layers };
    }

    /// <summary>What an image's header names beneath it; whether that is there is not asked.</summary>
    /// <exception cref="StorageException">It is named in a way that is not used here.</exception>
    internal static DiskLayer? BeneathOf(DiskLayer image, Qcow2Header? header)
    {
        if (header?.BackingFile is not { } backing)
        {
            return null;
        }

        if (!DiskFormatNames.TryParse(header.BackingFormat, out var format))
        {
            throw Unknown(image);
        }

        if (BackingReference.ReadRbd(backing) is { } rbd)
        {
            // How the cluster is reached is this host's to say, and may have been another's when the header was written.
            return new(image.Location is RbdLocation upper ? rbd with { ConfigurationFile = upper.ConfigurationFile, User = upper.User } : rbd, format);
        }

        if (image.Location is FileLocation file && VolumeName.Parse(backing) is { Complete: true })
        {
            backing = Path.Combine(Path.GetDirectoryName(file.Path)!, backing);
        }

        return backing.StartsWith('/') ? new(Posix.IsDevice(backing) ? new BlockLocation(backing) : new FileLocation(backing), format) : throw Unknown(image);
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

    private static DiskLayer? BeneathOf(ImageChainLayer layer) => BeneathOf(layer.Image, layer.Header);

    private static StorageException Unknown(DiskLayer image) =>
        new($"The image {image.Location} names its backing file without an absolute path or without a known format; it was not made here and is not opened.");

    private static void DemandDepth(DiskLayer image, List<ImageChainLayer> layers)
    {
        if (layers.Count > MaxDepth)
        {
            throw new StorageException($"The image {image.Location} lies on more than {MaxDepth} layers; merge some of its snapshots first.");
        }
    }

    private static ImageChainLayer LocalLayer(DiskLayer image, ImageRoots? roots)
    {
        var path = ImageTool.PathOf(image);
        roots?.Demand(path);
        return LayerOf(path, image.Format, image.Location is BlockLocation);
    }

    private static async Task<ImageChainLayer> RemoteLayerAsync(DiskLayer image, ImageTool images, CancellationToken cancellationToken)
    {
        if (image.Format == DiskFormat.Raw)
        {
            var info = await images.InfoAsync(image, whileInUse: true, cancellationToken).ConfigureAwait(false);
            return new() { Image = image, Size = info.Size, Allocated = info.Allocated.Bytes > 0 ? info.Allocated : info.Size };
        }

        var header = await images.HeaderOfAsync(image, cancellationToken).ConfigureAwait(false);
        DemandReadable(image.Location.ToString()!, header);
        return new() { Image = image, Header = header, Size = header.Size, Allocated = header.Size };
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
