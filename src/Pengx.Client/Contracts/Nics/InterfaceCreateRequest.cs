namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/{id}/interfaces/</c>.</summary>
public sealed record InterfaceCreateRequest
{
    /// <summary>The switch to plug it into, for example <c>xenbr0</c> (<c>&lt;interface_name&gt;</c>).</summary>
    public required string InterfaceName { get; init; }

    /// <summary>Its address (version 2), or null.</summary>
    public string? IpAddress { get; init; }
}
