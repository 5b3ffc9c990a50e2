namespace Pengx.Client;

/// <summary>A card with virtual functions: <c>&lt;sriov&gt;</c> of <c>/sriov/</c>.</summary>
public sealed record SriovResource
{
    /// <summary>Its number.</summary>
    public required int Id { get; init; }

    /// <summary>The host.</summary>
    public Guid? Pm { get; init; }

    /// <summary>The card's interface: <c>&lt;pf&gt;</c>.</summary>
    public required string PhysicalFunction { get; init; }

    /// <summary>How many virtual functions it can have; null where the host does not tell.</summary>
    public int? Total { get; init; }

    /// <summary>The virtual functions that it has.</summary>
    public IReadOnlyList<SriovFunctionResource> Functions { get; init; } = [];
}
