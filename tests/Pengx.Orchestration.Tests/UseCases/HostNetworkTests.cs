using System.Net;

namespace Pengx.Orchestration.Tests;

public sealed class HostNetworkTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Cards_bridges_and_bonds_are_shown_and_guests_ends_are_not()
    {
        await using var world = new World();
        LayHost(world);
        await world.StartAsync();
        var view = await world.Hosts.GetOwnAsync(Token);
        Assert.Equal(["bond0", "eth0", "eth1", "xenbr0"], view.Networks.Select(network => network.Name));
        Assert.All(view.Networks, network => Assert.Equal(AddressMethod.None, network.Method));

        var bond = view.Networks[0];
        Assert.Equal((NetworkCategory.Bond, (BondMode?)BondMode.ActiveBackup), (bond.Category, bond.BondMode));
        Assert.Equal(["eth0", "eth1"], bond.BondSlaves);

        var card = view.Networks[1];
        Assert.Equal((NetworkCategory.Nic, MacAddress.Parse("52:54:00:00:00:01")), (card.Category, card.Mac!.Value));
        Assert.Equal((IPAddress.Parse("fe80::1"), 64), (card.IpAddress!, card.PrefixLength!.Value));
        Assert.Equal(IPAddress.Parse("2001:db8::2"), view.Networks[2].IpAddress);
        Assert.Null(view.Networks[2].Mac);

        var bridge = view.Networks[3];
        Assert.Equal((NetworkCategory.Bridge, (BridgeType?)BridgeType.Linux), (bridge.Category, bridge.BridgeType));
        Assert.Equal(["bond0", "bond0.5"], bridge.BridgePorts);
        Assert.Equal((IPAddress.Parse("192.0.2.7"), 24), (bridge.IpAddress!, bridge.PrefixLength!.Value));
    }

    [Fact]
    public async Task A_heartbeat_writes_what_changed_and_nothing_else()
    {
        await using var world = new World();
        LayHost(world);
        await world.StartAsync();
        var first = (await world.Hosts.GetOwnAsync(Token)).Networks;
        await world.Hosts.RegisterAsync(Token);
        var second = (await world.Hosts.GetOwnAsync(Token)).Networks;
        Assert.All(second, network => Assert.Equal(0, network.Revision));
        Assert.Equal(first.Select(network => network.Id), second.Select(network => network.Id));

        // What was configured stays; the kernel does not know of it.
        await using (var session = await world.Store.OpenAsync(Token))
        {
            session.Networks.Update(second[3] with { Method = AddressMethod.Static, Gateway = IPAddress.Parse("192.0.2.1") });
            session.Networks.Add(second[3] with { Id = 99, Pm = PmId.New(), Name = "of another", Revision = 0 });
            await session.SaveAsync(Token);
        }

        Directory.Delete(Path.Combine(world.Home, "net", "eth1"), recursive: true);
        Lay(world, "eth2", ("address", "52:54:00:00:00:03\n"), ("device/vendor", "0x8086\n"));
        Lay(world, "xenbr0", ("address", "52:54:00:00:00:99\n"));
        await world.Hosts.RegisterAsync(Token);
        var third = (await world.Hosts.GetOwnAsync(Token)).Networks;
        Assert.Equal([("bond0", 0), ("eth0", 0), ("eth2", 0), ("xenbr0", 2)], third.Select(network => (network.Name, network.Revision)));
        Assert.Equal((second[3].Id, AddressMethod.Static, IPAddress.Parse("192.0.2.1"), "52:54:00:00:00:99"), (third[3].Id, third[3].Method, third[3].Gateway!, third[3].Mac.ToString()));
        Assert.NotNull(await world.ReadAsync(session => session.Networks.FindAsync(99, Token)));

        // A host that does not tell takes nothing away.
        Directory.Delete(Path.Combine(world.Home, "net"), recursive: true);
        await world.Hosts.RegisterAsync(Token);
        Assert.Equal(4, (await world.Hosts.GetOwnAsync(Token)).Networks.Count);
    }

    [Fact]
    public void This_host_s_own_interfaces_are_read()
    {
        if (!Directory.Exists("/sys/class/net"))
        {
            Assert.Skip("There is no /sys/class/net.");
        }

        var networks = new HostInterfaces().Read(PmId.New());
        Assert.NotNull(networks);
        Assert.DoesNotContain(networks, network => network.Name == "lo");
        Assert.All(networks, network => Assert.True(Directory.Exists($"/sys/class/net/{network.Name}")));
    }

    private static void LayHost(World world)
    {
        Lay(world, "lo", ("address", "00:00:00:00:00:00\n"));
        Lay(world, "eth0", ("address", "52:54:00:00:00:01\n"), ("device/vendor", "0x8086\n"));
        Lay(world, "eth1", ("address", "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01\n"), ("device/vendor", "0x15b3\n"));
        Lay(world, "bond0", ("address", "52:54:00:00:00:01\n"), ("bonding/mode", "active-backup 1\n"), ("bonding/slaves", "eth1 eth0\n"));
        Lay(world, "bond0.5", ("address", "52:54:00:00:00:01\n"), ("uevent", "DEVTYPE=vlan\nINTERFACE=bond0.5\n"));
        Lay(world, "xenbr0", ("address", "52:54:00:00:00:01\n"), ("bridge/stp_state", "0\n"), ("brif/tap0", ""), ("brif/vif1.0", ""), ("brif/bond0.5", ""), ("brif/bond0", ""));
        Lay(world, "tap0", ("address", "fe:54:00:00:00:01\n"), ("tun_flags", "0x1002\n"), ("uevent", "INTERFACE=tap0\n"));
        Lay(world, "veth0", ("address", "fe:54:00:00:00:02\n"), ("uevent", "INTERFACE=veth0\n"));
        Lay(world, "vif1.0", ("address", "fe:ff:ff:ff:ff:ff\n"), ("device/nodename", "backend/vif/1/0\n"), ("uevent", "INTERFACE=vif1.0\n"));
        File.CreateSymbolicLink(Path.Combine(world.Home, "net", "vif1.0", "device", "subsystem"), "../../../bus/xen-backend");
        File.WriteAllText(Path.Combine(world.Home, "net", "bonding_masters"), "bond0\n");
        world.Addresses = () =>
        [
            new("lo", IPAddress.Loopback, 8),
            new("eth0", IPAddress.Parse("fe80::1%3"), 64),
            new("eth1", IPAddress.Parse("fe80::2%4"), 64),
            new("eth1", IPAddress.Parse("2001:db8::2"), 64),
            new("xenbr0", IPAddress.Parse("2001:db8::7"), 64),
            new("xenbr0", IPAddress.Parse("192.0.2.7"), 24),
            new("xenbr0", IPAddress.Parse("192.0.2.8"), 24),
        ];
    }

    private static void Lay(World world, string name, params (string File, string Text)[] files)
    {
        foreach (var (file, text) in files)
        {
            var path = Path.Combine(world.Home, "net", name, file);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text);
        }
    }
}
