namespace Pengx.Orchestration;

/// <summary>A storage link's new fields; what is not given stays, and something must be given.</summary>
public sealed record UpdateStorlink
{
    /// <summary>Its name. Field <c>name</c>.</summary>
    public string? Name { get; init; }

    /// <summary>Its link. Field <c>link</c>.</summary>
    public string? Link { get; init; }

    /// <summary>What it stands on. Field <c>type</c>.</summary>
    public StorlinkType? Type { get; init; }

    /// <summary>How disks lie on it. Field <c>level</c>.</summary>
    public StorlinkLevel? Level { get; init; }

    /// <summary>Whether other PMs see the same disks. Field <c>shared</c>.</summary>
    public bool? Shared { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }
}
