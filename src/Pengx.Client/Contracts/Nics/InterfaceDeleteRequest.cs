namespace Pengx.Client;

/// <summary>The body that the reference shows for <c>DELETE /vms/{id}/interface/{n}/</c>; the number in the path decides.</summary>
public sealed record InterfaceDeleteRequest
{
    /// <summary>The switch it is plugged into, or null.</summary>
    public string? InterfaceName { get; init; }
}
