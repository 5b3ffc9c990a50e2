using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class CopyMachineState
{
    public required FrozenMachine Source { get; init; }

    /// <summary>The copy's row; what it has of the original is settled while that is held.</summary>
    public required VirtualMachine Machine { get; set; }

    public required StorlinkId Storlink { get; init; }

    public IReadOnlyList<PlannedDisk> Disks { get; set; } = [];

    public IReadOnlyList<VmInterface> Interfaces { get; set; } = [];

    public RowSet Rows() => new() { Machine = Machine, Disks = [.. Disks.Select(disk => disk.Disk)], Interfaces = Interfaces };
}

/// <summary>Copies a machine in any state: its disks flattened, as they were at one instant, everything else anew.</summary>
internal sealed class CopyMachine(Workplace place) : Workflow<CopyMachineState>
{
    public override string Name => "vm.copy";

    public override bool MovesImages => true;

    public override JsonTypeInfo<CopyMachineState> StateType => JournalJson.Default.CopyMachineState;

    public override IReadOnlyList<Step<CopyMachineState>> Steps =>
    [
        new("look at the machine", async (context, cancellationToken) =>
        {
            var state = context.State;
            var rows = await Freezing.PlanAsync(place, state.Source, cancellationToken).ConfigureAwait(false);
            var storlink = await FindStorlinkAsync(place, state.Storlink, cancellationToken).ConfigureAwait(false);
            state.Machine = Derive(state.Machine, rows.Machine);
            state.Disks =
            [
                .. rows.Disks.OrderBy(disk => disk.Order).Select(disk => new PlannedDisk(
                    new Disk
                    {
                        Id = DiskId.New(),
                        Owner = DiskOwner.Of(state.Machine.Id),
                        Order = disk.Order,
                        Size = disk.Size,
                        Format = VolumeSteps.FormatOn(storlink, disk.Format),
                        Storlink = storlink.Id,
                        Type = disk.Type,
                        Description = disk.Description,
                        CreatedAt = state.Machine.CreatedAt,
                    },
                    disk.Id)),
            ];
            state.Interfaces = await NewInterfacesAsync(state.Machine.Id, rows.Interfaces, cancellationToken).ConfigureAwait(false);
        }),
        Freezing.Freeze<CopyMachineState>(place, state => state.Source),
        new(
            "copy disks",
            (context, cancellationToken) => VolumeSteps.CopyFrozenAsync(place, context.State.Disks, context.Progress, cancellationToken),
            (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Disks.Select(disk => disk.Disk), cancellationToken)),
        Freezing.Thaw<CopyMachineState>(place, state => state.Source),
        new(
            "store configuration",
            async (context, cancellationToken) =>
            {
                var state = context.State;
                var definition = await place.Store.ReadAsync(
                    session => place.Definitions.BuildAsync(session, state.Machine, [.. state.Disks.Select(disk => disk.Disk)], state.Interfaces, cancellationToken),
                    cancellationToken).ConfigureAwait(false);
                await place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
            },
            (context, cancellationToken) => place.Driver.Domains.UndefineAsync(context.State.Machine.Id, cancellationToken)),
        new(
            "record",
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(CopyMachineState state) => $"vm/{state.Source.Vm}";

    public override string Describe(CopyMachineState state) => $"the copy of VM {state.Source.Name}";

    public override IReadOnlyList<ResourceLock> Locks(CopyMachineState state) =>
    [
        ResourceLock.On(state.Source.Vm), ResourceLock.On(state.Machine.Id), ResourceLock.OnName("vm", state.Machine.Name), ResourceLock.On(state.Storlink, shared: true),
    ];

    public override string Succeeded(CopyMachineState state) => $"VM '{state.Source.Name}' was copied to VM '{state.Machine.Name}'.{state.Source.KeptMessage()}";

    public override string? Remark(CopyMachineState state) => state.Source.Kept is null ? null : state.Source.KeptMessage();

    public override string? Created(CopyMachineState state) => $"vm/{state.Machine.Id}";

    public static async Task<Storlink> FindStorlinkAsync(Workplace place, StorlinkId id, CancellationToken cancellationToken) =>
        await place.Store.ReadAsync(session => session.Storlinks.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("storlink", id.ToString());

    /// <summary>What a copy has of its original. It stands alone: no template, and none of the host's devices.</summary>
    public static VirtualMachine Derive(VirtualMachine copy, VirtualMachine original) => copy with
    {
        Description = original.Description,
        Os = original.Os,
        Architecture = original.Architecture,
        Cpus = original.Cpus,
        Memory = original.Memory,
        MaxMemory = original.MaxMemory,
    };

    // The same switches, with addresses of their own; what address the operator noted is the original's.
    private Task<IReadOnlyList<VmInterface>> NewInterfacesAsync(VmId vm, IReadOnlyList<VmInterface> originals, CancellationToken cancellationToken) => place.Store.ReadAsync(
        async session =>
        {
            var kept = originals.Where(nic => !nic.Retired).OrderBy(nic => nic.Id.Value).ToList();
            var macs = await InterfaceRules.FreshMacsAsync(session, kept.Count, cancellationToken).ConfigureAwait(false);
            List<VmInterface> nics = [];
            foreach (var (index, nic) in kept.Index())
            {
                nics.Add(new VmInterface
                {
                    Id = await session.VmInterfaces.NextIdAsync(cancellationToken).ConfigureAwait(false),
                    Vm = vm,
                    Name = nic.Name,
                    Switch = nic.Switch,
                    Mac = macs[index],
                });
            }

            return (IReadOnlyList<VmInterface>)nics;
        },
        cancellationToken);
}
