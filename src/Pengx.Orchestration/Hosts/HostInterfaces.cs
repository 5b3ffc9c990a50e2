using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Pengx.Orchestration;

/// <summary>An address of one of the host's interfaces.</summary>
internal sealed record InterfaceAddress(string Interface, IPAddress Address, int PrefixLength);

/// <summary>The host's own network devices: cards, Linux bridges and bonds. The ends of guests' interfaces, VLANs and the loopback
/// are left out.</summary>
/// <remarks>Source: Linux kernel documentation, <c>ABI/testing/sysfs-class-net</c>. An Open vSwitch bridge has no mark there and is not
/// seen.</remarks>
internal sealed class HostInterfaces(string root = HostInterfaces.DefaultRoot, Func<IEnumerable<InterfaceAddress>>? addresses = null)
{
    private const string DefaultRoot = "/sys/class/net";

    private readonly Func<IEnumerable<InterfaceAddress>> _addresses = addresses ?? ReadAddresses;

    /// <summary>Reads them, by name.</summary>
    /// <param name="pm">The PM that they are of.</param>
    /// <returns>Rows without number; <see langword="null"/> where this host does not tell.</returns>
    public IReadOnlyList<Network>? Read(PmId pm)
    {
        try
        {
            if (!Directory.Exists(root))
            {
                return null;
            }

            var known = _addresses().ToLookup(address => address.Interface, StringComparer.Ordinal);
            return
            [
                .. Directory.GetDirectories(root).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)
                    .Select(name => ReadOne(pm, name, known[name])).OfType<Network>(),
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NetworkInformationException)
        {
            return null;
        }
    }

    /// <summary>Whether a device is the host's own, and no guest's end.</summary>
    public bool IsHosts(string name) => CategoryOf(name) is not null || IsVlan(name) || !Directory.Exists(Path.Combine(root, name, "device"));

    private Network? ReadOne(PmId pm, string name, IEnumerable<InterfaceAddress> addresses)
    {
        try
        {
            if (CategoryOf(name) is not { } category)
            {
                return null;
            }

            var address = addresses.OrderBy(Rank).FirstOrDefault();
            var row = new Network
            {
                Id = 0,
                Pm = pm,
                Name = name,
                Category = category,
                Method = AddressMethod.None,
                Mac = MacAddress.TryParse(Text(name, "address"), out var mac) ? mac : null,

                // The scope of a link-local address is a number that changes from boot to boot.
                IpAddress = address is null ? null : new IPAddress(address.Address.GetAddressBytes()),
                PrefixLength = address?.PrefixLength,
                Mtu = int.TryParse(Text(name, "mtu"), NumberStyles.None, CultureInfo.InvariantCulture, out var mtu) ? mtu : null,
            };
            return category switch
            {
                NetworkCategory.Bridge => row with { BridgeType = BridgeType.Linux, BridgePorts = Ports(name) },
                NetworkCategory.Bond => row with { BondMode = Mode(Text(name, "bonding/mode")), BondSlaves = [.. Text(name, "bonding/slaves").Split(' ', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal)] },
                _ => row,
            };
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It vanished while it was looked at.
            return null;
        }
    }

    private NetworkCategory? CategoryOf(string name) =>
        Directory.Exists(Path.Combine(root, name, "bridge")) ? NetworkCategory.Bridge
        : Directory.Exists(Path.Combine(root, name, "bonding")) ? NetworkCategory.Bond
        : IsCard(name) ? NetworkCategory.Nic
        : null;

    /// <summary>Hardware has a device; so has Xen's end of a guest's interface, whose device is on the bus of backends.</summary>
    private bool IsCard(string name)
    {
        var device = Path.Combine(root, name, "device");
        return Directory.Exists(device)
            && new FileInfo(Path.Combine(device, "subsystem")).LinkTarget?.EndsWith("/xen-backend", StringComparison.Ordinal) != true;
    }

    /// <summary>Ports that are the host's own: guests come and go, and are not the bridge's making.</summary>
    private IReadOnlyList<string> Ports(string bridge)
    {
        var ports = Path.Combine(root, bridge, "brif");
        return Directory.Exists(ports)
            ? [.. Directory.GetFileSystemEntries(ports).Select(path => Path.GetFileName(path)).Where(port => CategoryOf(port) is not null || IsVlan(port)).Order(StringComparer.Ordinal)]
            : [];
    }

    private bool IsVlan(string name) => Text(name, "uevent").Split('\n').Contains("DEVTYPE=vlan", StringComparer.Ordinal);

    private string Text(string name, string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(root, name, file)).Trim();
        }
        catch (FileNotFoundException)
        {
            return "";
        }
    }

    /// <summary>Reads <c>active-backup 1</c>.</summary>
    private static BondMode? Mode(string text) =>
        int.TryParse(text.Split(' ')[^1], NumberStyles.None, CultureInfo.InvariantCulture, out var number) && Enum.IsDefined((BondMode)number) ? (BondMode)number : null;

    private static int Rank(InterfaceAddress address) => address.Address switch
    {
        { AddressFamily: AddressFamily.InterNetwork } => 0,
        { IsIPv6LinkLocal: false } => 1,
        _ => 2,
    };

    private static IEnumerable<InterfaceAddress> ReadAddresses() =>
        from device in NetworkInterface.GetAllNetworkInterfaces()
        from address in device.GetIPProperties().UnicastAddresses
        select new InterfaceAddress(device.Name, address.Address, address.PrefixLength);
}
