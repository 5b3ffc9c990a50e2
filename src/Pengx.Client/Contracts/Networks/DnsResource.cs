namespace Pengx.Client;

/// <summary>A host's name servers: <c>&lt;dns&gt;</c> of <c>/dns/</c>.</summary>
public sealed record DnsResource
{
    /// <summary>Its number.</summary>
    public required int Id { get; init; }

    /// <summary>The host.</summary>
    public Guid? Pm { get; init; }

    /// <summary>The first server.</summary>
    public string? IpAddress1 { get; init; }

    /// <summary>The second server.</summary>
    public string? IpAddress2 { get; init; }

    /// <summary>What the host uses now, comma separated.</summary>
    public string? Actual { get; init; }
}
