using System.Net;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class NetworkState
{
    public required PmId Pm { get; init; }

    /// <summary>The row as it is.</summary>
    public Network? Before { get; init; }

    /// <summary>The row as it shall be.</summary>
    public Network? After { get; init; }

    /// <summary>The device as it is on the host, for the way back.</summary>
    public Network? Was { get; init; }

    /// <summary>Whether the host is changed, too.</summary>
    public bool Apply { get; init; }
}

/// <summary>A change of one network's row and, where that is switched on, of the host's device.</summary>
internal sealed class ChangeNetwork(Workplace place, IHostNetworking? networking, string verb, string noun) : Workflow<NetworkState>
{
    public override string Name => $"network.{verb}";

    public override JsonTypeInfo<NetworkState> StateType => JournalJson.Default.NetworkState;

    public override IReadOnlyList<Step<NetworkState>> Steps =>
    [
        new(
            "configure host",
            (context, cancellationToken) => RunAsync(context.State, new(context.State.Before ?? context.State.Was, context.State.After), cancellationToken),
            (context, cancellationToken) => context.State is { After: null, Was: null }
                ? Task.CompletedTask
                : RunAsync(context.State, new(context.State.After, context.State.Was), cancellationToken)),
        new("record", (context, cancellationToken) => place.Store.ChangeAsync(
            async session =>
            {
                var state = context.State;
                var row = await session.Networks.FindAsync((state.After ?? state.Before)!.Id, cancellationToken).ConfigureAwait(false);
                switch (state)
                {
                    case { After: { } after } when row is null && state.Before is null:
                        session.Networks.Add(after with { Revision = 0 });
                        break;
                    case { After: { } after } when row is not null:
                        session.Networks.Update(after with { Revision = row.Revision });
                        break;
                    case { After: null } when row is not null:
                        session.Networks.Delete(row);
                        break;
                }
            },
            cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(NetworkState state) => $"network/{(state.After ?? state.Before)!.Id}";

    public override string Describe(NetworkState state) => $"the {noun} of network {(state.After ?? state.Before)!.Name}";

    public override IReadOnlyList<ResourceLock> Locks(NetworkState state) => [new($"networking/{state.Pm}")];

    public override string Succeeded(NetworkState state) =>
        $"Network '{(state.After ?? state.Before)!.Name}' was {verb}d{(state.Apply ? " on the host" : "; it was recorded, and the host was left alone (Pengx:Networks:Apply is off)")}.";

    public override string? Created(NetworkState state) => state.Before is null ? $"network/{state.After!.Id}" : null;

    private async Task RunAsync(NetworkState state, NetworkChange change, CancellationToken cancellationToken)
    {
        if (state.Apply && networking is not null && (change.From ?? change.To) is not null)
        {
            await networking.ExecuteAsync(await networking.PlanAsync(change, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        }
    }
}

internal sealed class DnsState
{
    public required PmId Pm { get; init; }

    public DnsServers? Before { get; init; }

    public DnsServers? After { get; init; }

    public IReadOnlyList<IPAddress> Was { get; init; } = [];

    public bool Apply { get; init; }

    public static IReadOnlyList<IPAddress> ListOf(DnsServers servers) => [.. new[] { servers.Address1, servers.Address2 }.OfType<IPAddress>()];
}

/// <summary>A change of the host's name servers. Deleting their row leaves the host as it is.</summary>
internal sealed class ChangeDns(Workplace place, IHostNetworking? networking, string verb, string noun) : Workflow<DnsState>
{
    public override string Name => $"dns.{verb}";

    public override JsonTypeInfo<DnsState> StateType => JournalJson.Default.DnsState;

    public override IReadOnlyList<Step<DnsState>> Steps =>
    [
        new(
            "configure host",
            (context, cancellationToken) => context.State.After is { } after ? RunAsync(context.State, DnsState.ListOf(after), cancellationToken) : Task.CompletedTask,
            (context, cancellationToken) => context.State.After is not null ? RunAsync(context.State, context.State.Was, cancellationToken) : Task.CompletedTask),
        new("record", (context, cancellationToken) => place.Store.ChangeAsync(
            async session =>
            {
                var state = context.State;
                var row = await session.Dns.FindAsync((state.After ?? state.Before)!.Id, cancellationToken).ConfigureAwait(false);
                switch (state)
                {
                    case { After: { } after } when row is null && state.Before is null:
                        session.Dns.Add(after with { Revision = 0 });
                        break;
                    case { After: { } after } when row is not null:
                        session.Dns.Update(after with { Revision = row.Revision });
                        break;
                    case { After: null } when row is not null:
                        session.Dns.Delete(row);
                        break;
                }
            },
            cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(DnsState state) => $"dns/{(state.After ?? state.Before)!.Id}";

    public override string Describe(DnsState state) => $"the {noun} of the name servers of PM {state.Pm}";

    public override IReadOnlyList<ResourceLock> Locks(DnsState state) => [new($"networking/{state.Pm}")];

    public override string Succeeded(DnsState state) => state.After is null
        ? "The name servers are recorded no more; the host was left alone."
        : $"The name servers were {verb}d{(state.Apply ? " on the host" : "; they were recorded, and the host was left alone (Pengx:Networks:Apply is off)")}.";

    public override string? Created(DnsState state) => state.Before is null ? $"dns/{state.After!.Id}" : null;

    private Task RunAsync(DnsState state, IReadOnlyList<IPAddress> servers, CancellationToken cancellationToken) =>
        state.Apply && networking is not null ? networking.ExecuteAsync(networking.PlanNameServers(servers), cancellationToken) : Task.CompletedTask;
}

internal sealed class SriovState
{
    public required PmId Pm { get; init; }

    public SriovCard? Before { get; init; }

    public SriovCard? After { get; set; }

    /// <summary>How many virtual functions it shall have; as it is when not given.</summary>
    public int? Count { get; init; }

    /// <summary>How many it had.</summary>
    public int Was { get; init; }
}

/// <summary>A change of a card with virtual functions: their number is set on the card, read back, and recorded.</summary>
internal sealed class ChangeSriovCard(Workplace place, IHostSriov? sriov, string verb, string noun) : Workflow<SriovState>
{
    public override string Name => $"sriov.{verb}";

    public override JsonTypeInfo<SriovState> StateType => JournalJson.Default.SriovState;

    public override IReadOnlyList<Step<SriovState>> Steps =>
    [
        new(
            "set functions",
            async (context, cancellationToken) =>
            {
                if (context.State.After is not { } after || sriov is null)
                {
                    return;
                }

                if (context.State.Count is { } count)
                {
                    if (count != context.State.Was)
                    {
                        await place.Store.ReadAsync(
                            async session =>
                            {
                                await SriovUse.DemandUnusedAsync(session, after, cancellationToken).ConfigureAwait(false);
                                return true;
                            },
                            cancellationToken).ConfigureAwait(false);
                    }

                    var now = await sriov.SetAsync(after.PhysicalFunction, count, cancellationToken).ConfigureAwait(false);
                    context.State.After = after with { VirtualFunctions = now.Addresses };
                }
                else if (sriov.Read(after.PhysicalFunction) is { } found)
                {
                    context.State.After = after with { VirtualFunctions = found.Addresses };
                }
            },
            (context, cancellationToken) => context.State is { After: { } after, Count: not null } && sriov is not null
                ? sriov.SetAsync(after.PhysicalFunction, context.State.Was, cancellationToken)
                : Task.CompletedTask),
        new("record", (context, cancellationToken) => place.Store.ChangeAsync(
            async session =>
            {
                var state = context.State;
                var row = await session.SriovCards.FindAsync((state.After ?? state.Before)!.Id, cancellationToken).ConfigureAwait(false);
                switch (state)
                {
                    case { After: { } after } when row is null && state.Before is null:
                        session.SriovCards.Add(after with { Revision = 0 });
                        break;
                    case { After: { } after } when row is not null:
                        session.SriovCards.Update(after with { Revision = row.Revision });
                        break;
                    case { After: null } when row is not null:
                        session.SriovCards.Delete(row);
                        break;
                }
            },
            cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(SriovState state) => $"sriov/{(state.After ?? state.Before)!.Id}";

    public override string Describe(SriovState state) => $"the {noun} of SR-IOV card {(state.After ?? state.Before)!.PhysicalFunction}";

    public override IReadOnlyList<ResourceLock> Locks(SriovState state) => [new($"networking/{state.Pm}")];

    public override string Succeeded(SriovState state) => state.After is { } after
        ? $"SR-IOV card '{after.PhysicalFunction}' was {verb}d; it has {after.VirtualFunctions.Count} virtual functions."
        : $"SR-IOV card '{state.Before!.PhysicalFunction}' is recorded no more; its virtual functions were left alone.";

    public override string? Created(SriovState state) => state.Before is null ? $"sriov/{state.After!.Id}" : null;
}

/// <summary>Who has a card's virtual functions.</summary>
internal static class SriovUse
{
    public static async Task<IReadOnlyDictionary<PciAddress, VmId>> OwnersAsync(IStoreSession session, PmId pm, CancellationToken cancellationToken)
    {
        Dictionary<PciAddress, VmId> owners = [];
        foreach (var machine in await session.VirtualMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false))
        {
            foreach (var address in machine.Pm == pm ? machine.VirtualFunctions : [])
            {
                owners[address] = machine.Id;
            }
        }

        return owners;
    }

    public static async Task DemandUnusedAsync(IStoreSession session, SriovCard card, CancellationToken cancellationToken)
    {
        var owners = await OwnersAsync(session, card.Pm, cancellationToken).ConfigureAwait(false);
        foreach (var address in card.VirtualFunctions)
        {
            if (owners.TryGetValue(address, out var vm))
            {
                throw new InUseException($"The virtual function {address} of {card.PhysicalFunction} belongs to VM {vm}; the number of functions is changed when none is used.");
            }
        }
    }
}
