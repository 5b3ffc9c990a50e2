using System.Net;

namespace Pengx;

/// <summary>A network interface of a virtual machine (reference, chapter 9: <c>VMIface</c>).</summary>
public sealed record VmInterface
{
    /// <summary>The interface's number.</summary>
    public required VmInterfaceId Id { get; init; }

    /// <summary>The machine it belongs to.</summary>
    public required VmId Vm { get; init; }

    /// <summary>The name inside the guest's order: <c>eth0</c>, <c>eth1</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The switch (bridge) of the host that it is plugged into, such as <c>xenbr0</c>.</summary>
    public required string Switch { get; init; }

    /// <summary>Its hardware address.</summary>
    public required MacAddress Mac { get; init; }

    /// <summary>The address that the operator noted for it.</summary>
    public IPAddress? IpAddress { get; init; }

    /// <summary>How the guest gets its address.</summary>
    public AddressMethod Method { get; init; } = AddressMethod.Manual;

    /// <summary>Set when the interface was deleted while its guest ran: the guest keeps the device, and the address stays
    /// reserved, until the next power-off.</summary>
    public bool Retired { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }
}
