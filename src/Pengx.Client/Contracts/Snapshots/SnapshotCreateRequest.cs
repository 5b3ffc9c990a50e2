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

    /// <summary>Whether an agent in the running guest is asked to freeze its file systems for the instant (<c>&lt;quiesce&gt;</c>), or null
    /// for no: an addition to the reference. Without an answer the snapshot is taken all the same.</summary>
    public bool? Quiesce { get; init; }

    /// <summary>Whether what the running guest has in memory is kept, too (<c>&lt;memory&gt;</c>), or null for no: an addition to the
    /// reference. The guest stands still while its memory is written, and goes on from there when it is started with the snapshot.</summary>
    public bool? Memory { get; init; }
}
