namespace Pengx.Orchestration;

/// <summary>A template to be made of a virtual machine's disks.</summary>
public sealed record CreateTemplate
{
    /// <summary>Its name: 1 to 255 characters, no control characters, unique on its PM. Field <c>name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The storage link that its disks shall lie on. Field <c>storlink</c>.</summary>
    public required StorlinkId Storlink { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }
}
