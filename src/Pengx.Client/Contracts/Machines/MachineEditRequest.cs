namespace Pengx.Client;

/// <summary>The body of <c>PUT /vms/{id}/edit/</c> (version 2): null leaves a field as it is.</summary>
public sealed record MachineEditRequest
{
    /// <summary>A new name, unique on its host.</summary>
    public string? Name { get; init; }

    /// <summary>A new description.</summary>
    public string? Description { get; init; }
}
