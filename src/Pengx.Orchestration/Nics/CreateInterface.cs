namespace Pengx.Orchestration;

/// <summary>What a new network interface of a virtual machine shall be.</summary>
public sealed record CreateInterface
{
    /// <summary>The switch of the host; a whole number n is <c>xenbr{n}</c>. Field <c>interface_name</c>.</summary>
    public required string Switch { get; init; }

    /// <summary>The address to note for it. Field <c>ipaddress</c>.</summary>
    public string? IpAddress { get; init; }
}
