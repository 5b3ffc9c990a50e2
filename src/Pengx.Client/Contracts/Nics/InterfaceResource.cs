namespace Pengx.Client;

/// <summary>A VM's network interface: <c>&lt;interface&gt;</c> of <c>/vms/{id}/interfaces/</c>.</summary>
public sealed record InterfaceResource
{
    /// <summary>The interface's number.</summary>
    public required int Id { get; init; }

    /// <summary>Its MAC address, or null.</summary>
    public string? Mac { get; init; }

    /// <summary>Its name, or null.</summary>
    public string? Name { get; init; }

    /// <summary>Its address, or null.</summary>
    public string? Ip { get; init; }

    /// <summary>The VM it belongs to.</summary>
    public Guid? Machine { get; init; }
}
