namespace Pengx.Client;

/// <summary>One network interface of a physical host: <c>&lt;interface&gt;</c> inside <c>&lt;pm&gt;</c>.</summary>
public sealed record PmInterfaceResource
{
    /// <summary>The interface's name on its host, for example <c>xenbr0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Its MAC address, or null where it has none.</summary>
    public string? Mac { get; init; }

    /// <summary>Its address, or null where none is set.</summary>
    public string? Ip { get; init; }
}
