using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class DeleteMachineState
{
    public required VirtualMachine Machine { get; init; }

    /// <summary>All its disks, those of its snapshots included; overlays before what they lie on.</summary>
    public required IReadOnlyList<Disk> Disks { get; init; }

    public required IReadOnlyList<VmInterface> Interfaces { get; init; }

    public required IReadOnlyList<Snapshot> Snapshots { get; init; }

    public RowSet Rows() => new() { Machine = Machine, Disks = Disks, Interfaces = Interfaces, Snapshots = Snapshots };
}

internal sealed class DeleteMachine(Workplace place) : Workflow<DeleteMachineState>
{
    public override string Name => "vm.delete";

    public override bool MovesImages => true;

    public override JsonTypeInfo<DeleteMachineState> StateType => JournalJson.Default.DeleteMachineState;

    public override IReadOnlyList<Step<DeleteMachineState>> Steps =>
    [
        new("check state", async (context, cancellationToken) =>
        {
            if (await place.IsAliveAsync(context.State.Machine.Id, cancellationToken).ConfigureAwait(false))
            {
                throw new WrongStateException($"VM '{context.State.Machine.Name}' runs; stop it first.");
            }

            // The rows were read before the machine was held: what came since must not be orphaned.
            var now = await place.Store.ReadAsync(session => ReadAsync(session, context.State.Machine.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
            context.State = now ?? throw new NotFoundException("VM", context.State.Machine.Id.ToString());
        }),
        new(
            "remove rows",
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
        new("remove configuration", async (context, cancellationToken) =>
        {
            await place.Driver.Domains.DestroyAsync(context.State.Machine.Id, cancellationToken).ConfigureAwait(false);
            await place.Driver.Domains.UndefineAsync(context.State.Machine.Id, cancellationToken).ConfigureAwait(false);
        }),
        new("delete disks", (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Disks, cancellationToken)),
    ];

    public static async Task<DeleteMachineState?> ReadAsync(IStoreSession session, VmId id, CancellationToken cancellationToken)
    {
        if (await MachineRows.FindAsync(session, id, cancellationToken).ConfigureAwait(false) is not { } rows)
        {
            return null;
        }

        if (await session.Backups.ListByVmAsync(id, cancellationToken).ConfigureAwait(false) is { Count: > 0 } backups)
        {
            throw new InUseException($"VM '{rows.Machine.Name}' has {backups.Count} backup{(backups.Count == 1 ? "" : "s")}; delete them first.");
        }

        HashSet<DiskOwner> owners = [.. MachineRows.OwnersOf(id, rows.Snapshots)];
        List<Disk> disks = [];
        foreach (var owner in owners)
        {
            disks.AddRange(await session.Disks.ListByOwnerAsync(owner, cancellationToken).ConfigureAwait(false));
        }

        foreach (var disk in disks)
        {
            var overlays = await session.Disks.ListByBackingAsync(disk.Id, cancellationToken).ConfigureAwait(false);
            if (overlays.FirstOrDefault(overlay => !owners.Contains(overlay.Owner)) is { } foreign)
            {
                throw new InUseException($"Disk {disk.Id} of VM '{rows.Machine.Name}' is what disk {foreign.Id} of {foreign.Owner.Kind} {foreign.Owner.Id:D} lies on.");
            }
        }

        return new DeleteMachineState { Machine = rows.Machine, Disks = TopFirst(disks), Interfaces = rows.Interfaces, Snapshots = rows.Snapshots };
    }

    public override string Target(DeleteMachineState state) => $"vm/{state.Machine.Id}";

    public override string Describe(DeleteMachineState state) => $"the deletion of VM {state.Machine.Name}";

    public override IReadOnlyList<ResourceLock> Locks(DeleteMachineState state) =>
        [ResourceLock.On(state.Machine.Id), .. state.Disks.Select(disk => ResourceLock.On(disk.Storlink, shared: true)).Distinct()];

    public override string Succeeded(DeleteMachineState state) => $"VM '{state.Machine.Name}' was deleted.";

    /// <summary>Overlays before what they lie on.</summary>
    public static List<Disk> TopFirst(IEnumerable<Disk> disks)
    {
        var rest = disks.ToDictionary(disk => disk.Id);
        List<Disk> ordered = [];
        while (rest.Count > 0)
        {
            var beneath = rest.Values.Select(disk => disk.Backing).OfType<DiskId>().ToHashSet();
            var tops = rest.Values.Where(disk => !beneath.Contains(disk.Id)).ToList();
            foreach (var top in tops.Count > 0 ? tops : [.. rest.Values])
            {
                ordered.Add(top);
                rest.Remove(top.Id);
            }
        }

        return ordered;
    }
}
