namespace Pengx.Client;

/// <summary>The data of a <c>vm</c> event: <c>&lt;vm id&gt;&lt;name/&gt;&lt;status/&gt;&lt;/vm&gt;</c>.</summary>
public sealed record MachineStatusResource
{
    /// <summary>The machine's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name, or null.</summary>
    public string? Name { get; init; }

    /// <summary>The state it is in now.</summary>
    public string? Status { get; init; }
}
