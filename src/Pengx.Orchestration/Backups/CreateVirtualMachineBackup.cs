namespace Pengx.Orchestration;

/// <summary>A backup to be made of a virtual machine.</summary>
public sealed record CreateVirtualMachineBackup
{
    /// <summary>Its name: 1 to 255 characters, no control characters. Field <c>backup_name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The storage link that its files shall lie on, one of level FL. Field <c>storlink</c>.</summary>
    public required StorlinkId Storlink { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }

    /// <summary>Whether only what changed since the machine's newest backup on the same storage link is copied, and laid upon that one.
    /// Where that cannot be known for certain, a full backup is made and its operation's message says why. Field <c>type</c>.</summary>
    public bool Incremental { get; init; }
}
