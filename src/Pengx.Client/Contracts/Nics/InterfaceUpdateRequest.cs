namespace Pengx.Client;

/// <summary>The body of <c>PUT /vms/{id}/interface/{n}/update/</c> (version 2).</summary>
public sealed record InterfaceUpdateRequest
{
    /// <summary>The new address.</summary>
    public required string IpAddress { get; init; }
}
