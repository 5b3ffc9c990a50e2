using System.Diagnostics;
using System.Net;
using Pengx.Storage;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class HostNetworkingTests
{
    private static readonly NetworkRequest s_bridge = new() { Name = "xenbr5", Category = NetworkCategory.Bridge };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string, NetworkRequest> Refused => new()
    {
        { "name", s_bridge with { Name = "has blank" } },
        { "name", s_bridge with { Name = "sixteenletters00" } },
        { "name", s_bridge with { Name = "lo" } },
        { "category", s_bridge with { Category = null } },
        { "ipaddress", s_bridge with { Method = AddressMethod.Static } },
        { "ipaddress", s_bridge with { Method = AddressMethod.Static, IpAddress = "192.0.2.300", PrefixLength = 24 } },
        { "ipaddress", s_bridge with { Method = AddressMethod.Static, IpAddress = "224.0.0.1", PrefixLength = 24 } },
        { "ipaddress", s_bridge with { Method = AddressMethod.Dhcp, IpAddress = "192.0.2.1" } },
        { "prefix", s_bridge with { Method = AddressMethod.Static, IpAddress = "192.0.2.1" } },
        { "prefix", s_bridge with { Method = AddressMethod.Static, IpAddress = "192.0.2.1", PrefixLength = 33 } },
        { "prefix", s_bridge with { Method = AddressMethod.Static, IpAddress = "2001:db8::1", PrefixLength = 129 } },
        { "gateway", s_bridge with { Method = AddressMethod.Static, IpAddress = "192.0.2.1", PrefixLength = 24, Gateway = "192.0.3.1" } },
        { "gateway", s_bridge with { Method = AddressMethod.Static, IpAddress = "192.0.2.1", PrefixLength = 24, Gateway = "2001:db8::1" } },
        { "gateway", s_bridge with { Method = AddressMethod.Static, IpAddress = "192.0.2.1", PrefixLength = 24, Gateway = "192.0.2.1" } },
        { "mtu", s_bridge with { Mtu = 67 } },
        { "mtu", s_bridge with { Mtu = 1279, Method = AddressMethod.Static, IpAddress = "2001:db8::1", PrefixLength = 64 } },
        { "bridge_ports", s_bridge with { BridgePorts = "eth0,eth0" } },
        { "bridge_ports", s_bridge with { BridgePorts = "xenbr5" } },
        { "bond_mode", s_bridge with { BondMode = "active-backup" } },
        { "bond_mode", s_bridge with { Category = NetworkCategory.Bond, BondSlaves = "eth0", BondMode = "7" } },
        { "bond_slaves", s_bridge with { Category = NetworkCategory.Bond } },
        { "bridge_type", s_bridge with { Category = NetworkCategory.Bond, BondSlaves = "eth0", BridgeType = BridgeType.Linux } },
        { "vlan_id", s_bridge with { Category = NetworkCategory.Nic, VlanId = 4095, VlanDevice = "eth0" } },
        { "vlan_device", s_bridge with { Category = NetworkCategory.Nic, VlanId = 5 } },
        { "vlan_id", s_bridge with { VlanId = 5, VlanDevice = "eth0" } },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task A_field_that_breaks_its_rule_is_named(string field, NetworkRequest request)
    {
        await using var world = await World.StartedAsync();
        var error = await Assert.ThrowsAsync<InvalidFieldException>(() => world.Get<Networks>().CreateAsync(request, null, Token));
        Assert.Equal(field, error.Field);
        Assert.Empty(await world.Get<Networks>().ListAsync(Token));
    }

    [Fact]
    public async Task Networks_are_recorded_kept_by_heartbeats_and_not_applied_unless_that_is_switched_on()
    {
        await using var world = await World.StartedAsync();
        var networks = world.Get<Networks>();
        var made = await world.DoneAsync(networks.CreateAsync(
            s_bridge with { BridgePorts = "eth0, eth1", Method = AddressMethod.Static, IpAddress = "192.0.2.9", PrefixLength = 24, Gateway = "192.0.2.1" }, null, Token));
        Assert.Contains("recorded", made.Message!, StringComparison.Ordinal);
        var view = Assert.Single(await networks.ListAsync(Token));
        Assert.True(view.Network.Managed);
        Assert.Equal(["eth0", "eth1"], view.Network.BridgePorts);
        Assert.Null(view.Actual);

        // A heartbeat takes away what is not on the host, but not what was configured.
        Directory.CreateDirectory(Path.Combine(world.Home, "net"));
        await world.Hosts.RegisterAsync(Token);
        Assert.Single(await networks.ListAsync(Token));
        Lay(world, "xenbr5", ("address", "52:54:00:00:00:01"), ("mtu", "1500"), ("bridge/stp_state", "0"));
        await world.Hosts.RegisterAsync(Token);
        view = Assert.Single(await networks.ListAsync(Token));
        Assert.Equal(IPAddress.Parse("192.0.2.9"), view.Network.IpAddress);
        Assert.Equal(1500, view.Actual!.Mtu);

        // Unique: its name, its address, its parts.
        Assert.Equal("name", (await Assert.ThrowsAsync<InvalidFieldException>(() => networks.CreateAsync(s_bridge, null, Token))).Field);
        var other = s_bridge with { Name = "xenbr6" };
        Assert.Equal("ipaddress", (await Assert.ThrowsAsync<InvalidFieldException>(() => networks.CreateAsync(other with { Method = AddressMethod.Manual, IpAddress = "192.0.2.9", PrefixLength = 25 }, null, Token))).Field);
        Assert.Equal("bridge_ports", (await Assert.ThrowsAsync<InvalidFieldException>(() => networks.CreateAsync(other with { BridgePorts = "eth1" }, null, Token))).Field);

        await world.DoneAsync(networks.UpdateAsync(view.Network.Id, new NetworkRequest { BridgePorts = "none", Method = AddressMethod.Dhcp }, null, Token));
        view = await networks.GetAsync(view.Network.Id, Token);
        Assert.Equal((0, AddressMethod.Dhcp, null, null), (view.Network.BridgePorts.Count, view.Network.Method, view.Network.IpAddress, view.Network.Gateway));

        // A switch that machines are plugged into stays.
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink, change: request => request with { Networks = ["5"] });
        var used = await Assert.ThrowsAsync<InUseException>(() => networks.DeleteAsync(view.Network.Id, null, Token));
        Assert.Contains("1 interfaces", used.Message, StringComparison.Ordinal);
        await world.DoneAsync(world.Machines.DeleteAsync(vm, null, Token));
        await world.DoneAsync(networks.DeleteAsync(view.Network.Id, null, Token));
        Assert.Empty(await networks.ListAsync(Token));
    }

    [Fact]
    public async Task Name_servers_are_recorded_and_written_where_that_is_switched_on()
    {
        await using var world = await World.StartedAsync();
        Directory.CreateDirectory(world.Home);
        const string Before = "# by hand\nsearch example.org\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions edns0\n";
        await File.WriteAllTextAsync(world.ResolvConf, Before, Token);
        var servers = world.Get<NameServers>();
        await world.DoneAsync(servers.CreateAsync("192.0.2.53", "2001:db8::53", null, Token));
        Assert.Equal(Before, await File.ReadAllTextAsync(world.ResolvConf, Token));
        var view = Assert.Single(await servers.ListAsync(Token));
        Assert.Equal(["192.0.2.1", "192.0.2.2"], view.Actual.Select(address => address.ToString()));
        Assert.Equal("pm", (await Assert.ThrowsAsync<InvalidFieldException>(() => servers.CreateAsync("192.0.2.53", null, null, Token))).Field);
        Assert.Equal("ipaddress1", (await Assert.ThrowsAsync<InvalidFieldException>(() => servers.UpdateAsync(view.Servers.Id, "ns.example.org", null, null, Token))).Field);
        Assert.Equal("ipaddress2", (await Assert.ThrowsAsync<InvalidFieldException>(() => servers.UpdateAsync(view.Servers.Id, "192.0.2.53", "192.0.2.53", null, Token))).Field);

        world.ApplyNetworks = true;
        await world.StartAsync();
        servers = world.Get<NameServers>();
        Assert.Contains("nameserver 2001:db8::53", (await servers.PlanAsync(view.Servers.Id, Token)).ToString(), StringComparison.Ordinal);
        await world.DoneAsync(servers.UpdateAsync(view.Servers.Id, "192.0.2.53", "2001:db8::53", null, Token));
        Assert.Equal("# by hand\nsearch example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions edns0\n", await File.ReadAllTextAsync(world.ResolvConf, Token));
        Assert.Empty((await servers.PlanAsync(view.Servers.Id, Token)).Steps);

        // Where another program keeps the file, it is not touched.
        File.Move(world.ResolvConf, world.ResolvConf + ".of-another");
        File.CreateSymbolicLink(world.ResolvConf, world.ResolvConf + ".of-another");
        var refused = await Assert.ThrowsAsync<WrongStateException>(() => servers.UpdateAsync(view.Servers.Id, "192.0.2.54", null, null, Token));
        Assert.Contains("symbolic link", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cards_tell_their_functions_and_who_has_them()
    {
        await using var world = await World.StartedAsync();
        var cards = world.Get<SriovCards>();
        Assert.Equal("pf", (await Assert.ThrowsAsync<InvalidFieldException>(() => cards.CreateAsync("eth9", null, null, Token))).Field);
        await world.LayCardAsync("eth0", 4);
        Assert.Equal("num_vfs", (await Assert.ThrowsAsync<InvalidFieldException>(() => cards.CreateAsync("eth0", 5, null, Token))).Field);
        await world.DoneAsync(cards.CreateAsync("eth0", 2, null, Token));
        var device = Path.Combine(world.Sys, "class/net/eth0/device");
        Assert.Equal("2", await File.ReadAllTextAsync(Path.Combine(device, "sriov_numvfs"), Token));
        Assert.Equal("pf", (await Assert.ThrowsAsync<InvalidFieldException>(() => cards.CreateAsync("eth0", null, null, Token))).Field);

        world.LayFunctions("eth0", 2);
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        await using (var session = await world.Store.OpenAsync(Token))
        {
            session.VirtualMachines.Update((await session.VirtualMachines.FindAsync(vm, Token))! with { VirtualFunctions = [new PciAddress(0, 3, 0x10, 1)] });
            await session.SaveAsync(Token);
        }

        var view = Assert.Single(await cards.ListAsync(Token));
        Assert.Equal((4, "0000:03:10.0", null, "0000:03:10.1", vm), (view.Total, view.Functions[0].Address.ToString(), view.Functions[0].Vm, view.Functions[1].Address.ToString(), view.Functions[1].Vm));

        // None of a used card's functions is taken away.
        var used = await Assert.ThrowsAsync<InUseException>(() => cards.UpdateAsync(view.Card.Id, 4, null, Token));
        Assert.Contains(vm.ToString(), used.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InUseException>(() => cards.DeleteAsync(view.Card.Id, null, Token));
        Assert.Equal("2", await File.ReadAllTextAsync(Path.Combine(device, "sriov_numvfs"), Token));
    }

    [Fact]
    public async Task A_bridge_is_made_in_a_network_namespace_changed_and_removed()
    {
        await using var space = await NetworkNamespace.CreateAsync();
        await space.IpAsync("link", "add", "eth0", "type", "veth", "peer", "name", "far0");
        await space.IpAsync("link", "add", "eth1", "type", "veth", "peer", "name", "far1");
        await space.IpAsync("address", "add", "198.51.100.7/24", "dev", "eth0");
        await using World world = new()
        {
            ApplyNetworks = true,
            Register = services => Microsoft.Extensions.DependencyInjection.ServiceCollectionServiceExtensions.AddSingleton<IHostNetworking>(services, provider => new LinuxNetworking(
                new HostInterfaces(space.Sys), new HostNetworkOptions { Apply = true }, space, new StoragePlanExecutor(space))),
        };
        await world.StartAsync();
        var networks = world.Get<Networks>();
        var request = s_bridge with { BridgePorts = "eth0", Method = AddressMethod.Static, IpAddress = "192.0.2.9", PrefixLength = 24, Gateway = "192.0.2.1", Mtu = 1400 };
        var plan = await networks.PlanCreateAsync(request, Token);
        Assert.Equal(
            [
                "ip link add name xenbr5 type bridge", "ip link set dev eth0 master xenbr5", "ip link set dev eth0 up", "ip link set dev xenbr5 mtu 1400", "ip link set dev xenbr5 up",
                "ip address add 192.0.2.9/24 dev xenbr5", "ip -4 route replace default via 192.0.2.1 dev xenbr5",
            ],
            plan.Steps.Select(step => step.Action.ToString()));
        Assert.Equal("ip link delete dev xenbr5", plan.Steps[0].Undo!.Action.ToString());
        Assert.Contains("198.51.100.7/24", Assert.Single(plan.Warnings), StringComparison.Ordinal);
        Assert.DoesNotContain("xenbr5", await space.IpAsync("link", "show"), StringComparison.Ordinal);

        await world.DoneAsync(networks.CreateAsync(request, null, Token));
        var shown = await space.IpAsync("address", "show");
        Assert.Contains("192.0.2.9/24", shown, StringComparison.Ordinal);
        Assert.Contains("master xenbr5", shown, StringComparison.Ordinal);
        Assert.Contains("default via 192.0.2.1 dev xenbr5", await space.IpAsync("route", "show"), StringComparison.Ordinal);
        var id = (await networks.ListAsync(Token)).Single(view => view.Network.Name == "xenbr5").Network.Id;
        var view = await networks.GetAsync(id, Token);
        Assert.Equal((1400, "eth0"), (view.Actual!.Mtu, view.Network.BridgePorts.Single()));
        Assert.Empty((await networks.PlanUpdateAsync(id, null, Token)).Steps);

        // Another address and port; what was there goes last.
        await world.DoneAsync(networks.UpdateAsync(id, new NetworkRequest { IpAddress = "192.0.2.10", BridgePorts = "eth1" }, null, Token));
        shown = await space.IpAsync("address", "show", "dev", "xenbr5");
        Assert.Contains("192.0.2.10/24", shown, StringComparison.Ordinal);
        Assert.DoesNotContain("192.0.2.9/24", shown, StringComparison.Ordinal);
        Assert.Contains("default via 192.0.2.1 dev xenbr5", await space.IpAsync("route", "show"), StringComparison.Ordinal);
        Assert.DoesNotContain("master", await space.IpAsync("link", "show", "dev", "eth0"), StringComparison.Ordinal);
        Assert.Contains("master xenbr5", await space.IpAsync("link", "show", "dev", "eth1"), StringComparison.Ordinal);

        // What fails half way is taken back.
        await space.IpAsync("link", "add", "other", "type", "bridge");
        await space.IpAsync("link", "set", "dev", "eth0", "master", "other");
        var busy = await Assert.ThrowsAsync<WrongStateException>(() => networks.UpdateAsync(id, new NetworkRequest { BridgePorts = "eth0" }, null, Token));
        Assert.Contains("eth0 is part of other", busy.Message, StringComparison.Ordinal);
        space.Fail = "192.0.2.77/24";
        var failed = await world.EndedAsync(networks.UpdateAsync(id, new NetworkRequest { IpAddress = "192.0.2.77", Mtu = 1300 }, null, Token));
        Assert.Equal(OperationState.Failed, failed.State);
        Assert.Contains("192.0.2.10/24", await space.IpAsync("address", "show", "dev", "xenbr5"), StringComparison.Ordinal);
        Assert.Contains("default via 192.0.2.1 dev xenbr5", await space.IpAsync("route", "show"), StringComparison.Ordinal);
        Assert.Contains("mtu 1400", await space.IpAsync("link", "show", "dev", "xenbr5"), StringComparison.Ordinal);
        Assert.Equal(1400, (await networks.GetAsync(id, Token)).Network.Mtu);
        space.Fail = null;

        // A stranger's port keeps the bridge.
        await space.IpAsync("link", "set", "dev", "eth0", "master", "xenbr5");
        await Assert.ThrowsAsync<InUseException>(() => networks.DeleteAsync(id, null, Token));
        await space.IpAsync("link", "set", "dev", "eth0", "nomaster");
        await world.DoneAsync(networks.DeleteAsync(id, null, Token));
        Assert.DoesNotContain("xenbr5", await space.IpAsync("link", "show"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bonds_and_vlans_are_planned_with_typed_arguments()
    {
        // Kernels without the modules make neither: what would be run is looked at, and run where it can be.
        await using var space = await NetworkNamespace.CreateAsync();
        await space.IpAsync("link", "add", "eth0", "type", "veth", "peer", "name", "far0");
        await space.IpAsync("link", "set", "dev", "eth0", "up");
        var networking = new LinuxNetworking(new HostInterfaces(space.Sys), new HostNetworkOptions { Apply = true }, space, new StoragePlanExecutor(space));
        Network bond = new() { Id = 1, Pm = PmId.New(), Name = "bond0", Category = NetworkCategory.Bond, BondMode = BondMode.LinkAggregation, BondSlaves = ["eth0"] };
        Assert.Equal(
            ["ip link add name bond0 type bond mode 802.3ad", "ip link set dev eth0 down", "ip link set dev eth0 master bond0", "ip link set dev bond0 up"],
            (await networking.PlanAsync(new(null, bond), Token)).Steps.Select(step => step.Action.ToString()));
        Network vlan = new() { Id = 1, Pm = bond.Pm, Name = "eth0.5", Category = NetworkCategory.Nic, VlanId = 5, VlanDevice = "eth0" };
        var plan = await networking.PlanAsync(new(null, vlan), Token);
        Assert.Equal(["ip link add link eth0 name eth0.5 type vlan id 5", "ip link set dev eth0.5 up"], plan.Steps.Select(step => step.Action.ToString()));
        Assert.Contains("There is no eth9", (await Assert.ThrowsAsync<WrongStateException>(() => networking.PlanAsync(new(null, vlan with { VlanDevice = "eth9" }), Token))).Message, StringComparison.Ordinal);

        try
        {
            await networking.ExecuteAsync(plan, Token);
        }
        catch (StoragePlanFailedException error) when (error.Message.Contains("Unknown device type", StringComparison.Ordinal))
        {
            Assert.Skip("The kernel has no VLANs.");
        }

        Assert.Equal((5, "eth0"), ((await networking.FindAsync(vlan.Pm, "eth0.5", Token))!.VlanId!.Value, (await networking.FindAsync(vlan.Pm, "eth0.5", Token))!.VlanDevice));
        await networking.ExecuteAsync(await networking.PlanAsync(new(vlan, null), Token), Token);
        Assert.Null(await networking.FindAsync(vlan.Pm, "eth0.5", Token));
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

    /// <summary>A network of its own, kept by a process that waits; programs are run in it.</summary>
    private sealed class NetworkNamespace : IProcessRunner, IAsyncDisposable
    {
        private readonly ProcessRunner _runner = new();
        private readonly Process _keeper;

        private NetworkNamespace(Process keeper) => _keeper = keeper;

        public string Sys => $"/proc/{_keeper.Id}/root/sys/class/net";

        /// <summary>A command with this argument fails.</summary>
        public string? Fail { get; set; }

        public static async Task<NetworkNamespace> CreateAsync()
        {
            Requires.Tool("unshare", "namespaces");
            Requires.That(Environment.IsPrivilegedProcess, "namespaces", "network namespaces need root");
            ProcessStartInfo start = new("unshare") { RedirectStandardInput = true, RedirectStandardOutput = true };
            foreach (var argument in (string[])["--net", "--mount", "sh", "-c", "mount -t sysfs sysfs /sys && echo ready && exec cat"])
            {
                start.ArgumentList.Add(argument);
            }

            var keeper = Process.Start(start)!;
            NetworkNamespace space = new(keeper);
            if (await keeper.StandardOutput.ReadLineAsync(Token) != "ready")
            {
                await space.DisposeAsync();
                Requires.That(false, "namespaces", "no network namespace can be made here");
            }

            return space;
        }

        public Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default) => Fail is not null && command.Arguments.Contains(Fail)
            ? Task.FromResult(new ProcessResult(command, 2, "", "RTNETLINK answers: it was told to fail"))
            : _runner.RunAsync(command with { FileName = "nsenter", Arguments = [$"--net=/proc/{_keeper.Id}/ns/net", command.FileName, .. command.Arguments] }, cancellationToken);

        public async Task<string> IpAsync(params string[] arguments) =>
            (await RunAsync(new() { FileName = "ip", Arguments = arguments }, Token)).EnsureSuccess().Output;

        public async ValueTask DisposeAsync()
        {
            _keeper.StandardInput.Close();
            await _keeper.WaitForExitAsync(CancellationToken.None);
            _keeper.Dispose();
        }
    }
}
