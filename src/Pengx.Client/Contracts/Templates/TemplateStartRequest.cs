namespace Pengx.Client;

/// <summary>The body of <c>POST /templates/{id}/start/</c>, an addition to the reference: boots a template, to install it.</summary>
public sealed record TemplateStartRequest
{
    /// <summary>The name of the ISO to boot from, or null to boot the template's own disk.</summary>
    public string? Iso { get; init; }
}
