namespace Pengx.Client;

/// <summary>The body of <c>POST /templates/add_new/</c> (version 2): a template with new, empty images.</summary>
public sealed record TemplateAddNewRequest
{
    /// <summary>The template's name.</summary>
    public required string Name { get; init; }

    /// <summary>The operating system, for example <c>DEBIAN</c>.</summary>
    public required string Os { get; init; }

    /// <summary><c>X86</c> or <c>X64</c>.</summary>
    public required string OsArch { get; init; }

    /// <summary>Its description, or null.</summary>
    public string? Description { get; init; }

    /// <summary>Its disks, at least one; the first one boots. The reference shows one, a repeated <c>&lt;disk&gt;</c> adds another.</summary>
    public required IReadOnlyList<NewTemplateDisk> Disks { get; init; }
}
