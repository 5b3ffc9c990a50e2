namespace Pengx.Client;

/// <summary>The body of <c>PUT /templates/{id}/</c>: null leaves a field as it is.</summary>
public sealed record TemplateUpdateRequest
{
    /// <summary>A new name.</summary>
    public string? Name { get; init; }

    /// <summary>Another operating system.</summary>
    public string? Os { get; init; }

    /// <summary><c>X86</c> or <c>X64</c>.</summary>
    public string? OsArch { get; init; }

    /// <summary>A new description.</summary>
    public string? Description { get; init; }
}
