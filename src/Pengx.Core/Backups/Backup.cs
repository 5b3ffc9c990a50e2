namespace Pengx;

/// <summary>A backup of a virtual machine's disks (reference, chapter 9: <c>Backup</c>).</summary>
public sealed record Backup
{
    /// <summary>The backup's UUID.</summary>
    public required BackupId Id { get; init; }

    /// <summary>The machine it was taken of.</summary>
    public required VmId Vm { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>What it is for, in the operator's words.</summary>
    public string? Description { get; init; }

    /// <summary>The storage link that its images lie on.</summary>
    public required StorlinkId Storlink { get; init; }

    /// <summary>The size of all its images.</summary>
    public required DataSize Size { get; init; }

    /// <summary>When it was taken.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }
}
