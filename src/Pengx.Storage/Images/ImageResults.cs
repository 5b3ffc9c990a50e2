namespace Pengx.Storage;

/// <summary>What <c>qemu-img info</c> says of an image.</summary>
/// <param name="Format">The format that it was opened as.</param>
/// <param name="Size">The size that the guest sees.</param>
/// <param name="Allocated">The space it takes.</param>
/// <param name="BackingFile">The file it is an overlay of, in full.</param>
/// <param name="BackingFormat">That file's format.</param>
public sealed record ImageInfo(DiskFormat Format, DataSize Size, DataSize Allocated, string? BackingFile, string? BackingFormat)
{
    /// <summary>Where the image lies, as the tool names it.</summary>
    public string FileName { get; init; } = "";

    /// <summary>The size of a cluster in bytes; 0 for a raw image.</summary>
    public int ClusterSize { get; init; }

    /// <summary>How clusters are compressed: <c>zlib</c> or <c>zstd</c>; <see langword="null"/> for a raw image.</summary>
    public string? CompressionType { get; init; }

    /// <summary>Whether clusters have parts that are written apart.</summary>
    public bool HasExtendedL2 { get; init; }

    /// <summary>Whether it was not closed cleanly since it was last written.</summary>
    public bool IsDirty { get; init; }

    /// <summary>Its bitmaps of changed areas.</summary>
    public IReadOnlyList<ImageBitmap> Bitmaps { get; init; } = [];

    /// <summary>The names of its internal snapshots.</summary>
    public IReadOnlyList<string> Snapshots { get; init; } = [];
}

/// <summary>A bitmap of the areas that a guest changed, in a qcow2 image.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Granularity">How many bytes one bit stands for.</param>
/// <param name="IsRecording">Whether it records what is written.</param>
/// <param name="IsInconsistent">Whether it was not stored when the image was last closed: it can only be removed.</param>
public sealed record ImageBitmap(string Name, long Granularity, bool IsRecording, bool IsInconsistent);

/// <summary>A range of an image, as the guest sees it, and where its content comes from.</summary>
/// <param name="Start">Where it begins, in bytes.</param>
/// <param name="Length">How long it is, in bytes.</param>
/// <param name="Depth">The layer that has it: 0 for the image itself, 1 for its backing file, and so on.</param>
/// <param name="IsPresent">Whether any layer has it.</param>
/// <param name="IsZero">Whether it reads as zeros without anything being read.</param>
/// <param name="HasData">Whether bytes are stored for it.</param>
/// <param name="Offset">Where those lie in the layer's file; <see langword="null"/> when compressed, or none.</param>
public readonly record struct ImageExtent(long Start, long Length, int Depth, bool IsPresent, bool IsZero, bool HasData, long? Offset);

/// <summary>The space that an image would take, as <c>qemu-img measure</c> says.</summary>
/// <param name="Required">With the data that there is now.</param>
/// <param name="FullyAllocated">With all of it written.</param>
public sealed record ImageMeasure(DataSize Required, DataSize FullyAllocated)
{
    /// <summary>What its bitmaps would take in addition; none when there are none, or the target cannot have any.</summary>
    public DataSize Bitmaps { get; init; }
}

/// <summary>What <c>qemu-img check</c> found. A clean result does not mean that an image is whole: one cut off while it was
/// copied is clean, too.</summary>
/// <param name="Errors">Damage.</param>
/// <param name="Leaks">Space that is marked as used and is not: harmless.</param>
public sealed record ImageCheck(long Errors, long Leaks)
{
    /// <summary>How many clusters hold data.</summary>
    public long AllocatedClusters { get; init; }

    /// <summary>How many clusters the guest's size has.</summary>
    public long TotalClusters { get; init; }

    /// <summary>How many clusters do not follow the one before them.</summary>
    public long FragmentedClusters { get; init; }

    /// <summary>How many clusters are compressed.</summary>
    public long CompressedClusters { get; init; }

    /// <summary>Where the last used cluster ends in the file.</summary>
    public long EndOffset { get; init; }

    /// <summary>How much damage was repaired.</summary>
    public long ErrorsFixed { get; init; }

    /// <summary>How many leaks were repaired.</summary>
    public long LeaksFixed { get; init; }
}

/// <summary>What <see cref="ImageTool.RepairAsync"/> may change.</summary>
public enum ImageRepair
{
    /// <summary>Space that is marked as used and is not; never loses data.</summary>
    Leaks,

    /// <summary>Everything. What is damaged for good is dropped: keep a copy first.</summary>
    All,
}

/// <summary>How a new image is made.</summary>
public sealed record ImageCreation
{
    /// <summary>The size of a cluster in bytes, a power of two from 512 to 2 MiB; the tool's own when not given.</summary>
    public int? ClusterSize { get; init; }

    /// <summary>How much is written at once.</summary>
    public ImagePreallocation Preallocation { get; init; }

    /// <summary>Whether clusters get parts that are written apart: smaller first writes, for overlays.</summary>
    public bool ExtendedL2 { get; init; }

    /// <summary>Whether the backing image, a file in the same directory, is named by its file name alone.</summary>
    public bool IsBackingBeside { get; init; }
}

/// <summary>How much of a new image is written at once.</summary>
public enum ImagePreallocation
{
    /// <summary>Nothing: the image grows as it is written.</summary>
    None,

    /// <summary>The tables of a qcow2 image.</summary>
    Metadata,

    /// <summary>The space, without writing to it.</summary>
    Reserved,

    /// <summary>All of it, as zeros.</summary>
    Full,
}

/// <summary>How <c>qemu-img convert</c> writes its target.</summary>
public enum ImageCaching
{
    /// <summary>Through the page cache, flushed at the end.</summary>
    WriteBack,

    /// <summary>Past the page cache; the file system must allow it.</summary>
    None,

    /// <summary>Through the page cache and never flushed: for a caller who flushes the target.</summary>
    Unsafe,
}

/// <summary>How an image is converted.</summary>
public sealed record ImageConversion
{
    /// <summary>How the target is written.</summary>
    public ImageCaching Caching { get; init; } = ImageCaching.WriteBack;

    /// <summary>How many requests are under way at once, 1 to 16.</summary>
    public int Parallel { get; init; } = 16;

    /// <summary>Whether the target may be written in any order: faster where the target takes it well.</summary>
    public bool OutOfOrder { get; init; } = true;

    /// <summary>Whether the file system may copy, sharing blocks where it can. Keeps zeros that are stored as they are.</summary>
    public bool Offload { get; init; }

    /// <summary>Whether the target is there already and is kept, as a block device or an RBD image.</summary>
    public bool IntoExisting { get; init; }

    /// <summary>Whether a target that is there already is known to read as zeros.</summary>
    public bool TargetIsZero { get; init; }

    /// <summary>Whether the source may be read while something writes to it: then the copy may be of no one moment.</summary>
    public bool WhileInUse { get; init; }

    /// <summary>Whether the source's bitmaps are copied; both images must be qcow2.</summary>
    public bool Bitmaps { get; init; }

    /// <summary>How many bytes a second at most; 0 for no limit.</summary>
    public DataSize RateLimit { get; init; }
}
