namespace Pengx;

/// <summary>The image formats that a disk can have. The format is recorded, never probed: a guest can write any header into
/// a raw disk.</summary>
public enum DiskFormat
{
    /// <summary>Bytes as the guest sees them, <c>raw</c>.</summary>
    Raw,

    /// <summary>QEMU's copy-on-write format, <c>qcow2</c>.</summary>
    Qcow2,
}

/// <summary>A virtual disk (reference, chapter 9: <c>Disk</c>).</summary>
public sealed record Disk
{
    /// <summary>The disk's UUID; it names the file, logical volume or RBD image.</summary>
    public required DiskId Id { get; init; }

    /// <summary>The one object it belongs to.</summary>
    public required DiskOwner Owner { get; init; }

    /// <summary>Its place among the owner's disks; 0 boots.</summary>
    public required int Order { get; init; }

    /// <summary>The size that the guest sees.</summary>
    public required DataSize Size { get; init; }

    /// <summary>The image format.</summary>
    public required DiskFormat Format { get; init; }

    /// <summary>The storage link it lies on.</summary>
    public required StorlinkId Storlink { get; init; }

    /// <summary>The disk whose image this one's is an overlay of.</summary>
    public DiskId? Backing { get; init; }

    /// <summary>The reference's free disk type; not given by any of its requests.</summary>
    public string? Type { get; init; }

    /// <summary>What it is for, in the operator's words.</summary>
    public string? Description { get; init; }

    /// <summary>When it was made.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }

    /// <summary>Where the disk lies (reference: <c>path()</c>): <c>{link}/{uuid}.{format}</c> at file level, the logical
    /// volume or RBD image of that UUID at block and object level.</summary>
    /// <param name="storlink">The storage link that the disk lies on.</param>
    /// <exception cref="ArgumentException">It is another storage link.</exception>
    public string Path(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        if (storlink.Id != Storlink)
        {
            throw new ArgumentException($"Disk {Id} lies on storlink {Storlink}, not on {storlink.Id}.", nameof(storlink));
        }

        var name = storlink.Level == StorlinkLevel.File ? $"{Id}.{Format.Name}" : Id.ToString();
        return $"{storlink.Link.TrimEnd('/')}/{name}";
    }

    internal XenDisk ToXenDisk(Storlink storlink, int index) => new(Format.Name, Vdev.At(index), "w", Path(storlink), Order);
}
