using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

/// <summary>The network of a Linux host: what is there is read from sysfs and from <c>ip</c>'s JSON, changes go through <c>ip</c> with
/// typed arguments, each read back. What is set this way lasts until the host boots.</summary>
internal sealed class LinuxNetworking(HostInterfaces interfaces, HostNetworkOptions options, IProcessRunner runner, IPlanExecutor? executor) : IHostNetworking
{
    private const string NameServer = "nameserver";
    private const int MaxResolvConf = 64 * 1024;

    public bool Applies => options.Apply;

    public IReadOnlyList<Network>? Read(PmId pm) => interfaces.Read(pm);

    public IReadOnlyList<IPAddress> ReadNameServers() =>
        [.. ResolvConfLines().Select(ServerOf).OfType<IPAddress>()];

    public async Task<Network?> FindAsync(PmId pm, string name, CancellationToken cancellationToken)
    {
        var links = await LinksAsync(cancellationToken).ConfigureAwait(false);
        if (Find(links, name) is not { } link)
        {
            return null;
        }

        var address = link.Addresses.FirstOrDefault(entry => entry.Scope == "global");
        string[] members = [.. links.Where(candidate => candidate.Master == name && interfaces.IsHosts(candidate.Name!)).Select(candidate => candidate.Name!).Order(StringComparer.Ordinal)];
        return new Network
        {
            Id = 0,
            Pm = pm,
            Name = name,
            Category = link.Kind switch { "bridge" => NetworkCategory.Bridge, "bond" => NetworkCategory.Bond, _ => NetworkCategory.Nic },
            Method = address is null ? AddressMethod.None : AddressMethod.Static,
            IpAddress = address?.Local is { } local ? IPAddress.Parse(local) : null,
            PrefixLength = address?.PrefixLength,
            BridgeType = link.Kind == "bridge" ? BridgeType.Linux : null,
            BridgePorts = link.Kind == "bridge" ? members : [],
            BondSlaves = link.Kind == "bond" ? members : [],
            BondMode = link.Kind == "bond" && Enum.GetValues<BondMode>().Where(mode => BondName(mode) == link.Info?.Data?.Mode).Cast<BondMode?>().FirstOrDefault() is { } found ? found : null,
            Mtu = link.Mtu,
            VlanId = link.Kind == "vlan" ? link.Info?.Data?.Id : null,
            VlanDevice = link.Kind == "vlan" ? link.Link : null,
        };
    }

    public async Task<StoragePlan> PlanAsync(NetworkChange change, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        var links = await LinksAsync(cancellationToken).ConfigureAwait(false);
        return change switch
        {
            { To: { } to } => await EnsureAsync(change.From, to, links, cancellationToken).ConfigureAwait(false),
            { From: { } from } => Remove(from, links),
            _ => throw new ArgumentException("A change without a device is none.", nameof(change)),
        };
    }

    public StoragePlan PlanNameServers(IReadOnlyList<IPAddress> servers)
    {
        ArgumentNullException.ThrowIfNull(servers);
        var path = options.ResolvConf;
        if (HostFile.Status(path) is { IsLink: true })
        {
            throw new WrongStateException($"{path} is a symbolic link: another program keeps it, and a change would not last. Configure that one.");
        }

        string[] old = [.. ResolvConfLines()];
        string[] now = [.. servers.Select(server => $"{NameServer} {server}")];
        var at = Array.FindIndex(old, line => ServerOf(line) is not null);
        string[] rest = [.. old.Where(line => ServerOf(line) is null)];
        string[] lines = [.. rest.Take(Math.Max(at, 0)), .. now, .. rest.Skip(Math.Max(at, 0))];
        var title = $"Use the name servers {(servers.Count == 0 ? "(none)" : string.Join(", ", servers))}";
        return lines.SequenceEqual(old) ? new() { Title = title, Steps = [] } : new()
        {
            Title = title,
            Steps =
            [
                new()
                {
                    Description = $"Write {now.Length} name servers into {path}",
                    Action = new NativeAction($"write '{string.Join("', '", now)}' into {path}, beside its {rest.Length} other lines", _ => WriteAsync(path, lines)),
                    Risk = StorageRisk.Reversible,
                    After = new($"{path} names them in this order", _ => Task.FromResult(ReadNameServers() is var found && found.SequenceEqual(servers) ? null : $"it names {string.Join(", ", found)}")),
                    Undo = new(new NativeAction($"write what was in {path} before", _ => WriteAsync(path, old))),
                },
            ],
        };
    }

