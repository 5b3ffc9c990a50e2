namespace Pengx.Client;

/// <summary>A physical host as <c>/pms/</c>, <c>/pms/all/</c> and <c>/pms/{id}/</c> answer it: <c>&lt;pm&gt;</c>.</summary>
public sealed record PmResource
{
    /// <summary>The host's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary><c>Up</c> while its heartbeat is fresh.</summary>
    public string? Status { get; init; }

    /// <summary>How many CPU cores it has (<c>&lt;cpu_core&gt;</c>); 0 when the server does not say.</summary>
    public int CpuCores { get; init; }

    /// <summary>Its memory in MiB; 0 when the server does not say.</summary>
    public long Memory { get; init; }

    /// <summary>Its network interfaces.</summary>
    public IReadOnlyList<PmInterfaceResource> Interfaces { get; init; } = [];
}
