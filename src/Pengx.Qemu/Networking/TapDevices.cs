using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Pengx.Qemu;

/// <summary>The host's ends of guests' network interfaces: tap devices plugged into a bridge. Made and removed by system calls,
/// persistent in between, since QEMU comes and opens them by name without any privilege.</summary>
internal static unsafe class TapDevices
{
    private const int MaxNameBytes = 15;
    private const int RequestBytes = 40;
    private const nuint TunSetInterface = 0x400454ca;
    private const nuint TunSetPersist = 0x400454cb;
    private const nuint TunSetOwner = 0x400454cc;
    private const nuint GetFlags = 0x8913;
    private const nuint SetFlags = 0x8914;
    private const nuint GetMtu = 0x8921;
    private const nuint SetMtu = 0x8922;
    private const nuint SetHardwareAddress = 0x8924;
    private const nuint GetIndex = 0x8933;
    private const nuint AddToBridge = 0x89a2;
    private const short TapWithoutHeader = 0x0002 | 0x1000;
    private const short VnetHeader = 0x4000;
    private const short Up = 0x1;
    private const int InternetFamily = 2;
    private const int DatagramType = 2;
    private const ushort Ethernet = 1;

    /// <summary>The device of an interface: a name that no user wrote, the same at each start.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="mac">The interface.</param>
    public static string NameOf(DomainId domain, MacAddress mac) =>
        "pgx" + Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes($"{domain} {mac}")))[..12];

    /// <summary>Whether the host has a bridge of this name.</summary>
    /// <param name="name">What a user wrote.</param>
    public static bool IsBridge(string name) => IsInterfaceName(name) && Directory.Exists($"/sys/class/net/{name}/bridge");

    /// <summary>The bridge that a device is in; <see langword="null"/> for none.</summary>
    /// <param name="name">The device.</param>
    public static string? FindBridge(string name) => Path.GetFileName(new DirectoryInfo($"/sys/class/net/{name}/brport/bridge").ResolveLinkTarget(returnFinalTarget: false)?.FullName);

    /// <summary>Whether the host has a device of this name.</summary>
    /// <param name="name">The name.</param>
    public static bool Exists(string name) => IsInterfaceName(name) && Path.Exists($"/sys/class/net/{name}");

    /// <summary>Makes a device for a user, puts it into a bridge and raises it. Already there: makes it ready again.</summary>
    /// <param name="name">The device.</param>
    /// <param name="bridge">The bridge.</param>
    /// <param name="mac">The guest's address.</param>
    /// <param name="owner">The user that QEMU runs as.</param>
    /// <exception cref="HypervisorException">The system refused; no device is left.</exception>
    public static void Create(string name, string bridge, MacAddress mac, uint owner)
    {
        Attach(name, persist: true, owner);
        var socket = -1;
        try
        {
            socket = NativeMethods.Socket(InternetFamily, DatagramType | NativeMethods.CloseOnExec, 0);
            var request = stackalloc byte[RequestBytes];

            // An address above every other in the bridge: a bridge takes the lowest of its ports' as its own.
            Prepare(request, name);
            *(ushort*)(request + 16) = Ethernet;
            for (var octet = 0; octet < 6; octet++)
            {
                request[18 + octet] = octet == 0 ? (byte)0xfe : (byte)(mac.Value >> (40 - (8 * octet)));
            }

            Call(socket, SetHardwareAddress, request, name);

            Prepare(request, bridge);
            Call(socket, GetMtu, request, bridge);
            var mtu = *(int*)(request + 16);
            Prepare(request, name);
            *(int*)(request + 16) = mtu;
            Call(socket, SetMtu, request, name);

            Prepare(request, name);
            Call(socket, GetIndex, request, name);
            var index = *(int*)(request + 16);
            Prepare(request, bridge);
            *(int*)(request + 16) = index;
            if (!Path.Exists($"/sys/class/net/{bridge}/brif/{name}"))
            {
                Call(socket, AddToBridge, request, bridge);
            }

            Prepare(request, name);
            Call(socket, GetFlags, request, name);
            var flags = *(short*)(request + 16);
            Prepare(request, name);
            *(short*)(request + 16) = (short)(flags | Up);
            Call(socket, SetFlags, request, name);
        }
        catch
        {
            Delete(name);
            throw;
        }
        finally
        {
            if (socket >= 0)
            {
                _ = NativeMethods.Close(socket);
            }
        }
    }

    /// <summary>Removes a device. None: succeeds.</summary>
    /// <param name="name">The device.</param>
    /// <exception cref="HypervisorException">The system refused.</exception>
    public static void Delete(string name)
    {
        if (Exists(name))
        {
            Attach(name, persist: false, 0);
        }
    }

    private static void Attach(string name, bool persist, uint owner)
    {
        var descriptor = NativeMethods.Open("/dev/net/tun", NativeMethods.ReadWrite | NativeMethods.CloseOnExec, 0);
        if (descriptor < 0)
        {
            throw new HypervisorException($"/dev/net/tun cannot be opened for {name}: {NativeMethods.LastError()}");
        }

        try
        {
            var request = stackalloc byte[RequestBytes];
            Prepare(request, name);
            *(short*)(request + 16) = TapWithoutHeader | VnetHeader;
            Call(descriptor, TunSetInterface, request, name);
            if (persist)
            {
                CallValue(descriptor, TunSetOwner, owner, name);
            }

            CallValue(descriptor, TunSetPersist, persist ? 1u : 0u, name);
        }
        finally
        {
            _ = NativeMethods.Close(descriptor);
        }
    }

    private static void Prepare(byte* request, string name)
    {
        new Span<byte>(request, RequestBytes).Clear();
        Encoding.ASCII.GetBytes(name, new Span<byte>(request, MaxNameBytes));
    }

    private static void Call(int descriptor, nuint request, byte* argument, string name)
    {
        if (NativeMethods.Ioctl(descriptor, request, argument) < 0)
        {
            throw Refused(name, request);
        }
    }

    private static void CallValue(int descriptor, nuint request, nuint argument, string name)
    {
        if (NativeMethods.IoctlValue(descriptor, request, argument) < 0)
        {
            throw Refused(name, request);
        }
    }

    private static HypervisorException Refused(string name, nuint request) =>
        new(string.Create(CultureInfo.InvariantCulture, $"Network device {name} cannot be set up (request 0x{request:x}): {NativeMethods.LastError()}"));

    // The kernel's rule, which also keeps the name from becoming a path.
    private static bool IsInterfaceName(string name) =>
        name.Length is > 0 and <= MaxNameBytes && name is not ("." or "..") && name.All(static c => c is > ' ' and < '\x7f' and not ('/' or ':'));
}
