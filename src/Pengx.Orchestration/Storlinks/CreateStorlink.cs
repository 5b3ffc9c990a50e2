namespace Pengx.Orchestration;

/// <summary>What a new storage link shall be.</summary>
public sealed record CreateStorlink
{
    /// <summary>Its name: 1 to 255 characters, no control characters, unique on its PM. Field <c>name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>A directory at file level, <c>/dev/VG</c> at block level, a pool at object level. Field <c>link</c>.</summary>
    public required string Link { get; init; }

    /// <summary>What it stands on. Field <c>type</c>.</summary>
    public required StorlinkType Type { get; init; }

    /// <summary>How disks lie on it. Field <c>level</c>.</summary>
    public required StorlinkLevel Level { get; init; }

    /// <summary>Whether other PMs see the same disks. Field <c>shared</c>.</summary>
    public bool Shared { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }
}
