using System.Net;

namespace Pengx;

/// <summary>The kinds of a physical machine's network devices.</summary>
public enum NetworkCategory
{
    /// <summary>A network card, <c>nic</c>.</summary>
    Nic,

    /// <summary>A switch for guests, <c>bridge</c>.</summary>
    Bridge,

    /// <summary>Several cards as one, <c>bond</c>.</summary>
    Bond,
}

/// <summary>How an interface gets its address.</summary>
public enum AddressMethod
{
    /// <summary>By hand, <c>manual</c>.</summary>
    Manual,

    /// <summary>A fixed address, <c>static</c>.</summary>
    Static,

    /// <summary>From a DHCP server, <c>dhcp</c>.</summary>
    Dhcp,

    /// <summary>Not managed, <c>none</c>.</summary>
    None,
}

/// <summary>What a bridge is made of.</summary>
public enum BridgeType
{
    /// <summary>A Linux bridge, <c>bridge</c>.</summary>
    Linux,

    /// <summary>An Open vSwitch bridge, <c>ovs</c>.</summary>
    OpenVSwitch,
}

/// <summary>A bond's mode, by the Linux kernel's numbers.</summary>
/// <remarks>Source: Linux kernel documentation, <c>networking/bonding</c>.</remarks>
public enum BondMode
{
    /// <summary>In turn, <c>balance-rr</c>.</summary>
    BalanceRoundRobin = 0,

    /// <summary>One at a time, <c>active-backup</c>.</summary>
    ActiveBackup = 1,

    /// <summary>By hash, <c>balance-xor</c>.</summary>
    BalanceXor = 2,

    /// <summary>On all, <c>broadcast</c>.</summary>
    Broadcast = 3,

    /// <summary>Link aggregation, <c>802.3ad</c>.</summary>
    LinkAggregation = 4,

    /// <summary>Adaptive transmit, <c>balance-tlb</c>.</summary>
    BalanceTransmit = 5,

    /// <summary>Adaptive, <c>balance-alb</c>.</summary>
    BalanceAdaptive = 6,
}

/// <summary>A network device of a physical machine (reference, chapter 9: <c>Network</c>).</summary>
public sealed record Network
{
    /// <summary>The row's number.</summary>
    public required int Id { get; init; }

    /// <summary>The physical machine it belongs to.</summary>
    public required PmId Pm { get; init; }

    /// <summary>The device's name, such as <c>eth0</c> or <c>xenbr0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>What it is.</summary>
    public required NetworkCategory Category { get; init; }

    /// <summary>How it gets its address.</summary>
    public AddressMethod Method { get; init; }

    /// <summary>Its hardware address.</summary>
    public MacAddress? Mac { get; init; }

    /// <summary>Its address.</summary>
    public IPAddress? IpAddress { get; init; }

    /// <summary>The length of its network's prefix, in bits.</summary>
    public int? PrefixLength { get; init; }

    /// <summary>The gateway.</summary>
    public IPAddress? Gateway { get; init; }

    /// <summary>What a bridge is made of.</summary>
    public BridgeType? BridgeType { get; init; }

    /// <summary>The interfaces plugged into a bridge.</summary>
    public IReadOnlyList<string> BridgePorts { get; init; } = [];

    /// <summary>The interfaces that a bond joins.</summary>
    public IReadOnlyList<string> BondSlaves { get; init; } = [];

    /// <summary>How a bond shares its interfaces.</summary>
    public BondMode? BondMode { get; init; }

    /// <summary>The largest packet that it carries, in bytes; the kernel's own choice when not given.</summary>
    public int? Mtu { get; init; }

    /// <summary>The VLAN that it carries: then it is a VLAN on top of <see cref="VlanDevice"/>.</summary>
    public int? VlanId { get; init; }

    /// <summary>The interface that a VLAN is on.</summary>
    public string? VlanDevice { get; init; }

    /// <summary>Whether somebody configured it here; otherwise the row says what was found on the host, and goes with it.</summary>
    public bool Managed { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }

    /// <summary>The kernel's name of the bond's mode (reference: <c>bond_mode_str</c>); <see langword="null"/> for another device.</summary>
    public string? BondModeName => BondMode switch
    {
        Pengx.BondMode.BalanceRoundRobin => "balance-rr",
        Pengx.BondMode.ActiveBackup => "active-backup",
        Pengx.BondMode.BalanceXor => "balance-xor",
        Pengx.BondMode.Broadcast => "broadcast",
        Pengx.BondMode.LinkAggregation => "802.3ad",
        Pengx.BondMode.BalanceTransmit => "balance-tlb",
        Pengx.BondMode.BalanceAdaptive => "balance-alb",
        _ => null,
    };
}

/// <summary>The name servers of a physical machine (reference, chapter 9: <c>DNS</c>).</summary>
public sealed record DnsServers
{
    /// <summary>The row's number.</summary>
    public required int Id { get; init; }

    /// <summary>The physical machine.</summary>
    public required PmId Pm { get; init; }

    /// <summary>The first server.</summary>
    public IPAddress? Address1 { get; init; }

    /// <summary>The second server.</summary>
    public IPAddress? Address2 { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }
}

/// <summary>A network card that offers virtual functions (reference, chapter 9: <c>SRIOV</c>).</summary>
public sealed record SriovCard
{
    /// <summary>The row's number.</summary>
    public required int Id { get; init; }

    /// <summary>The physical machine.</summary>
    public required PmId Pm { get; init; }

    /// <summary>The physical function: the card's interface, such as <c>eth0</c>.</summary>
    public required string PhysicalFunction { get; init; }

    /// <summary>The virtual functions.</summary>
    public IReadOnlyList<PciAddress> VirtualFunctions { get; init; } = [];

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }
}
