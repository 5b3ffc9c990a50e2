namespace Pengx.Orchestration;

/// <summary>What a new disk of a virtual machine shall be.</summary>
public sealed record CreateDisk
{
    /// <summary>Its size in MiB. Field <c>size</c>.</summary>
    public required long SizeMiB { get; init; }

    /// <summary>The storage link that it shall lie on. Field <c>storlink</c>.</summary>
    public required StorlinkId Storlink { get; init; }

    /// <summary>Its format; that of the machine's boot disk when not given, else qcow2. Field <c>format</c>.</summary>
    public DiskFormat? Format { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }
}