    public async Task ExecuteAsync(StoragePlan plan, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        if (plan.Steps.Count > 0)
        {
            await (executor ?? throw new WrongStateException("Plans cannot be carried out here: no plan executor is registered.")).ExecuteAsync(plan, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<StoragePlan> EnsureAsync(Network? from, Network to, IReadOnlyList<IpLink> links, CancellationToken cancellationToken)
    {
        if (to.BridgeType == BridgeType.OpenVSwitch)
        {
            throw new InvalidFieldException("bridge_type", "ovs", "only Linux bridges (bridge) are applied to the host.");
        }

        List<StorageStep> steps = [];
        List<string> warnings = [];
        var found = Find(links, to.Name);
        Check(to, found);
        if (found is null)
        {
            DemandParent(to, links);
            steps.Add(Step($"Make {Noun(to)} {to.Name}", ["link", .. Creation(to)], Is($"{to.Name} is {Noun(to)}", to.Name, link => link is null ? "there is no such device" : Mismatch(to, link)), ["link", "delete", "dev", to.Name], undoIfThere: true));
        }

        IReadOnlyList<string> members = to.Category == NetworkCategory.Bond ? to.BondSlaves : to.BridgePorts;
        foreach (var name in members)
        {
            var member = Find(links, name) ?? throw new WrongStateException($"There is no {name} on this host, which shall be part of {to.Name}.");
            if (member.Master is { } other && other != to.Name)
            {
                throw new WrongStateException($"{name} is part of {other}; take it out of that first.");
            }

            if (member.Master is null)
            {
                if (member.Reachable.ToList() is { Count: > 0 } reachable)
                {
                    warnings.Add($"{name} has the address {string.Join(", ", reachable)}: as a part of {to.Name} it answers there no more, and whoever reaches this host by it is cut off.");
                }

                // A bond takes only what is down.
                if (to.Category == NetworkCategory.Bond && member.IsUp)
                {
                    steps.Add(Power(name, up: false));
                }

                steps.Add(Step($"Make {name} a part of {to.Name}", ["link", "set", "dev", name, "master", to.Name], HasMaster(name, to.Name), ["link", "set", "dev", name, "nomaster"], undoIfThere: true));
                if (to.Category == NetworkCategory.Bridge && !member.IsUp)
                {
                    steps.Add(Power(name, up: true));
                }
            }
        }

        foreach (var name in (from is null ? [] : from.BridgePorts.Concat(from.BondSlaves)).Except(members).Where(name => Find(links, name)?.Master == to.Name))
        {
            steps.Add(Step($"Take {name} out of {to.Name}", ["link", "set", "dev", name, "nomaster"], HasMaster(name, null), ["link", "set", "dev", name, "master", to.Name]));
        }

        if (to.Mtu is { } mtu && found?.Mtu != mtu)
        {
            steps.Add(Step(
                $"Set the largest packet of {to.Name} to {Text(mtu)} bytes",
                ["link", "set", "dev", to.Name, "mtu", Text(mtu)],
                Is($"{to.Name} has an MTU of {Text(mtu)}", to.Name, link => link?.Mtu == mtu ? null : $"it has {Text(link?.Mtu ?? 0)}"),
                found is null ? null : ["link", "set", "dev", to.Name, "mtu", Text(found.Mtu)]));
        }

        if (found is not { IsUp: true })
        {
            steps.Add(Power(to.Name, up: true));
        }

        if (to.Method == AddressMethod.Dhcp)
        {
            warnings.Add($"No DHCP client is started for {to.Name}: the system's own network configuration has to.");
        }

        // The old address goes first: the kernel takes other ones of the same network away with it, and the routes that need it.
        var loses = from is not null && AddressOf(from) is { } old && old != AddressOf(to) && found?.Has(old.Address, old.Prefix) == true;
        if (loses)
        {
            warnings.Add($"{to.Name} loses the address {from!.IpAddress}: whoever reaches this host by it is cut off.");
            var lost = from.Gateway ?? to.Gateway;
            if (lost is not null && (await DefaultRoutesAsync(Family(lost), cancellationToken).ConfigureAwait(false)).Any(route => route.Gateway == lost.ToString() && route.Device == to.Name))
            {
                steps.Add(new()
                {
                    Description = $"Remember the default route by {lost}",
                    Action = new NativeAction($"remember the default route by {lost} on {to.Name} for the way back", _ => Task.CompletedTask),
                    Risk = StorageRisk.ReadOnly,
                    After = Is($"{to.Name} is there", to.Name, link => link is null ? "it is not" : null),
                    Undo = new(new ToolAction(Command([Family(lost), "route", "replace", "default", "via", lost.ToString(), "dev", to.Name]))),
                });
            }

            steps.Add(Address(to.Name, AddressOf(from)!.Value, add: false));
        }

        if (AddressOf(to) is { } address && found?.Has(address.Address, address.Prefix) != true)
        {
            steps.Add(Address(to.Name, address, add: true));
        }

        if (to.Gateway is { } gateway)
        {
            var family = Family(gateway);
            var routes = await DefaultRoutesAsync(family, cancellationToken).ConfigureAwait(false);
            if (loses || !routes.Any(route => route.Gateway == gateway.ToString() && route.Device == to.Name))
            {
                var before = routes.FirstOrDefault(route => route.Gateway is not null && route.Device is not null);
                if (before is not null && !loses)
                {
                    warnings.Add($"The default route by {before.Gateway} on {before.Device} is replaced.");
                }

                steps.Add(Step(
                    $"Route by {gateway}",
                    [family, "route", "replace", "default", "via", gateway.ToString(), "dev", to.Name],
                    new($"the default route goes by {gateway} on {to.Name}", async token =>
                        (await DefaultRoutesAsync(family, token).ConfigureAwait(false))
                            .Any(route => route.Gateway == gateway.ToString() && route.Device == to.Name) ? null : "it does not"),
                    before is null || loses ? [family, "route", "del", "default", "via", gateway.ToString(), "dev", to.Name] : [family, "route", "replace", "default", "via", before.Gateway!, "dev", before.Device!]));
            }
        }

        return new() { Title = $"Configure {to.Name}", Steps = steps, Warnings = warnings };
    }

    private StoragePlan Remove(Network from, IReadOnlyList<IpLink> links)
    {
        var title = $"Remove {from.Name}";
        if (Find(links, from.Name) is not { } found || IsCard(from))
        {
            return new() { Title = title, Steps = [] };
        }

        Check(from, found);
        List<string> warnings = [];
        if (found.Reachable.ToList() is { Count: > 0 } reachable)
        {
            warnings.Add($"{from.Name} has the address {string.Join(", ", reachable)}: whoever reaches this host by it is cut off.");
        }

        List<StorageStep> steps = [];
        foreach (var member in links.Where(link => link.Master == from.Name).Select(link => link.Name!))
        {
            if (!from.BridgePorts.Contains(member) && !from.BondSlaves.Contains(member))
            {
                throw new InUseException($"{member} is plugged into {from.Name}, and nobody here has put it there; take it out first.");
            }

            steps.Add(Step($"Take {member} out of {from.Name}", ["link", "set", "dev", member, "nomaster"], HasMaster(member, null), ["link", "set", "dev", member, "master", from.Name]));
        }

        steps.Add(Step($"Remove {from.Name}", ["link", "delete", "dev", from.Name], Is($"there is no {from.Name}", from.Name, link => link is null ? null : "there is"), null));
        return new() { Title = title, Steps = steps, Warnings = warnings };
    }

    private static void Check(Network wanted, IpLink? found)
    {
        if (found is null && IsCard(wanted))
        {
            throw new WrongStateException($"There is no network card {wanted.Name} on this host.");
        }

        if (found is not null && Mismatch(wanted, found) is { } mismatch)
        {
            throw new WrongStateException($"There is a {wanted.Name} on this host already, but {mismatch}.");
        }
    }

    private static string? Mismatch(Network wanted, IpLink found) => wanted switch
    {
        { Category: NetworkCategory.Bridge } => found.Kind == "bridge" ? null : "it is no bridge",
        { Category: NetworkCategory.Bond } when found.Kind != "bond" => "it is no bond",
        { Category: NetworkCategory.Bond } => wanted.BondModeName is not { } mode || found.Info?.Data?.Mode == mode ? null : $"its mode is {found.Info?.Data?.Mode}",
        { VlanId: { } id } when found.Kind != "vlan" || found.Info?.Data?.Id != id || found.Link != wanted.VlanDevice => $"it is not VLAN {Text(id)} on {wanted.VlanDevice}",
        { VlanId: null } when found.Kind is "bridge" or "bond" or "vlan" => $"it is a {found.Kind} and no card",
        _ => null,
    };

    private static void DemandParent(Network to, IReadOnlyList<IpLink> links)
    {
        if (to.VlanDevice is { } parent && Find(links, parent) is null)
        {
            throw new WrongStateException($"There is no {parent} on this host, which VLAN {Text(to.VlanId ?? 0)} shall be on.");
        }
    }

    private static string[] Creation(Network to) => to switch
    {
        { Category: NetworkCategory.Bridge } => ["add", "name", to.Name, "type", "bridge"],
        { Category: NetworkCategory.Bond } => ["add", "name", to.Name, "type", "bond", "mode", to.BondModeName ?? BondName(BondMode.ActiveBackup)],
        _ => ["add", "link", to.VlanDevice!, "name", to.Name, "type", "vlan", "id", Text(to.VlanId!.Value)],
    };

    private static string BondName(BondMode mode) => new Network { Id = 0, Pm = default, Name = "", Category = NetworkCategory.Bond, BondMode = mode }.BondModeName!;

    private static string Noun(Network device) => device switch
    {
        { Category: NetworkCategory.Bridge } => "a bridge",
        { Category: NetworkCategory.Bond } => $"a bond of mode {device.BondModeName}",
        { VlanId: { } id } => $"VLAN {Text(id)} on {device.VlanDevice}",
        _ => "a card",
    };

    private static bool IsCard(Network device) => device is { Category: NetworkCategory.Nic, VlanId: null };

    private static (IPAddress Address, int Prefix)? AddressOf(Network device) =>
        device is { Method: AddressMethod.Static or AddressMethod.Manual or AddressMethod.None, IpAddress: { } address, PrefixLength: { } prefix } ? (address, prefix) : null;

    private StorageStep Address(string name, (IPAddress Address, int Prefix) address, bool add)
    {
        var text = $"{address.Address}/{Text(address.Prefix)}";
        return Step(
            $"{(add ? "Give" : "Take")} {text} {(add ? "to" : "from")} {name}",
            ["address", add ? "add" : "del", text, "dev", name],
            Is($"{name} has {(add ? "" : "not ")}{text}", name, link => link?.Has(address.Address, address.Prefix) == add ? null : $"it has {string.Join(", ", link?.Reachable ?? [])}"),
            ["address", add ? "del" : "add", text, "dev", name]);
    }

    private StorageStep Power(string name, bool up) => Step(
        $"Bring {name} {(up ? "up" : "down")}",
        ["link", "set", "dev", name, up ? "up" : "down"],
        Is($"{name} is {(up ? "up" : "down")}", name, link => link?.IsUp == up ? null : "it is not"),
        ["link", "set", "dev", name, up ? "down" : "up"]);

    private StorageCondition HasMaster(string name, string? master) =>
        Is(master is null ? $"{name} is part of nothing" : $"{name} is part of {master}", name, link => link is null ? "there is no such device" : link.Master == master ? null : $"it is part of {link.Master ?? "nothing"}");

    private StorageCondition Is(string text, string name, Func<IpLink?, string?> verify) =>
        new(text, async token => verify(Find(await LinksAsync(token).ConfigureAwait(false), name)));

    private StorageStep Step(string description, string[] arguments, StorageCondition after, string[]? undo, bool undoIfThere = false) => new()
    {
        Description = description,
        Action = new ToolAction(Command(arguments)),
        Risk = StorageRisk.Reversible,
        After = after,
        Undo = undo is null ? null : new(new ToolAction(Command(undo))) { Needed = undoIfThere ? after : null },
    };

    private ProcessCommand Command(string[] arguments) => new() { FileName = "ip", Arguments = arguments, Timeout = options.Timeout };

    private Task<IReadOnlyList<IpRoute>> DefaultRoutesAsync(string family, CancellationToken cancellationToken) =>
        RunAsync([family, "-json", "route", "show", "default"], IpJson.Default.IReadOnlyListIpRoute, cancellationToken);

    private Task<IReadOnlyList<IpLink>> LinksAsync(CancellationToken cancellationToken) =>
        RunAsync(["-json", "-details", "address", "show"], IpJson.Default.IReadOnlyListIpLink, cancellationToken);

    private async Task<IReadOnlyList<T>> RunAsync<T>(string[] arguments, JsonTypeInfo<IReadOnlyList<T>> type, CancellationToken cancellationToken)
    {
        var result = (await runner.RunAsync(Command(arguments), cancellationToken).ConfigureAwait(false)).EnsureSuccess();
        try
        {
            // It leaves empty objects for what its filters left out.
            return string.IsNullOrWhiteSpace(result.Output) ? [] : JsonSerializer.Deserialize(result.Output, type) ?? [];
        }
        catch (JsonException exception)
        {
            throw new HypervisorException($"The answer of ip cannot be understood: {exception.Message}", exception);
        }
    }

    private static IpLink? Find(IReadOnlyList<IpLink> links, string name) => links.FirstOrDefault(link => link.Name == name);

    private static string Family(IPAddress address) => address.AddressFamily == AddressFamily.InterNetworkV6 ? "-6" : "-4";

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private string[] ResolvConfLines()
    {
        try
        {
            return new FileInfo(options.ResolvConf) is { Exists: true, Length: <= MaxResolvConf } ? File.ReadAllLines(options.ResolvConf) : [];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static IPAddress? ServerOf(string line) =>
        line.Split([' ', '\t'], 3, StringSplitOptions.RemoveEmptyEntries) is [NameServer, var address, ..] && IPAddress.TryParse(address, out var server) ? server : null;

    private static Task WriteAsync(string path, IEnumerable<string> lines)
    {
        var content = Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => $"{line}\n")));
        try
        {
            var temporary = $"{path}.pengx";
            using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write))
            {
                if (File.Exists(path) && !OperatingSystem.IsWindows())
                {
                    File.SetUnixFileMode(file.SafeFileHandle, File.GetUnixFileMode(path));
                }

                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            try
            {
                File.Move(temporary, path, overwrite: true);
            }
            catch (IOException)
            {
                // A file that is mounted over the system's, as in a container, cannot be replaced, only written.
                File.Delete(temporary);
                using var file = new FileStream(path, FileMode.Create, FileAccess.Write);
                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            HostFile.SyncDirectory(Path.GetDirectoryName(path)!);
            return Task.CompletedTask;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"{path} cannot be written: {error.Message}", error);
        }
    }
}
