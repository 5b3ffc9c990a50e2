namespace Pengx.Orchestration;

/// <summary>What a new snapshot shall be.</summary>
public sealed record CreateSnapshot
{
    /// <summary>Its name, unique in its machine. Field <c>name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The storage link that takes what the machine writes from then on; of level FL or BL. Field <c>storlink</c>.</summary>
    public required StorlinkId Storlink { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }
}
