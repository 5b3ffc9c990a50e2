namespace Pengx.Client;

/// <summary>A snapshot of a VM: <c>&lt;snapshot&gt;</c>, of the list and of its creation's answer.</summary>
public sealed record SnapshotResource
{
    /// <summary>The snapshot's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary><c>S</c> for a saved one.</summary>
    public string? Type { get; init; }

    /// <summary>The snapshot it was taken on, or null for the first.</summary>
    public Guid? Parent { get; init; }

    /// <summary>When it was taken.</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary>Its description.</summary>
    public string? Description { get; init; }

    /// <summary>Whether the guest's memory was kept with it: an addition to the reference, which is sent where it is so.</summary>
    public bool HasMemory { get; init; }
}
