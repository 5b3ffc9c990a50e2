namespace Pengx.Orchestration;

/// <summary>A template to be made with new, empty images.</summary>
public sealed record AddNewTemplate
{
    /// <summary>Its name: 1 to 255 characters, no control characters, unique on its PM. Field <c>name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The operating system. Field <c>os</c>.</summary>
    public required GuestOs Os { get; init; }

    /// <summary>Its architecture. Field <c>os_arch</c>.</summary>
    public required OsArchitecture Architecture { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }

    /// <summary>The images to make, in boot order; at least one. Field <c>disk</c>.</summary>
    public required IReadOnlyList<NewImage> Disks { get; init; }
}

/// <summary>An empty image to be made.</summary>
/// <param name="Storlink">The storage link. Field <c>storlink</c>.</param>
/// <param name="SizeMiB">Its size in MiB. Field <c>size</c>.</param>
/// <param name="Format">Its format. Field <c>format</c>.</param>
public sealed record NewImage(StorlinkId Storlink, long SizeMiB, DiskFormat Format);
