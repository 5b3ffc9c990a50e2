namespace Pengx.Client;

/// <summary>A network device of a host: <c>&lt;network&gt;</c> of <c>/networks/</c>.</summary>
public sealed record NetworkResource
{
    /// <summary>Its number.</summary>
    public required int Id { get; init; }

    /// <summary>The host it belongs to.</summary>
    public Guid? Pm { get; init; }

    /// <summary>Its name, such as <c>xenbr0</c>.</summary>
    public required string Name { get; init; }

    /// <summary><c>nic</c>, <c>bridge</c> or <c>bond</c>.</summary>
    public string? Category { get; init; }

    /// <summary>Its hardware address.</summary>
    public string? Mac { get; init; }

    /// <summary>How it gets its address: <c>manual</c>, <c>static</c>, <c>dhcp</c> or <c>none</c>.</summary>
    public string? Method { get; init; }

    /// <summary>Its address.</summary>
    public string? IpAddress { get; init; }

    /// <summary>The length of its network's prefix, in bits.</summary>
    public int? Prefix { get; init; }

    /// <summary>The gateway.</summary>
    public string? Gateway { get; init; }

    /// <summary>Of a bridge: <c>bridge</c> or <c>ovs</c>.</summary>
    public string? BridgeType { get; init; }

    /// <summary>The interfaces of a bridge, comma separated; in a request, <c>none</c> takes all out.</summary>
    public string? BridgePorts { get; init; }

    /// <summary>The interfaces of a bond, comma separated.</summary>
    public string? BondSlaves { get; init; }

    /// <summary>A bond's mode, by the kernel's name or number.</summary>
    public string? BondMode { get; init; }

    /// <summary>The largest packet in bytes.</summary>
    public int? Mtu { get; init; }

    /// <summary>The VLAN that it carries.</summary>
    public int? VlanId { get; init; }

    /// <summary>The interface that the VLAN is on.</summary>
    public string? VlanDevice { get; init; }

    /// <summary>Whether somebody configured it; otherwise it was found on the host.</summary>
    public bool Managed { get; init; }

    /// <summary>The device as it is on the host now; null when it is not there.</summary>
    public NetworkActual? Actual { get; init; }
}
