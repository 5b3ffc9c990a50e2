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

    /// <summary>Whether an agent in a running guest is asked to flush and freeze its file systems for the instant. Where none answers, the
    /// snapshot is taken all the same; the operation's message says which. Field <c>quiesce</c>.</summary>
    public bool Quiesce { get; init; }

    /// <summary>Whether what the running guest has in memory is kept, too, on the same storage link (of level FL or BL): started with the snapshot, it goes on
    /// from there instead of booting. The guest stands still while its memory is written. Field <c>memory</c>.</summary>
    public bool Memory { get; init; }
}
