namespace Pengx.Client;

/// <summary>The body of <c>POST /templates/create/vms/{id}/</c>: a template from a VM.</summary>
public sealed record TemplateCreateRequest
{
    /// <summary>The template's name.</summary>
    public required string Name { get; init; }

    /// <summary>The storlink on which its disks are created.</summary>
    public required int Storlink { get; init; }

    /// <summary>Its description, or null.</summary>
    public string? Description { get; init; }
}
