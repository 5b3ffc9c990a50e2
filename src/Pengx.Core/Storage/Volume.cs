namespace Pengx;

/// <summary>The measured size and free space of a storage link.</summary>
/// <param name="Size">All space.</param>
/// <param name="Free">What can still be written.</param>
public sealed record StorlinkCapacity(DataSize Size, DataSize Free);

/// <summary>What a volume shall be.</summary>
public sealed record VolumeSpec
{
    /// <summary>The disk, whose UUID names the volume.</summary>
    public required DiskId Disk { get; init; }

    /// <summary>The format.</summary>
    public required DiskFormat Format { get; init; }

    /// <summary>The size that the guest shall see; at least the source's or backing image's.</summary>
    public required DataSize Size { get; init; }

    /// <summary>The image to copy the content from, flattened; the volume is empty without one. With a <see cref="Backing"/> that lies
    /// beside it, the volume is an overlay that holds what the source shows otherwise than that one: both are read and compared.</summary>
    public DiskLayer? Source { get; init; }

    /// <summary>Whether the caller vouches that nothing writes to <see cref="Source"/>, although a guest of this host may have it open:
    /// beneath an overlay. Where a storage link can tell writers from readers itself, it does.</summary>
    public bool IsSourceFrozen { get; init; }

    /// <summary>The image to lay a qcow2 overlay on; excludes <see cref="Source"/> unless <see cref="IsBackingBeside"/>.</summary>
    public DiskLayer? Backing { get; init; }

    /// <summary>Whether the overlay's header names its backing image by its file name alone, so that both can be taken elsewhere together.
    /// Only for one that is a volume on the same storage link of level FL.</summary>
    public bool IsBackingBeside { get; init; }

    /// <summary>How many bytes of <see cref="Source"/> are copied in a second at most; 0 for no limit. A copy that shares blocks
    /// moves none, and is not limited.</summary>
    public DataSize RateLimit { get; init; }
}

/// <summary>A volume as it lies on its storage link.</summary>
/// <param name="Disk">The disk.</param>
/// <param name="Format">The format.</param>
/// <param name="Size">The size that the guest sees.</param>
/// <param name="Allocated">The space it takes.</param>
public sealed record Volume(DiskId Disk, DiskFormat Format, DataSize Size, DataSize Allocated);

/// <summary>Something that lies on a storage link under a disk's UUID.</summary>
/// <param name="Disk">The disk.</param>
/// <param name="Name">The name of the file, logical volume or image.</param>
/// <param name="Complete">Whether it is a whole volume rather than one half made or half removed.</param>
public sealed record VolumeEntry(DiskId Disk, string Name, bool Complete);

/// <summary>How far a long piece of work is.</summary>
/// <param name="Done">Bytes done.</param>
/// <param name="Total">Bytes in all; 0 while unknown.</param>
public readonly record struct ByteProgress(long Done, long Total);
