using System.Net;

namespace Pengx.Orchestration;

/// <summary>The use cases of the host's network devices. See <see cref="VirtualMachines"/> for how verbs work.</summary>
public sealed class Networks
{
    private readonly Workplace _place;
    private readonly HostWorkflows _workflows;
    private readonly IOperations _operations;
    private readonly IHostNetworking _networking;

    internal Networks(Workplace place, HostWorkflows workflows, IOperations operations, IHostNetworking networking)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _networking = networking;
    }

    /// <summary>This PM's networks, by name.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<NetworkView>> ListAsync(CancellationToken cancellationToken = default)
    {
        var rows = await RowsAsync(cancellationToken).ConfigureAwait(false);
        var actual = _networking.Read(_place.Host.Id) ?? [];
        return [.. rows.Select(row => new NetworkView(row, actual.FirstOrDefault(device => device.Name == row.Name)))];
    }

    /// <summary>One network.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<NetworkView> GetAsync(int id, CancellationToken cancellationToken = default)
    {
        var row = await FindAsync(id, cancellationToken).ConfigureAwait(false);
        return new(row, row.Pm == _place.Host.Id ? _networking.Read(row.Pm)?.FirstOrDefault(device => device.Name == row.Name) : null);
    }

    /// <summary>Says what a creation would do on the host.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StoragePlan> PlanCreateAsync(NetworkRequest request, CancellationToken cancellationToken = default) =>
        await _networking.PlanAsync(new(null, await NewAsync(request, cancellationToken).ConfigureAwait(false)), cancellationToken).ConfigureAwait(false);

    /// <summary>Says what a change would do on the host; without one, what bringing the device in line with its row would.</summary>
    /// <param name="id">The network.</param>
    /// <param name="request">What changes.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StoragePlan> PlanUpdateAsync(int id, NetworkRequest? request = null, CancellationToken cancellationToken = default)
    {
        var row = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        return await _networking.PlanAsync(new(row, request is null ? row : await ChangedAsync(row, request, cancellationToken).ConfigureAwait(false)), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Says what a deletion would do on the host.</summary>
    /// <param name="id">The network.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StoragePlan> PlanDeleteAsync(int id, CancellationToken cancellationToken = default) =>
        await _networking.PlanAsync(new(await OwnAsync(id, cancellationToken).ConfigureAwait(false), null), cancellationToken).ConfigureAwait(false);

    /// <summary>Creates a network on this PM.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(NetworkRequest request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var network = await NewAsync(request, cancellationToken).ConfigureAwait(false);
        network = network with { Id = await _place.Store.ReadAsync(session => session.Networks.NextIdAsync(cancellationToken), cancellationToken).ConfigureAwait(false) };
        return await StartAsync(_workflows.CreateNetwork, null, network, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Changes a network; one that was only found on the host is configured here from then on.</summary>
    /// <param name="id">The network.</param>
    /// <param name="request">What changes.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> UpdateAsync(int id, NetworkRequest request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request == new NetworkRequest())
        {
            throw new InvalidFieldException("method", null, "at least one field that can be changed is given");
        }

        var row = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        return await StartAsync(_workflows.UpdateNetwork, row, await ChangedAsync(row, request, cancellationToken).ConfigureAwait(false), options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a network. A card is left as it is, and is found again.</summary>
    /// <param name="id">The network.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    /// <exception cref="InUseException">A machine's interface or another network needs it.</exception>
    public async Task<Operation> DeleteAsync(int id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var row = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await RefuseUsedAsync(row, cancellationToken).ConfigureAwait(false);
        return await StartAsync(_workflows.DeleteNetwork, row, null, options, cancellationToken).ConfigureAwait(false);
    }

    private async Task<Operation> StartAsync(ChangeNetwork workflow, Network? before, Network? after, OperationRequest? options, CancellationToken cancellationToken)
    {
        Network? was = null;
        if (_networking.Applies)
        {
            // What cannot be done is refused before anything starts.
            await _networking.PlanAsync(new(before, after), cancellationToken).ConfigureAwait(false);
            was = await _networking.FindAsync(_place.Host.Id, (after ?? before)!.Name, cancellationToken).ConfigureAwait(false);
        }

        return await _operations.StartAsync(
            workflow,
            new NetworkState { Pm = _place.Host.Id, Before = before, After = after, Was = was, Apply = _networking.Applies },
            options,
            cancellationToken).ConfigureAwait(false);
    }

    private async Task<Network> NewAsync(NetworkRequest request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        var network = new Network
        {
            Id = 0,
            Pm = _place.Host.Id,
            Name = NetworkRules.Interface("name", request.Name),
            Category = request.Category ?? throw new InvalidFieldException("category", null, "it is nic, bridge or bond"),
            Method = AddressMethod.None,
        };
        return await ChangedAsync(network, request, cancellationToken).ConfigureAwait(false);
    }

    private async Task<Network> ChangedAsync(Network row, NetworkRequest request, CancellationToken cancellationToken)
    {
        // What was found with an address, and shall be configured, has it from then on.
        if (row is { Managed: false, Method: AddressMethod.None, IpAddress: not null } && request.Method is null)
        {
            row = row with { Method = AddressMethod.Static };
        }

        var changed = NetworkRules.Apply(row, request);
        var others = (await RowsAsync(cancellationToken).ConfigureAwait(false)).Where(other => other.Id != row.Id || row.Id == 0).ToList();
        if (others.Find(other => other.Name == changed.Name) is not null)
        {
            throw new InvalidFieldException("name", changed.Name, "it is already taken by another network of this PM");
        }

        if (changed.IpAddress is { } address && others.Find(other => address.Equals(other.IpAddress)) is { } same)
        {
            throw new InvalidFieldException("ipaddress", address.ToString(), $"{same.Name} has it already");
        }

        if (changed.VlanId is { } vlan && others.Find(other => other.VlanId == vlan && other.VlanDevice == changed.VlanDevice) is { } twin)
        {
            throw new InvalidFieldException("vlan_id", vlan.ToString(System.Globalization.CultureInfo.InvariantCulture), $"{twin.Name} is that VLAN already");
        }

        foreach (var (field, members) in new[] { ("bridge_ports", changed.BridgePorts), ("bond_slaves", changed.BondSlaves) })
        {
            foreach (var member in members)
            {
                if (others.Find(other => other.BridgePorts.Contains(member) || other.BondSlaves.Contains(member)) is { } owner)
                {
                    throw new InvalidFieldException(field, member, $"it is part of {owner.Name}; take it out of that first");
                }
            }
        }

        return changed;
    }

    private async Task RefuseUsedAsync(Network row, CancellationToken cancellationToken)
    {
        if (row is { Category: NetworkCategory.Nic, VlanId: null, Managed: false })
        {
            throw new WrongStateException($"{row.Name} is a card of this host, found and not configured here; there is nothing to delete.");
        }

        var user = (await RowsAsync(cancellationToken).ConfigureAwait(false))
            .FirstOrDefault(other => other.Id != row.Id && row is not { Category: NetworkCategory.Nic, VlanId: null }
                && (other.BridgePorts.Contains(row.Name) || other.BondSlaves.Contains(row.Name) || other.VlanDevice == row.Name));
        if (user is not null)
        {
            throw new InUseException($"Network '{row.Name}' is part of {user.Name}; change that first.");
        }

        if (row.Category == NetworkCategory.Bridge)
        {
            var count = await _place.Store.ReadAsync(
                async session =>
                {
                    var machines = (await session.VirtualMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false)).Where(machine => machine.Pm == row.Pm).Select(machine => machine.Id).ToHashSet();
                    return (await session.VmInterfaces.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false)).Count(nic => nic.Switch == row.Name && machines.Contains(nic.Vm));
                },
                cancellationToken).ConfigureAwait(false);
            if (count > 0)
            {
                throw new InUseException($"Network '{row.Name}' is the switch of {count} interfaces of machines; move them first.");
            }
        }
    }

    private Task<IReadOnlyList<Network>> RowsAsync(CancellationToken cancellationToken) =>
        _place.Store.ReadAsync(session => session.Networks.ListByPmAsync(_place.Host.Id, cancellationToken), cancellationToken);

    private async Task<Network> FindAsync(int id, CancellationToken cancellationToken) =>
        await _place.Store.ReadAsync(session => session.Networks.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("network", id.ToString(System.Globalization.CultureInfo.InvariantCulture));

    private async Task<Network> OwnAsync(int id, CancellationToken cancellationToken) =>
        await FindAsync(id, cancellationToken).ConfigureAwait(false) is var row && row.Pm == _place.Host.Id
            ? row
            : throw new WrongStateException($"Network '{row.Name}' belongs to PM {row.Pm}; ask that one.");
}

/// <summary>The use cases of the host's name servers: a PM has one entry with up to two of them.</summary>
public sealed class NameServers
{
    private readonly Workplace _place;
    private readonly HostWorkflows _workflows;
    private readonly IOperations _operations;
    private readonly IHostNetworking _networking;

    internal NameServers(Workplace place, HostWorkflows workflows, IOperations operations, IHostNetworking networking)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _networking = networking;
    }

    /// <summary>This PM's entry, when it has one.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<DnsView>> ListAsync(CancellationToken cancellationToken = default) =>
        [.. (await _place.Store.ReadAsync(session => session.Dns.ListByPmAsync(_place.Host.Id, cancellationToken), cancellationToken).ConfigureAwait(false)).Select(View)];

    /// <summary>One entry.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<DnsView> GetAsync(int id, CancellationToken cancellationToken = default) => View(await FindAsync(id, cancellationToken).ConfigureAwait(false));

    /// <summary>Says what other name servers would change on the host.</summary>
    /// <param name="address1">The first.</param>
    /// <param name="address2">The second.</param>
    public StoragePlan Plan(string? address1, string? address2) => _networking.PlanNameServers(DnsState.ListOf(Servers(0, address1, address2)));

    /// <summary>Says what bringing the host in line with an entry would change.</summary>
    /// <param name="id">The entry.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StoragePlan> PlanAsync(int id, CancellationToken cancellationToken = default) =>
        _networking.PlanNameServers(DnsState.ListOf(await OwnAsync(id, cancellationToken).ConfigureAwait(false)));

    /// <summary>Creates this PM's entry.</summary>
    /// <param name="address1">The first server. Field <c>ipaddress1</c>.</param>
    /// <param name="address2">The second server. Field <c>ipaddress2</c>.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(string? address1, string? address2, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var servers = Servers(0, address1, address2);
        if (await ListAsync(cancellationToken).ConfigureAwait(false) is [var there, ..])
        {
            throw new InvalidFieldException("pm", _place.Host.Id.ToString(), $"it is already taken: this PM has DNS entry {there.Servers.Id}; change that one");
        }

        return await StartAsync(
            _workflows.CreateDns,
            null,
            servers with { Id = await _place.Store.ReadAsync(session => session.Dns.NextIdAsync(cancellationToken), cancellationToken).ConfigureAwait(false) },
            options,
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Replaces an entry's servers.</summary>
    /// <param name="id">The entry.</param>
    /// <param name="address1">The first server.</param>
    /// <param name="address2">The second server; none when not given.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> UpdateAsync(int id, string? address1, string? address2, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var servers = Servers(id, address1, address2);
        return await StartAsync(_workflows.UpdateDns, await OwnAsync(id, cancellationToken).ConfigureAwait(false), servers, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes an entry; the host is left as it is.</summary>
    /// <param name="id">The entry.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(int id, OperationRequest? options = null, CancellationToken cancellationToken = default) =>
        await StartAsync(_workflows.DeleteDns, await OwnAsync(id, cancellationToken).ConfigureAwait(false), null, options, cancellationToken).ConfigureAwait(false);

    private Task<Operation> StartAsync(ChangeDns workflow, DnsServers? before, DnsServers? after, OperationRequest? options, CancellationToken cancellationToken)
    {
        if (_networking.Applies && after is not null)
        {
            _networking.PlanNameServers(DnsState.ListOf(after));
        }

        return _operations.StartAsync(
            workflow,
            new DnsState { Pm = _place.Host.Id, Before = before, After = after, Was = _networking.ReadNameServers(), Apply = _networking.Applies },
            options,
            cancellationToken);
    }

    private DnsServers Servers(int id, string? address1, string? address2)
    {
        var first = NetworkRules.Address("ipaddress1", address1);
        IPAddress? second = string.IsNullOrWhiteSpace(address2) ? null : NetworkRules.Address("ipaddress2", address2);
        return first.Equals(second)
            ? throw new InvalidFieldException("ipaddress2", address2, "it is another server than the first")
            : new DnsServers { Id = id, Pm = _place.Host.Id, Address1 = first, Address2 = second };
    }

    private DnsView View(DnsServers row) => new(row, row.Pm == _place.Host.Id ? _networking.ReadNameServers() : []);

    private async Task<DnsServers> FindAsync(int id, CancellationToken cancellationToken) =>
        await _place.Store.ReadAsync(session => session.Dns.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("DNS entry", id.ToString(System.Globalization.CultureInfo.InvariantCulture));

    private async Task<DnsServers> OwnAsync(int id, CancellationToken cancellationToken) =>
        await FindAsync(id, cancellationToken).ConfigureAwait(false) is var row && row.Pm == _place.Host.Id
            ? row
            : throw new WrongStateException($"DNS entry {id} belongs to PM {row.Pm}; ask that one.");
}

/// <summary>The use cases of cards with virtual functions (SR-IOV).</summary>
public sealed class SriovCards
{
    private readonly Workplace _place;
    private readonly HostWorkflows _workflows;
    private readonly IOperations _operations;
    private readonly IHostSriov _sriov;

    internal SriovCards(Workplace place, HostWorkflows workflows, IOperations operations, IHostSriov sriov)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _sriov = sriov;
    }

    /// <summary>This PM's cards, by name.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<SriovView>> ListAsync(CancellationToken cancellationToken = default)
    {
        var rows = await _place.Store.ReadAsync(session => session.SriovCards.ListByPmAsync(_place.Host.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        var owners = await OwnersAsync(cancellationToken).ConfigureAwait(false);
        return [.. rows.Select(row => View(row, owners))];
    }

    /// <summary>One card.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<SriovView> GetAsync(int id, CancellationToken cancellationToken = default) =>
        View(await FindAsync(id, cancellationToken).ConfigureAwait(false), await OwnersAsync(cancellationToken).ConfigureAwait(false));

    /// <summary>Records a card of this PM.</summary>
    /// <param name="physicalFunction">Its interface. Field <c>pf</c>.</param>
    /// <param name="count">How many virtual functions it shall have; as it is when not given. Field <c>num_vfs</c>.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(string? physicalFunction, int? count, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var name = NetworkRules.Interface("pf", physicalFunction);
        var rows = await _place.Store.ReadAsync(session => session.SriovCards.ListByPmAsync(_place.Host.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (rows.Any(row => row.PhysicalFunction == name))
        {
            throw new InvalidFieldException("pf", name, "it is already taken: this card is recorded");
        }

        var found = _sriov.Read(name) ?? throw new InvalidFieldException("pf", name, "it is the interface of a card on this host that can have virtual functions");
        var card = new SriovCard
        {
            Id = await _place.Store.ReadAsync(session => session.SriovCards.NextIdAsync(cancellationToken), cancellationToken).ConfigureAwait(false),
            Pm = _place.Host.Id,
            PhysicalFunction = name,
            VirtualFunctions = found.Addresses,
        };
        return await StartAsync(_workflows.CreateSriovCard, null, card, Count(card, count, found.Total), options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sets how many virtual functions a card has. All of them must be free.</summary>
    /// <param name="id">The card.</param>
    /// <param name="count">How many. Field <c>num_vfs</c>.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> UpdateAsync(int id, int count, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var row = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        var found = _sriov.Read(row.PhysicalFunction) ?? throw new WrongStateException($"There is no card {row.PhysicalFunction} with virtual functions on this host now.");
        var card = row with { VirtualFunctions = found.Addresses };
        return await StartAsync(_workflows.UpdateSriovCard, row, card, Count(card, count, found.Total), options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Records a card no more; its virtual functions are left as they are.</summary>
    /// <param name="id">The card.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(int id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var row = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await DemandUnusedAsync(_sriov.Read(row.PhysicalFunction) is { } found ? row with { VirtualFunctions = found.Addresses } : row, cancellationToken).ConfigureAwait(false);
        return await StartAsync(_workflows.DeleteSriovCard, row, null, null, options, cancellationToken).ConfigureAwait(false);
    }

    private async Task<Operation> StartAsync(ChangeSriovCard workflow, SriovCard? before, SriovCard? after, int? count, OperationRequest? options, CancellationToken cancellationToken)
    {
        var was = after?.VirtualFunctions.Count ?? 0;
        if (after is not null && count is { } wanted && wanted != was)
        {
            await DemandUnusedAsync(after, cancellationToken).ConfigureAwait(false);
        }

        return await _operations.StartAsync(workflow, new SriovState { Pm = _place.Host.Id, Before = before, After = after, Count = count, Was = was }, options, cancellationToken).ConfigureAwait(false);
    }

    private static int? Count(SriovCard card, int? count, int total) => count is null or >= 0 && (count ?? 0) <= total
        ? count
        : throw new InvalidFieldException("num_vfs", count?.ToString(System.Globalization.CultureInfo.InvariantCulture), $"{card.PhysicalFunction} can have 0 to {total} virtual functions");

    private async Task DemandUnusedAsync(SriovCard card, CancellationToken cancellationToken) => await _place.Store.ReadAsync(
        async session =>
        {
            await SriovUse.DemandUnusedAsync(session, card, cancellationToken).ConfigureAwait(false);
            return true;
        },
        cancellationToken).ConfigureAwait(false);

    private Task<IReadOnlyDictionary<PciAddress, VmId>> OwnersAsync(CancellationToken cancellationToken) =>
        _place.Store.ReadAsync(session => SriovUse.OwnersAsync(session, _place.Host.Id, cancellationToken), cancellationToken);

    private SriovView View(SriovCard row, IReadOnlyDictionary<PciAddress, VmId> owners)
    {
        var found = row.Pm == _place.Host.Id ? _sriov.Read(row.PhysicalFunction) : null;
        return new(row, found?.Total, [.. (found?.Addresses ?? row.VirtualFunctions).Select(address => new SriovFunctionView(address, owners.TryGetValue(address, out var vm) ? vm : null))]);
    }

    private async Task<SriovCard> FindAsync(int id, CancellationToken cancellationToken) =>
        await _place.Store.ReadAsync(session => session.SriovCards.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("SR-IOV card", id.ToString(System.Globalization.CultureInfo.InvariantCulture));

    private async Task<SriovCard> OwnAsync(int id, CancellationToken cancellationToken) =>
        await FindAsync(id, cancellationToken).ConfigureAwait(false) is var row && row.Pm == _place.Host.Id
            ? row
            : throw new WrongStateException($"SR-IOV card '{row.PhysicalFunction}' belongs to PM {row.Pm}; ask that one.");
}
