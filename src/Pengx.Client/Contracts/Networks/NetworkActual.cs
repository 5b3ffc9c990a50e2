namespace Pengx.Client;

/// <summary>A network device as it is on its host now: <c>&lt;actual&gt;</c>.</summary>
public sealed record NetworkActual
{
    /// <summary>Its hardware address.</summary>
    public string? Mac { get; init; }

    /// <summary>Its address.</summary>
    public string? IpAddress { get; init; }

    /// <summary>The length of its network's prefix.</summary>
    public int? Prefix { get; init; }

    /// <summary>The interfaces of a bridge, comma separated.</summary>
    public string? BridgePorts { get; init; }

    /// <summary>The interfaces of a bond, comma separated.</summary>
    public string? BondSlaves { get; init; }

    /// <summary>A bond's mode.</summary>
    public string? BondMode { get; init; }

    /// <summary>The largest packet in bytes.</summary>
    public int? Mtu { get; init; }
}
