namespace Pengx.Orchestration;

/// <summary>The use cases of physical machines (PMs).</summary>
public sealed class PhysicalMachines
{
    private readonly Workplace _place;

    internal PhysicalMachines(Workplace place) => _place = place;

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

    /// <summary>Writes this PM's row, with its name and facts as they are now; later calls are its heartbeat.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task RegisterAsync(CancellationToken cancellationToken = default)
    {
        var facts = await _place.Driver.GetHostFactsAsync(cancellationToken).ConfigureAwait(false);
        await _place.Store.ChangeAsync(
            async session =>
            {
                var (now, host) = (_place.Now, _place.Host);
                if (await session.PhysicalMachines.FindAsync(host.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.PhysicalMachines.Update(row with { Name = host.Name, Cpus = facts.Cpus, Memory = facts.Memory, UpdatedAt = now });
                }
                else
                {
                    session.PhysicalMachines.Add(new PhysicalMachine { Id = host.Id, Name = host.Name, Cpus = facts.Cpus, Memory = facts.Memory, CreatedAt = now, UpdatedAt = now });
                }
            },
            cancellationToken).ConfigureAwait(false);
    }

    private async Task<PhysicalMachineView> ViewAsync(IStoreSession session, PhysicalMachine machine, CancellationToken cancellationToken) => new()
    {
        Machine = machine,
        IsUp = machine.IsUp(_place.Now),
        Networks = await session.Networks.ListByPmAsync(machine.Id, cancellationToken).ConfigureAwait(false),
    };
}
