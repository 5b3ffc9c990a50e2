namespace Pengx.Orchestration;

/// <summary>A template to be made of images that already lie on their storage links.</summary>
public sealed record AddTemplate
{
    /// <summary>Its name: 1 to 255 characters, no control characters, unique on its PM. Field <c>name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The operating system. Field <c>os</c>.</summary>
    public required GuestOs Os { get; init; }

    /// <summary>Its architecture. Field <c>os_arch</c>.</summary>
    public required OsArchitecture Architecture { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }

    /// <summary>The images, in boot order; at least one. Field <c>disk</c>.</summary>
    public required IReadOnlyList<ExistingImage> Disks { get; init; }
}

/// <summary>An image that already lies on a storage link.</summary>
/// <param name="Storlink">The storage link. Field <c>storlink</c>.</param>
/// <param name="Disk">The UUID that names the image. Field <c>uuid</c>.</param>
/// <param name="Format">Its format. Field <c>format</c>.</param>
public sealed record ExistingImage(StorlinkId Storlink, DiskId Disk, DiskFormat Format);
