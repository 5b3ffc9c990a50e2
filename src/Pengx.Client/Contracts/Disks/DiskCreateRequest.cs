namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/{id}/disks/</c>.</summary>
public sealed record DiskCreateRequest
{
    /// <summary>The disk's size in MiB.</summary>
    public required long Size { get; init; }

    /// <summary>The storlink on which it is created.</summary>
    public required int Storlink { get; init; }

    /// <summary>Its description, or null.</summary>
    public string? Description { get; init; }
}
