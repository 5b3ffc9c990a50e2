namespace Pengx.Orchestration;

/// <summary>The use cases of physical machines (PMs).</summary>
public sealed class PhysicalMachines
{
    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;
    private readonly HostInterfaces _interfaces;

    internal PhysicalMachines(Workplace place, WorkflowCatalog workflows, IOperations operations, HostInterfaces interfaces)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _interfaces = interfaces;
    }

    /// <summary>All PMs, by name.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<PhysicalMachineView>> ListAsync(CancellationToken cancellationToken = default) => await _place.Store.ReadAsync(
        async session =>
        {
            List<PhysicalMachineView> views = [];
            foreach (var machine in await session.PhysicalMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false))
            {
                views.Add(await ViewAsync(session, machine, cancellationToken).ConfigureAwait(false));
            }

            return views;
        },
        cancellationToken).ConfigureAwait(false);

    /// <summary>One PM.</summary>
    /// <param name="id">The PM.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="NotFoundException">There is no such PM.</exception>
    public Task<PhysicalMachineView> GetAsync(PmId id, CancellationToken cancellationToken = default) => _place.Store.ReadAsync(
        async session => await session.PhysicalMachines.FindAsync(id, cancellationToken).ConfigureAwait(false) is { } machine
            ? await ViewAsync(session, machine, cancellationToken).ConfigureAwait(false)
            : throw new NotFoundException("PM", id.ToString()),
        cancellationToken);

    /// <summary>This PM.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="NotFoundException">It has not registered itself yet.</exception>
    public Task<PhysicalMachineView> GetOwnAsync(CancellationToken cancellationToken = default) => GetAsync(_place.Host.Id, cancellationToken);

    /// <summary>What this PM is and does now.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<PhysicalMachinePerformance> GetPerformanceAsync(CancellationToken cancellationToken = default) => new(
        _place.Host.Id,
        await _place.Driver.GetHostFactsAsync(cancellationToken).ConfigureAwait(false),
        await _place.Driver.GetHostCountersAsync(cancellationToken).ConfigureAwait(false));

    /// <summary>Takes every PM's public SSH key into the authorized keys of the service's user on this PM. A key that is malformed or
    /// carries options is left out, and the operation's message names its PM.</summary>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public Task<Operation> UpdateAuthorizedKeysAsync(OperationRequest? options = null, CancellationToken cancellationToken = default) =>
        _operations.StartAsync(_workflows.UpdateAuthorizedKeys, new AuthorizedKeysState { Pm = _place.Host.Id }, options, cancellationToken);

    /// <summary>Writes this PM's row, with its name, facts, public SSH key and network devices as they are now; later calls are its
    /// heartbeat.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task RegisterAsync(CancellationToken cancellationToken = default)
    {
        var facts = await _place.Driver.GetHostFactsAsync(cancellationToken).ConfigureAwait(false);
        var networks = _interfaces.Read(_place.Host.Id);
        var key = SshPublicKey.Find(_place.Options.ResolvedSshDirectory);
        await _place.Store.ChangeAsync(
            async session =>
            {
                var (now, host) = (_place.Now, _place.Host);
                if (await session.PhysicalMachines.FindAsync(host.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.PhysicalMachines.Update(row with { Name = host.Name, Cpus = facts.Cpus, Memory = facts.Memory, SshPublicKey = key, UpdatedAt = now });
                }
                else
                {
                    session.PhysicalMachines.Add(new PhysicalMachine { Id = host.Id, Name = host.Name, Cpus = facts.Cpus, Memory = facts.Memory, SshPublicKey = key, CreatedAt = now, UpdatedAt = now });
                }

                if (networks is not null)
                {
                    await RecordAsync(session, networks, cancellationToken).ConfigureAwait(false);
                }
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Brings this PM's rows in line with its network devices; a row that is right is left alone.</summary>
    private async Task RecordAsync(IStoreSession session, IReadOnlyList<Network> networks, CancellationToken cancellationToken)
    {
        var rows = (await session.Networks.ListByPmAsync(_place.Host.Id, cancellationToken).ConfigureAwait(false)).ToList();
        foreach (var network in networks)
        {
            if (rows.Find(row => row.Name == network.Name) is not { } row)
            {
                session.Networks.Add(network with { Id = await session.Networks.NextIdAsync(cancellationToken).ConfigureAwait(false) });
                continue;
            }

            rows.Remove(row);

            // The kernel does not tell how an address came about, nor whose gateway it is. What was configured here stays as it was.
            var changed = row.Managed ? row with { Mac = network.Mac } : network with { Id = row.Id, Revision = row.Revision, Method = row.Method, Gateway = row.Gateway };
            if (!IsSame(row, changed))
            {
                session.Networks.Update(changed);
            }
        }

        rows.FindAll(row => !row.Managed).ForEach(session.Networks.Delete);
    }

    private static bool IsSame(Network one, Network other) =>
        one.BridgePorts.SequenceEqual(other.BridgePorts)
        && one.BondSlaves.SequenceEqual(other.BondSlaves)
        && one with { BridgePorts = other.BridgePorts, BondSlaves = other.BondSlaves } == other;

    private async Task<PhysicalMachineView> ViewAsync(IStoreSession session, PhysicalMachine machine, CancellationToken cancellationToken) => new()
    {
        Machine = machine,
        IsUp = machine.IsUp(_place.Now),
        Networks = await session.Networks.ListByPmAsync(machine.Id, cancellationToken).ConfigureAwait(false),
    };
}
