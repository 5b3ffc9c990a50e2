namespace Pengx.Client;

/// <summary>A virtual function: <c>&lt;vf&gt;</c>.</summary>
public sealed record SriovFunctionResource
{
    /// <summary>Where it is on the PCI bus, such as <c>0000:03:10.0</c>.</summary>
    public required string Address { get; init; }

    /// <summary>The VM that has it; null when it is free.</summary>
    public Guid? Machine { get; init; }
}
