using Microsoft.Extensions.Logging;

namespace Pengx.Orchestration;

/// <summary>Lets the rows follow the hypervisor's truth: at the start, at every event, and now and then for what an event missed.
/// Also this PM's heartbeat.</summary>
internal sealed class Reconciler(Workplace place, WorkflowCatalog workflows, PhysicalMachines hosts, IOperations operations, ILogger<Reconciler> logger) : IAsyncDisposable
{
    private static readonly TimeSpan s_passInterval = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan s_subscribeDelay = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _ends = new();
    private Task _work = Task.CompletedTask;

    /// <summary>Subscribes to events, then makes a first pass, so that nothing is missed in between.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var events = place.Driver.WatchAsync(_ends.Token);
        await PassAsync(repairs: true, cancellationToken).ConfigureAwait(false);
        _work = Task.WhenAll(
            Task.Run(() => FollowAsync(events), CancellationToken.None),
            RepeatAsync(s_passInterval, token => PassAsync(repairs: false, token), Log.PassFailed),
            RepeatAsync(place.Options.HeartbeatInterval, hosts.RegisterAsync, Log.HeartbeatFailed));
    }

    /// <summary>Compares every row of this PM with the truth and records what differs.</summary>
    /// <param name="repairs">Whether stored configurations that are not what the rows say are stored anew, and not only missing ones.</param>
    /// <param name="cancellationToken">Ends the pass.</param>
    public async Task PassAsync(bool repairs, CancellationToken cancellationToken)
    {
        var truth = (await place.Driver.Domains.ListAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(status => status.Id);
        var (machines, templates, retired) = await place.Store.ReadAsync(
            async session => (
                await session.VirtualMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false),
                await session.Templates.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false),
                (await session.VmInterfaces.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false)).Where(nic => nic.Retired).Select(nic => nic.Vm).ToHashSet()),
            cancellationToken).ConfigureAwait(false);

        foreach (var machine in machines.Where(machine => machine.Pm == place.Host.Id))
        {
            if (IsStale(machine.Id, machine.State, machine.RecentBootedAt) || (retired.Contains(machine.Id) && !truth.ContainsKey(machine.Id)))
            {
                await RecordAsync(GuestRef.Of(machine), null, cancellationToken).ConfigureAwait(false);
            }
        }

        foreach (var template in templates.Where(template => template.Pm == place.Host.Id && IsStale(template.Id, template.State, template.RecentBootedAt)))
        {
            await RecordAsync(GuestRef.Of(template), null, cancellationToken).ConfigureAwait(false);
        }

        // A machine that was moved here has no stored configuration yet.
        var defined = (await place.Driver.Domains.ListDefinedAsync(cancellationToken).ConfigureAwait(false)).ToHashSet();
        var locked = await operations.ListLockedAsync(cancellationToken).ConfigureAwait(false);
        foreach (var machine in machines.Where(machine => machine.Pm == place.Host.Id && (repairs || !defined.Contains(machine.Id)) && !locked.Contains($"vm/{machine.Id}")))
        {
            await RepairAsync(machine, cancellationToken).ConfigureAwait(false);
        }

        bool IsStale(DomainId id, VmState state, DateTimeOffset? booted) => truth.TryGetValue(id, out var status)
            ? status.State != state || (status.State is VmState.Running or VmState.Paused && status.StartedAt is { } started && (booted is null || booted < started))
            : state != VmState.Shutdown;
    }

    public async ValueTask DisposeAsync()
    {
        await _ends.CancelAsync().ConfigureAwait(false);
        await _work.ConfigureAwait(false);
        _ends.Dispose();
    }

    private async Task FollowAsync(IAsyncEnumerable<DomainEvent> events)
    {
        while (!_ends.IsCancellationRequested)
        {
            Exception? failure = null;
            try
            {
                await foreach (var happened in events.WithCancellation(_ends.Token).ConfigureAwait(false))
                {
                    Log.DomainEvent(logger, happened.Domain, happened.Kind, happened.State);
                    await HandleAsync(happened, _ends.Token).ConfigureAwait(false);
                }
            }
            catch (OperationCanceledException) when (_ends.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error) when (error is PengxException or IOException or ObjectDisposedException)
            {
                failure = error;
            }

            if (_ends.IsCancellationRequested)
            {
                return;
            }

            Log.EventsEnded(logger, failure);
            events = await SubscribeAgainAsync().ConfigureAwait(false) ?? events;
        }
    }

    private async Task<IAsyncEnumerable<DomainEvent>?> SubscribeAgainAsync()
    {
        while (true)
        {
            try
            {
                await Task.Delay(s_subscribeDelay, place.TimeProvider, _ends.Token).ConfigureAwait(false);
                var events = place.Driver.WatchAsync(_ends.Token);
                await PassAsync(repairs: false, _ends.Token).ConfigureAwait(false);
                return events;
            }
            catch (OperationCanceledException) when (_ends.IsCancellationRequested)
            {
                return null;
            }
            catch (Exception error) when (error is PengxException or ObjectDisposedException)
            {
                Log.PassFailed(logger, error);
            }
        }
    }

    private async Task HandleAsync(DomainEvent happened, CancellationToken cancellationToken)
    {
        try
        {
            var guest = await place.Store.ReadAsync(
                async session => await session.VirtualMachines.FindAsync(new VmId(happened.Domain.Value), cancellationToken).ConfigureAwait(false) is { } machine
                    ? machine.Pm == place.Host.Id ? GuestRef.Of(machine) : null
                    : await session.Templates.FindAsync(new TemplateId(happened.Domain.Value), cancellationToken).ConfigureAwait(false) is { } template && template.Pm == place.Host.Id
                        ? GuestRef.Of(template)
                        : null,
                cancellationToken).ConfigureAwait(false);
            if (guest is not null)
            {
                await RecordAsync(guest, happened.Kind == DomainEventKind.Rebooted ? happened.At : null, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (PengxException error)
        {
            Log.NotRecorded(logger, $"domain {happened.Domain}", error);
        }
    }

    private async Task RecordAsync(GuestRef guest, DateTimeOffset? bootedAt, CancellationToken cancellationToken)
    {
        try
        {
            await place.Recorder.RecordAsync(guest, bootedAt, cancellationToken).ConfigureAwait(false);
        }
        catch (PengxException error)
        {
            Log.NotRecorded(logger, guest.Called, error);
        }
    }

    /// <summary>Stores a machine's configuration anew where it is not what the rows say. Its look is no more than a reason to begin: the
    /// operation decides while it holds the machine.</summary>
    private async Task RepairAsync(VirtualMachine machine, CancellationToken cancellationToken)
    {
        try
        {
            var expected = await place.Store.ReadAsync(
                async session => await MachineRows.FindAsync(session, machine.Id, cancellationToken).ConfigureAwait(false) is { } rows && rows.Machine.Pm == place.Host.Id
                    ? await place.Definitions.BuildAsync(session, rows, cancellationToken).ConfigureAwait(false)
                    : null,
                cancellationToken).ConfigureAwait(false);
            if (expected is not null && await place.Driver.Domains.FindDefinitionAsync(machine.Id, cancellationToken).ConfigureAwait(false) != expected)
            {
                var repair = await operations.StartAsync(workflows.RepairMachine, new GuestState { Guest = GuestRef.Of(machine) }, null, cancellationToken).ConfigureAwait(false);
                (await operations.WaitAsync(repair.Id, cancellationToken).ConfigureAwait(false)).EnsureSucceeded();
                Log.ConfigurationRepaired(logger, machine.Id);
            }
        }
        catch (ResourceLockedException)
        {
            // An operation has taken it since, and leaves it as the rows say; a later pass sees.
        }
        catch (PengxException error)
        {
            // A machine whose storage is away stays as it is; starting it says what is wrong.
            Log.NotRecorded(logger, $"VM {machine.Id}", error);
        }
    }

    private async Task RepeatAsync(TimeSpan interval, Func<CancellationToken, Task> act, Action<ILogger, Exception> failed)
    {
        using var timer = new PeriodicTimer(interval, place.TimeProvider);
        try
        {
            while (await timer.WaitForNextTickAsync(_ends.Token).ConfigureAwait(false))
            {
                try
                {
                    await act(_ends.Token).ConfigureAwait(false);
                }
                catch (Exception error) when (error is PengxException or IOException)
                {
                    failed(logger, error);
                }
            }
        }
        catch (OperationCanceledException) when (_ends.IsCancellationRequested)
        {
            // The service stops.
        }
    }
}
