using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Pengx.Orchestration;

/// <summary>What the fields of networks, name servers and cards accept.</summary>
internal static class NetworkRules
{
    private const int MaxNameLength = 15;
    private const int MinMtu = 68;
    private const int MinMtuOfIpV6 = 1280;
    private const int MaxMtu = 65535;

    public static string Interface(string field, string? value)
    {
        var trimmed = value?.Trim() ?? "";
        return trimmed.Length is >= 1 and <= MaxNameLength && char.IsAsciiLetterOrDigit(trimmed[0]) && trimmed is not ("lo" or "all" or "default")
            && trimmed.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '_' or '-')
            ? trimmed
            : throw new InvalidFieldException(field, value, $"an interface's name has 1 to {MaxNameLength} letters, digits, dots, hyphens and underscores, begins with a letter or digit, and is not lo, all or default");
    }

    public static IPAddress Address(string field, string? value)
    {
        var trimmed = value?.Trim();
        return IPAddress.TryParse(trimmed, out var address)
            && (address.AddressFamily == AddressFamily.InterNetworkV6
                ? address.ScopeId == 0 && !trimmed.Contains('%', StringComparison.Ordinal) && !trimmed.Contains('[', StringComparison.Ordinal)
                : address.ToString() == trimmed)
            ? address
            : throw new InvalidFieldException(field, value, "it is an IPv4 address such as 192.168.0.1 or an IPv6 address");
    }

    public static IReadOnlyList<string> Interfaces(string field, string? value, string owner)
    {
        // An empty element is one that was not given; "none" takes all out.
        string[] names = value?.Trim() == "none" ? [] : [.. (value ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(name => Interface(field, name))];
        return names.Distinct(StringComparer.Ordinal).Count() == names.Length && !names.Contains(owner)
            ? names
            : throw new InvalidFieldException(field, value, "each interface is named once, and none is part of itself");
    }

    public static BondMode Mode(string value)
    {
        foreach (var mode in Enum.GetValues<BondMode>())
        {
            if (value == ((int)mode).ToString(CultureInfo.InvariantCulture) || value.Equals(new Network { Id = 0, Pm = default, Name = "", Category = NetworkCategory.Bond, BondMode = mode }.BondModeName, StringComparison.OrdinalIgnoreCase))
            {
                return mode;
            }
        }

        throw new InvalidFieldException("bond_mode", value, "use 0 to 6, or one of balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb");
    }

    /// <summary>Puts a request onto what there is, and demands that the whole of it makes sense.</summary>
    public static Network Apply(Network row, NetworkRequest request)
    {
        if (request.Name is { } name && name.Trim() != row.Name)
        {
            throw new InvalidFieldException("name", name, $"the name of {row.Name} cannot be changed; delete it and create another");
        }

        if (request.Category is { } category && category != row.Category)
        {
            throw new InvalidFieldException("category", Text(category), $"{row.Name} is a {Text(row.Category)}; delete it and create another");
        }

        var method = request.Method ?? row.Method;
        var hasAddress = method is AddressMethod.Static or AddressMethod.Manual;
        var changed = row with
        {
            Method = method,
            IpAddress = request.IpAddress is { } address ? Address("ipaddress", address) : hasAddress ? row.IpAddress : null,
            PrefixLength = request.PrefixLength ?? (hasAddress ? row.PrefixLength : null),
            Gateway = request.Gateway is { } gateway ? Address("gateway", gateway) : hasAddress ? row.Gateway : null,
            BridgeType = request.BridgeType ?? row.BridgeType,
            BridgePorts = request.BridgePorts is { } ports ? Interfaces("bridge_ports", ports, row.Name) : row.BridgePorts,
            BondSlaves = request.BondSlaves is { } slaves ? Interfaces("bond_slaves", slaves, row.Name) : row.BondSlaves,
            BondMode = request.BondMode is { } mode ? Mode(mode) : row.BondMode,
            Mtu = request.Mtu ?? row.Mtu,
            VlanId = request.VlanId ?? row.VlanId,
            VlanDevice = request.VlanDevice is { } device ? Interface("vlan_device", device) : row.VlanDevice,
            Managed = true,
        };
        changed = changed.Category switch
        {
            NetworkCategory.Bridge => changed with { BridgeType = changed.BridgeType ?? BridgeType.Linux },
            NetworkCategory.Bond => changed with { BondMode = changed.BondMode ?? BondMode.ActiveBackup },
            _ => changed,
        };
        Check(changed);
        return changed;
    }

    private static void Check(Network network)
    {
        Only(network, NetworkCategory.Bridge, "bridge_type", network.BridgeType is null ? null : network.BridgeType == BridgeType.Linux ? "bridge" : "ovs");
        Only(network, NetworkCategory.Bridge, "bridge_ports", network.BridgePorts.Count == 0 ? null : string.Join(',', network.BridgePorts));
        Only(network, NetworkCategory.Bond, "bond_slaves", network.BondSlaves.Count == 0 ? null : string.Join(',', network.BondSlaves));
        Only(network, NetworkCategory.Bond, "bond_mode", network.BondModeName);
        Only(network, NetworkCategory.Nic, "vlan_id", network.VlanId?.ToString(CultureInfo.InvariantCulture));
        Only(network, NetworkCategory.Nic, "vlan_device", network.VlanDevice);
        if (network is { Category: NetworkCategory.Bond, BondSlaves.Count: 0 })
        {
            throw new InvalidFieldException("bond_slaves", "", "a bond joins one interface at least");
        }

        if (network.VlanId is { } vlan and (< 1 or > 4094))
        {
            throw new InvalidFieldException("vlan_id", Text(vlan), "a VLAN has a number from 1 to 4094");
        }

        if (network.VlanId is null != network.VlanDevice is null || network.VlanDevice == network.Name)
        {
            throw new InvalidFieldException("vlan_device", network.VlanDevice, "a VLAN has both vlan_id and vlan_device, and is on another interface than itself");
        }

        var isIpV6 = network.IpAddress?.AddressFamily == AddressFamily.InterNetworkV6;
        if (network.Mtu is { } mtu && (mtu < (isIpV6 ? MinMtuOfIpV6 : MinMtu) || mtu > MaxMtu))
        {
            throw new InvalidFieldException("mtu", Text(mtu), $"it is {MinMtu} to {MaxMtu} bytes, and {MinMtuOfIpV6} at least with IPv6");
        }

        CheckAddress(network, isIpV6);
    }

    private static void CheckAddress(Network network, bool isIpV6)
    {
        if (network.Method is AddressMethod.Dhcp or AddressMethod.None)
        {
            var given = network switch
            {
                { IpAddress: { } address } => ("ipaddress", address.ToString()),
                { PrefixLength: { } length } => ("prefix", Text(length)),
                { Gateway: { } way } => ("gateway", way.ToString()),
                _ => default,
            };
            if (given.Item1 is not null)
            {
                throw new InvalidFieldException(given.Item1, given.Item2, "an address is given with the methods static and manual only");
            }

            return;
        }

        if (network.IpAddress is null && network.Method == AddressMethod.Static)
        {
            throw new InvalidFieldException("ipaddress", "", "the method static needs an address");
        }

        if (network.IpAddress is not null && (network.PrefixLength is not { } prefix || prefix < 1 || prefix > (isIpV6 ? 128 : 32)))
        {
            throw new InvalidFieldException("prefix", network.PrefixLength?.ToString(CultureInfo.InvariantCulture), $"with an {(isIpV6 ? "IPv6" : "IPv4")} address it is 1 to {(isIpV6 ? 128 : 32)}");
        }

        if (network.IpAddress is { } own && (IPAddress.Any.Equals(own) || IPAddress.IPv6Any.Equals(own) || IPAddress.IsLoopback(own) || IsMulticast(own)))
        {
            throw new InvalidFieldException("ipaddress", own.ToString(), "it is the address of one host, and not unspecified, loopback or multicast");
        }

        if (network.Gateway is { } gateway && (network.IpAddress is not { } from || gateway.AddressFamily != from.AddressFamily || gateway.Equals(from)
            || !(gateway.IsIPv6LinkLocal || IsIn(gateway, from, network.PrefixLength!.Value))))
        {
            throw new InvalidFieldException("gateway", gateway.ToString(), $"it lies in the network of {network.IpAddress}/{network.PrefixLength}, and is another host");
        }
    }

    private static bool IsMulticast(IPAddress address) => address.IsIPv6Multicast || (address.AddressFamily == AddressFamily.InterNetwork && address.GetAddressBytes()[0] >= 224);

    private static bool IsIn(IPAddress address, IPAddress network, int prefix)
    {
        var (one, other) = (address.GetAddressBytes(), network.GetAddressBytes());
        for (var bit = 0; bit < prefix; bit++)
        {
            if (((one[bit / 8] ^ other[bit / 8]) & (0x80 >> (bit % 8))) != 0)
            {
                return false;
            }
        }

        return true;
    }

    private static void Only(Network network, NetworkCategory category, string field, string? value)
    {
        if (value is not null && network.Category != category)
        {
            throw new InvalidFieldException(field, value, $"a {Text(network.Category)} has none; it is for the category {Text(category)}");
        }
    }

    private static string Text(NetworkCategory category) => category switch
    {
        NetworkCategory.Nic => "nic",
        NetworkCategory.Bridge => "bridge",
        _ => "bond",
    };

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
