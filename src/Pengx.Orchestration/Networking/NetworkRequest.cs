namespace Pengx.Orchestration;

/// <summary>What a network device shall be, as a request writes it. In a change, what is not given stays as it is.</summary>
public sealed record NetworkRequest
{
    /// <summary>The device's name, unique on its PM. Field <c>name</c>; it cannot be changed.</summary>
    public string? Name { get; init; }

    /// <summary>What it is. Field <c>category</c>; it cannot be changed.</summary>
    public NetworkCategory? Category { get; init; }

    /// <summary>How it gets its address. Field <c>method</c>; <c>none</c> when never given.</summary>
    public AddressMethod? Method { get; init; }

    /// <summary>Its address, for the methods static and manual. Field <c>ipaddress</c>.</summary>
    public string? IpAddress { get; init; }

    /// <summary>The length of its network's prefix in bits. Field <c>prefix</c>.</summary>
    public int? PrefixLength { get; init; }

    /// <summary>The gateway, in its network. Field <c>gateway</c>.</summary>
    public string? Gateway { get; init; }

    /// <summary>What a bridge is made of. Field <c>bridge_type</c>; a Linux bridge when never given.</summary>
    public BridgeType? BridgeType { get; init; }

    /// <summary>The interfaces of a bridge, comma separated. Field <c>bridge_ports</c>.</summary>
    public string? BridgePorts { get; init; }

    /// <summary>The interfaces of a bond, comma separated. Field <c>bond_slaves</c>.</summary>
    public string? BondSlaves { get; init; }

    /// <summary>A bond's mode, by the kernel's number or name. Field <c>bond_mode</c>; <c>active-backup</c> when never given.</summary>
    public string? BondMode { get; init; }

    /// <summary>The largest packet in bytes. Field <c>mtu</c>.</summary>
    public int? Mtu { get; init; }

    /// <summary>Makes it the VLAN of that number. Field <c>vlan_id</c>.</summary>
    public int? VlanId { get; init; }

    /// <summary>The interface that the VLAN is on. Field <c>vlan_device</c>.</summary>
    public string? VlanDevice { get; init; }
}

/// <summary>A network device as lists and answers show it.</summary>
/// <param name="Network">Its row: what was configured, or what was found when nothing was.</param>
/// <param name="Actual">The device as it is on the host now; <see langword="null"/> when it is not there, or on another host.</param>
public sealed record NetworkView(Network Network, Network? Actual);

/// <summary>A PM's name servers as lists and answers show them.</summary>
/// <param name="Servers">The row.</param>
/// <param name="Actual">What this host uses now, in its order; empty for another host's.</param>
public sealed record DnsView(DnsServers Servers, IReadOnlyList<System.Net.IPAddress> Actual);

/// <summary>A virtual function, and who has it.</summary>
/// <param name="Address">Where it is.</param>
/// <param name="Vm">The machine that has it; <see langword="null"/> when it is free.</param>
public sealed record SriovFunctionView(PciAddress Address, VmId? Vm);

/// <summary>A card with virtual functions as lists and answers show it.</summary>
/// <param name="Card">Its row.</param>
/// <param name="Total">How many virtual functions it can have; <see langword="null"/> where it is not there, or on another host.</param>
/// <param name="Functions">The virtual functions that it has now.</param>
public sealed record SriovView(SriovCard Card, int? Total, IReadOnlyList<SriovFunctionView> Functions);
