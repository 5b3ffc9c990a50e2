namespace Pengx.Client;

/// <summary>A node of an OCFS2 cluster: <c>&lt;node&gt;</c>.</summary>
public sealed record StorageNodeResource
{
    /// <summary>The host that it is.</summary>
    public required Guid Pm { get; init; }

    /// <summary>Its address in the cluster.</summary>
    public required string PeerIp { get; init; }

    /// <summary>Its host name.</summary>
    public required string PeerName { get; init; }

    /// <summary>Its slot.</summary>
    public int Number { get; init; }
}
