using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class DiskState
{
    public required VmId Vm { get; init; }

    public required string VmName { get; init; }

    /// <summary>The disk's row; its owner and order are settled while the machine is held.</summary>
    public required Disk Disk { get; set; }
}

/// <summary>The base of the workflows on one disk of a machine.</summary>
internal abstract class DiskWorkflow(Workplace place) : Workflow<DiskState>
{
    protected Workplace Place { get; } = place;

    public override JsonTypeInfo<DiskState> StateType => JournalJson.Default.DiskState;

    public override string Target(DiskState state) => $"vm/{state.Vm}";

    public override IReadOnlyList<ResourceLock> Locks(DiskState state) =>
        [ResourceLock.On(state.Vm), ResourceLock.On(state.Disk.Storlink, shared: true)];

    protected async Task<MachineRows> RowsAsync(DiskState state, CancellationToken cancellationToken) =>
        await Place.Store.ReadAsync(session => MachineRows.FindAsync(session, state.Vm, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("VM", state.Vm.ToString());

    /// <summary>Stores the configuration with the disk, or without it, whatever the rows say yet.</summary>
    protected async Task DefineAsync(DiskState state, bool withDisk, CancellationToken cancellationToken)
    {
        var rows = await RowsAsync(state, cancellationToken).ConfigureAwait(false);
        IEnumerable<Disk> others = rows.Disks.Where(disk => disk.Id != state.Disk.Id);
        var definition = await Place.Store.ReadAsync(
            session => Place.Definitions.BuildAsync(session, rows with { Disks = [.. others, .. withDisk ? [state.Disk] : Array.Empty<Disk>()] }, cancellationToken),
            cancellationToken).ConfigureAwait(false);
        await Place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Plugs the disk into a guest that runs; one that ended in the meantime finds it at its next start.</summary>
    protected async Task PlugAsync(DiskState state, CancellationToken cancellationToken)
    {
        if (await Place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
        {
            var disk = await Place.Store.ReadAsync(session => Place.Definitions.BuildDiskAsync(session, state.Disk, cancellationToken), cancellationToken).ConfigureAwait(false);
            await UnlessEndedAsync(state, () => Place.Driver.Devices.PlugDiskAsync(state.Vm, disk, cancellationToken), cancellationToken).ConfigureAwait(false);
        }
    }

    protected async Task UnplugAsync(DiskState state, CancellationToken cancellationToken)
    {
        if (await Place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
        {
            await UnlessEndedAsync(state, () => Place.Driver.Devices.UnplugDiskAsync(state.Vm, state.Disk.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task UnlessEndedAsync(DiskState state, Func<Task> act, CancellationToken cancellationToken)
    {
        try
        {
            await act().ConfigureAwait(false);
        }
        catch (Exception error) when (error is WrongStateException or HypervisorException)
        {
            if (await Place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
            {
                throw;
            }
        }
    }
}

internal sealed class CreateMachineDisk(Workplace place) : DiskWorkflow(place)
{
    public override string Name => "vm.disk.create";

    public override IReadOnlyList<Step<DiskState>> Steps =>
    [
        new("find a place", async (context, cancellationToken) =>
        {
            var rows = await RowsAsync(context.State, cancellationToken).ConfigureAwait(false);
            context.State.Disk = context.State.Disk with { Owner = rows.DiskOwner, Order = DiskRules.FreeOrder(rows) };
        }),
        new(
            "create disk",
            (context, cancellationToken) => VolumeSteps.CreateAsync(Place, [new(context.State.Disk, null)], context.Progress, cancellationToken),
            (context, cancellationToken) => VolumeSteps.DeleteAsync(Place, [context.State.Disk], cancellationToken)),
        new(
            "plug in",
            (context, cancellationToken) => PlugAsync(context.State, cancellationToken),
            (context, cancellationToken) => UnplugAsync(context.State, cancellationToken)),
        new(
            "store configuration",
            (context, cancellationToken) => DefineAsync(context.State, withDisk: true, cancellationToken),
            (context, cancellationToken) => DefineAsync(context.State, withDisk: false, cancellationToken)),
        new(
            "record",
            (context, cancellationToken) => new RowSet { Disks = [context.State.Disk] }.AddAsync(Place.Store, cancellationToken),
            (context, cancellationToken) => new RowSet { Disks = [context.State.Disk] }.RemoveAsync(Place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Describe(DiskState state) => $"the creation of a disk of VM {state.VmName}";

    public override string Succeeded(DiskState state) => $"Disk {state.Disk.Id} of VM '{state.VmName}' was created.";

    public override string? Created(DiskState state) => $"vm/{state.Vm}/disk/{state.Disk.Id}";
}

internal sealed class DeleteMachineDisk(Workplace place) : DiskWorkflow(place)
{
    public override string Name => "vm.disk.delete";

    public override IReadOnlyList<Step<DiskState>> Steps =>
    [
        new("check disk", async (context, cancellationToken) =>
        {
            var rows = await RowsAsync(context.State, cancellationToken).ConfigureAwait(false);
            context.State.Disk = rows.Disks.FirstOrDefault(disk => disk.Id == context.State.Disk.Id)
                ?? throw new NotFoundException("disk", context.State.Disk.Id.ToString());
            await DiskRules.RefuseWhatIsNeededAsync(Place, rows.Machine, context.State.Disk, cancellationToken).ConfigureAwait(false);
        }),
        new(
            "unplug",
            (context, cancellationToken) => UnplugAsync(context.State, cancellationToken),
            (context, cancellationToken) => PlugAsync(context.State, cancellationToken)),
        new(
            "store configuration",
            (context, cancellationToken) => DefineAsync(context.State, withDisk: false, cancellationToken),
            (context, cancellationToken) => DefineAsync(context.State, withDisk: true, cancellationToken)),
        new(
            "remove row",
            (context, cancellationToken) => new RowSet { Disks = [context.State.Disk] }.RemoveAsync(Place.Store, cancellationToken),
            (context, cancellationToken) => new RowSet { Disks = [context.State.Disk] }.AddAsync(Place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
        new("delete disk", async (context, cancellationToken) =>
        {
            await Place.EndCrashedAsync(context.State.Vm, cancellationToken).ConfigureAwait(false);
            await VolumeSteps.DeleteAsync(Place, [context.State.Disk], cancellationToken).ConfigureAwait(false);
        }),
    ];

    public override string Describe(DiskState state) => $"the deletion of a disk of VM {state.VmName}";

    public override string Succeeded(DiskState state) => $"Disk {state.Disk.Id} of VM '{state.VmName}' was deleted.";
}

/// <summary>What may be done with a machine's disks.</summary>
internal static class DiskRules
{
    public static int FreeOrder(MachineRows rows) =>
        Enumerable.Range(0, Vdev.MaxDisks).Cast<int?>().FirstOrDefault(order => rows.Disks.All(disk => disk.Order != order))
        ?? throw new WrongStateException($"VM '{rows.Machine.Name}' has {rows.Disks.Count} disks; {Vdev.MaxDisks} are the most that a machine can have.");

    public static async Task RefuseWhatIsNeededAsync(Workplace place, VirtualMachine machine, Disk disk, CancellationToken cancellationToken)
    {
        var overlays = await place.Store.ReadAsync(session => session.Disks.ListByBackingAsync(disk.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (overlays.Count > 0)
        {
            throw new InUseException($"Disk {disk.Id} is what disk {overlays[0].Id} of {overlays[0].Owner.Kind} {overlays[0].Owner.Id:D} lies on; delete that first.");
        }

        if (disk.Order == 0 && await place.IsAliveAsync(machine.Id, cancellationToken).ConfigureAwait(false))
        {
            throw new WrongStateException($"Disk {disk.Id} is what VM '{machine.Name}' boots from, and it runs; stop it first.");
        }
    }
}
