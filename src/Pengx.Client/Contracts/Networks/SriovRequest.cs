namespace Pengx.Client;

/// <summary>The body of <c>POST /sriov/</c> and <c>PUT /sriov/{id}/</c>.</summary>
public sealed record SriovRequest
{
    /// <summary>The card's interface; needed for a creation.</summary>
    public string? PhysicalFunction { get; init; }

    /// <summary>How many virtual functions it shall have.</summary>
    public int? FunctionCount { get; init; }
}
