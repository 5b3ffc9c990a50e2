namespace Pengx.Orchestration;

/// <summary>A copy to be made of a virtual machine.</summary>
public sealed record CopyVirtualMachine
{
    /// <summary>The copy's name: 1 to 255 characters, no control characters, unique on its PM. Field <c>name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The storage link that its disks shall lie on. Field <c>storlink</c>.</summary>
    public required StorlinkId Storlink { get; init; }
}
