namespace Pengx.Orchestration;

/// <summary>A template's new fields; what is not given stays, and something must be given.</summary>
public sealed record UpdateTemplate
{
    /// <summary>Its name. Field <c>name</c>.</summary>
    public string? Name { get; init; }

    /// <summary>The operating system. Field <c>os</c>.</summary>
    public GuestOs? Os { get; init; }

    /// <summary>Its architecture. Field <c>os_arch</c>.</summary>
    public OsArchitecture? Architecture { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }
}
