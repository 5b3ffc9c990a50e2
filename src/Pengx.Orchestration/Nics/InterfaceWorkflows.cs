using System.Net;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class InterfaceState
{
    public required string VmName { get; init; }

    /// <summary>The interface's row; its name is settled while the machine is held.</summary>
    public required VmInterface Interface { get; set; }

    /// <summary>Whether the guest runs and keeps the deleted interface until it is powered off.</summary>
    public bool Retired { get; set; }
}

/// <summary>The base of the workflows on one interface of a machine.</summary>
internal abstract class InterfaceWorkflow(Workplace place) : Workflow<InterfaceState>
{
    protected Workplace Place { get; } = place;

    public override JsonTypeInfo<InterfaceState> StateType => JournalJson.Default.InterfaceState;

    public override string Target(InterfaceState state) => $"vm/{state.Interface.Vm}";

    public override IReadOnlyList<ResourceLock> Locks(InterfaceState state) => [ResourceLock.On(state.Interface.Vm)];

    protected async Task<MachineRows> RowsAsync(InterfaceState state, CancellationToken cancellationToken) =>
        await Place.Store.ReadAsync(session => MachineRows.FindAsync(session, state.Interface.Vm, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("VM", state.Interface.Vm.ToString());

    protected async Task DefineAsync(InterfaceState state, bool withInterface, CancellationToken cancellationToken)
    {
        var rows = await RowsAsync(state, cancellationToken).ConfigureAwait(false);
        IEnumerable<VmInterface> others = rows.Interfaces.Where(nic => nic.Id != state.Interface.Id);
        var definition = await Place.Store.ReadAsync(
            session => Place.Definitions.BuildAsync(session, rows with { Interfaces = [.. others, .. withInterface ? [state.Interface] : Array.Empty<VmInterface>()] }, cancellationToken),
            cancellationToken).ConfigureAwait(false);
        await Place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
    }

    protected async Task WhileAliveAsync(InterfaceState state, Func<Task> act, CancellationToken cancellationToken)
    {
        if (!await Place.IsAliveAsync(state.Interface.Vm, cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        try
        {
            await act().ConfigureAwait(false);
        }
        catch (Exception error) when (error is WrongStateException or HypervisorException)
        {
            // A guest that ended in the meantime has no devices any more.
            if (await Place.IsAliveAsync(state.Interface.Vm, cancellationToken).ConfigureAwait(false))
            {
                throw;
            }
        }
    }
}

internal sealed class CreateMachineInterface(Workplace place) : InterfaceWorkflow(place)
{
    public override string Name => "vm.interface.create";

    public override IReadOnlyList<Step<InterfaceState>> Steps =>
    [
        new("find a name", async (context, cancellationToken) =>
        {
            var rows = await RowsAsync(context.State, cancellationToken).ConfigureAwait(false);
            context.State.Interface = context.State.Interface with { Name = InterfaceRules.FreeName(rows.Interfaces) };
        }),
        new(
            "plug in",
            (context, cancellationToken) => WhileAliveAsync(
                context.State,
                () => Place.Driver.Devices.PlugNicAsync(context.State.Interface.Vm, DomainDefinitions.BuildNic(context.State.Interface), cancellationToken),
                cancellationToken),
            (context, cancellationToken) => WhileAliveAsync(
                context.State,
                () => Place.Driver.Devices.UnplugNicAsync(context.State.Interface.Vm, context.State.Interface.Mac, cancellationToken),
                cancellationToken)),
        new(
            "store configuration",
            (context, cancellationToken) => DefineAsync(context.State, withInterface: true, cancellationToken),
            (context, cancellationToken) => DefineAsync(context.State, withInterface: false, cancellationToken)),
        new(
            "record",
            (context, cancellationToken) => new RowSet { Interfaces = [context.State.Interface] }.AddAsync(Place.Store, cancellationToken),
            (context, cancellationToken) => new RowSet { Interfaces = [context.State.Interface] }.RemoveAsync(Place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Describe(InterfaceState state) => $"the creation of an interface of VM {state.VmName}";

    public override string Succeeded(InterfaceState state) =>
        $"Interface {state.Interface.Name} ({state.Interface.Mac}) of VM '{state.VmName}' was created on {state.Interface.Switch}.";

    public override string? Created(InterfaceState state) => $"vm/{state.Interface.Vm}/interface/{state.Interface.Id}";
}

/// <summary>Deletes an interface's row and configuration. A running guest's device is left alone: detaching it could cut off the
/// very traffic that the guest lives on. Its row stays, retired, so that its address stays reserved until the power-off.</summary>
internal sealed class DeleteMachineInterface(Workplace place) : InterfaceWorkflow(place)
{
    public override string Name => "vm.interface.delete";

    public override IReadOnlyList<Step<InterfaceState>> Steps =>
    [
        new("check interface", async (context, cancellationToken) =>
        {
            var rows = await RowsAsync(context.State, cancellationToken).ConfigureAwait(false);
            context.State.Interface = rows.Interfaces.FirstOrDefault(nic => nic.Id == context.State.Interface.Id && !nic.Retired)
                ?? throw new NotFoundException("interface", context.State.Interface.Id.ToString());
            context.State.Retired = await Place.IsAliveAsync(context.State.Interface.Vm, cancellationToken).ConfigureAwait(false);
        }),
        new(
            "store configuration",
            (context, cancellationToken) => DefineAsync(context.State, withInterface: false, cancellationToken),
            (context, cancellationToken) => DefineAsync(context.State, withInterface: true, cancellationToken)),
        new(
            "remove row",
            (context, cancellationToken) => context.State.Retired
                ? RetireAsync(context.State, retired: true, cancellationToken)
                : new RowSet { Interfaces = [context.State.Interface] }.RemoveAsync(Place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Retired
                ? RetireAsync(context.State, retired: false, cancellationToken)
                : new RowSet { Interfaces = [context.State.Interface] }.AddAsync(Place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
        new("forget what no guest holds", async (context, cancellationToken) =>
        {
            // The guest may have ended while its interface was being retired.
            if (!await Place.IsAliveAsync(context.State.Interface.Vm, cancellationToken).ConfigureAwait(false))
            {
                await Place.Recorder.DropRetiredAsync(context.State.Interface.Vm, cancellationToken).ConfigureAwait(false);
            }
        }),
    ];

    public override string Describe(InterfaceState state) => $"the deletion of an interface of VM {state.VmName}";

    public override string Succeeded(InterfaceState state) => state.Retired
        ? $"Interface {state.Interface.Name} of VM '{state.VmName}' was deleted; the running guest keeps the device until it is powered off."
        : $"Interface {state.Interface.Name} of VM '{state.VmName}' was deleted.";

    private Task RetireAsync(InterfaceState state, bool retired, CancellationToken cancellationToken) => Place.Store.ChangeAsync(
        async session =>
        {
            var row = await session.VmInterfaces.FindAsync(state.Interface.Id, cancellationToken).ConfigureAwait(false);
            if (row is null && !retired)
            {
                session.VmInterfaces.Add(state.Interface with { Revision = 0 });
            }
            else if (row is not null && row.Retired != retired)
            {
                session.VmInterfaces.Update(row with { Retired = retired });
            }
        },
        cancellationToken);
}

internal sealed class UpdateInterfaceState
{
    public required VmId Vm { get; init; }

    public required string VmName { get; init; }

    public required VmInterfaceId Interface { get; init; }

    public required IPAddress IpAddress { get; init; }
}

internal sealed class UpdateMachineInterface(Workplace place) : Workflow<UpdateInterfaceState>
{
    public override string Name => "vm.interface.update";

    public override JsonTypeInfo<UpdateInterfaceState> StateType => JournalJson.Default.UpdateInterfaceState;

    public override IReadOnlyList<Step<UpdateInterfaceState>> Steps =>
    [
        new("record", (context, cancellationToken) => place.Store.ChangeAsync(
            async session =>
            {
                var row = await session.VmInterfaces.FindAsync(context.State.Interface, cancellationToken).ConfigureAwait(false);
                if (row is not { Retired: false })
                {
                    throw new NotFoundException("interface", context.State.Interface.ToString());
                }

                session.VmInterfaces.Update(row with { IpAddress = context.State.IpAddress });
            },
            cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(UpdateInterfaceState state) => $"vm/{state.Vm}";

    public override string Describe(UpdateInterfaceState state) => $"the update of an interface of VM {state.VmName}";

    public override IReadOnlyList<ResourceLock> Locks(UpdateInterfaceState state) => [ResourceLock.On(state.Vm)];

    public override string Succeeded(UpdateInterfaceState state) => $"Interface {state.Interface} of VM '{state.VmName}' has the address {state.IpAddress}.";
}

/// <summary>How interfaces are named and addressed.</summary>
internal static class InterfaceRules
{
    private const int Attempts = 100;

    public static string FreeName(IReadOnlyCollection<VmInterface> interfaces)
    {
        for (var index = 0; ; index++)
        {
            var name = $"eth{index}";
            if (interfaces.All(nic => nic.Name != name))
            {
                return name;
            }
        }
    }

    /// <summary>Addresses that no machine has, retired interfaces included.</summary>
    public static async Task<IReadOnlyList<MacAddress>> FreshMacsAsync(IStoreSession session, int count, CancellationToken cancellationToken)
    {
        HashSet<MacAddress> fresh = [];
        for (var attempt = 0; fresh.Count < count; attempt++)
        {
            if (attempt > count + Attempts)
            {
                throw new InsufficientResourceException("No free MAC address was found in Xen's range 00:16:3e:00:00:00 to 00:16:3e:7f:ff:ff.");
            }

            var mac = MacAddress.NewXen();
            if (await session.VmInterfaces.FindByMacAsync(mac, cancellationToken).ConfigureAwait(false) is null)
            {
                fresh.Add(mac);
            }
        }

        return [.. fresh];
    }
}
