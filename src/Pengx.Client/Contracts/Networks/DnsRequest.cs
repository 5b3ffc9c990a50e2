namespace Pengx.Client;

/// <summary>The body of <c>POST /dns/</c> and <c>PUT /dns/{id}/</c>.</summary>
public sealed record DnsRequest
{
    /// <summary>The first server.</summary>
    public required string IpAddress1 { get; init; }

    /// <summary>The second server; null for none.</summary>
    public string? IpAddress2 { get; init; }
}
