namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/{id}/snapshots/</c>.</summary>
public sealed record SnapshotCreateRequest
{
    /// <summary>The snapshot's name, unique in its VM.</summary>
    public required string Name { get; init; }

    /// <summary>The storlink on which what the VM writes from now on is kept.</summary>
    public required int Storlink { get; init; }

    /// <summary>Its description, or null.</summary>
    public string? Description { get; init; }
}
