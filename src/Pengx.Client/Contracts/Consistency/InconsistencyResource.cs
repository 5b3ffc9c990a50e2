namespace Pengx.Client;

/// <summary>A place where the server's rows, storage, hypervisor and journal disagree: <c>&lt;inconsistency&gt;</c>, an addition to the
/// reference.</summary>
public sealed record InconsistencyResource
{
    /// <summary>How they disagree: <c>VolumeWithoutDisk</c>, <c>ChainDiffers</c> and so on; new ones may come.</summary>
    public required string Kind { get; init; }

    /// <summary>About what: <c>vm/7e1…</c>, <c>storlink/3/disk/09f…</c>.</summary>
    public required string Subject { get; init; }

    /// <summary>The sentence for the operator.</summary>
    public string? Message { get; init; }
}
