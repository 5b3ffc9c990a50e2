namespace Pengx.Orchestration;

/// <summary>What to note for a network interface.</summary>
public sealed record UpdateInterface
{
    /// <summary>Its address. Field <c>ipaddress</c>.</summary>
    public required string IpAddress { get; init; }
}
