using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class CreateSnapshotState
{
    public required VmId Vm { get; init; }

    public required string VmName { get; init; }

    /// <summary>The snapshot's row; its parent and date are settled while the machine is held.</summary>
    public required Snapshot Snapshot { get; set; }

    public required StorlinkId Storlink { get; init; }

    /// <summary>The run snapshot as it shall be.</summary>
    public Snapshot? Run { get; set; }

    /// <summary>What the machine shall run on.</summary>
    public IReadOnlyList<Disk> Overlays { get; set; } = [];

    /// <summary>Whether the guest's memory shall be kept, too.</summary>
    public bool WithMemory { get; init; }

    /// <summary>What takes it.</summary>
    public Disk? Memory { get; set; }

    /// <summary>Whether the guest's file systems shall be frozen for the instant.</summary>
    public bool Quiesce { get; init; }

    /// <summary>Whether they were; <see langword="null"/> where there was nothing to freeze.</summary>
    public bool? Quiesced { get; set; }

    /// <summary>The storage links of the disks when the operation was accepted.</summary>
    public required IReadOnlyList<StorlinkId> Storlinks { get; init; }
}

/// <summary>A snapshot: the disks are frozen at one instant, and the machine runs on overlays from then on.</summary>
internal sealed class CreateMachineSnapshot(Workplace place) : Workflow<CreateSnapshotState>
{
    private readonly SnapshotMerges _merges = new(place);

    public override string Name => "vm.snapshot.create";

    public override JsonTypeInfo<CreateSnapshotState> StateType => JournalJson.Default.CreateSnapshotState;

    public override IReadOnlyList<Step<CreateSnapshotState>> Steps =>
    [
        new("check machine", async (context, cancellationToken) =>
        {
            var state = context.State;
            var rows = await SnapshotRows.ReadAsync(place, state.Vm, cancellationToken).ConfigureAwait(false);
            state.Memory = state.WithMemory ? await PlanMemoryAsync(place, rows.Machine, state.Snapshot.Id, state.Storlink, cancellationToken).ConfigureAwait(false) : null;
            await SnapshotRules.DemandRoomAsync(place, rows, state.Snapshot.Name, state.Storlink, state.Memory?.Size ?? DataSize.Zero, cancellationToken).ConfigureAwait(false);
            foreach (var disk in rows.Current)
            {
                await _merges.DemandChainAsync(rows, disk, cancellationToken).ConfigureAwait(false);
            }

            await _merges.DemandLiveChainsAsync(rows, cancellationToken).ConfigureAwait(false);
            state.Snapshot = state.Snapshot with { Parent = rows.Run?.Parent };
            state.Run = (rows.Run ?? SnapshotRules.NewRun(state.Vm, context.Now)) with { Parent = state.Snapshot.Id };
            state.Overlays = [.. rows.Current.Select(disk => SnapshotRules.NewOverlay(disk, state.Run.Id, state.Storlink, context.Now))];
        }),
        new(
            "create overlays",
            (context, cancellationToken) => VolumeSteps.CreateAsync(place, [.. Volumes(context.State).Select(disk => new PlannedDisk(disk, null))], context.Progress, cancellationToken),
            (context, cancellationToken) => VolumeSteps.DeleteAsync(place, Volumes(context.State), cancellationToken)),
        new("freeze disks", FreezeAsync, ThawAsync) { IsSwitch = true },
        new("record", (context, cancellationToken) => place.Store.ChangeAsync(session => RecordAsync(session, context.State, cancellationToken), cancellationToken)),
        new("store configuration", (context, cancellationToken) => place.Definitions.SyncAsync(context.State.Vm, cancellationToken)),
    ];

    public override string Target(CreateSnapshotState state) => $"vm/{state.Vm}";

    public override string Describe(CreateSnapshotState state) => $"the creation of snapshot {state.Snapshot.Name} of VM {state.VmName}";

    public override IReadOnlyList<ResourceLock> Locks(CreateSnapshotState state) => SnapshotRules.Locks(state.Vm, [.. state.Storlinks, state.Storlink]);

    public override string Succeeded(CreateSnapshotState state) => $"Snapshot '{state.Snapshot.Name}' of VM '{state.VmName}' was created{(state.WithMemory ? " with the guest's memory" : "")}." + state.Quiesced switch
    {
        true => " The guest's file systems were frozen for it.",
        false => " The guest's file systems were not frozen for it, as far as is known: no agent in the guest answered, or the service stopped meanwhile.",
        null => "",
    };

    public override string? Created(CreateSnapshotState state) => $"vm/{state.Vm}/snapshot/{state.Snapshot.Id}";

    /// <summary>Finds out whether a machine's memory can be kept, and how much it takes.</summary>
    public static async Task<Disk> PlanMemoryAsync(Workplace place, VirtualMachine machine, SnapshotId snapshot, StorlinkId storlink, CancellationToken cancellationToken)
    {
        var status = await place.Driver.Domains.FindAsync(machine.Id, cancellationToken).ConfigureAwait(false);
        if (status is not { State: VmState.Running })
        {
            throw new WrongStateException($"VM '{machine.Name}' is {(status?.State ?? VmState.Shutdown).ToString().ToUpperInvariant()}; the memory of one that runs can be kept, and of no other.");
        }

        var target = await CopyMachine.FindStorlinkAsync(place, storlink, cancellationToken).ConfigureAwait(false);
        if (target.Level == StorlinkLevel.Object)
        {
            throw new InvalidFieldException("storlink", storlink.ToString(), "memory is kept in a directory or a volume group, on a storage link of level FL or BL");
        }

        await place.GuestMemory(machine.Name).CheckSaveAsync(machine.Id, cancellationToken).ConfigureAwait(false);
        return SnapshotRules.NewMemory(snapshot, status.Memory, machine.MaxMemory > status.Memory ? machine.MaxMemory : status.Memory, storlink, place.Now);
    }

    private static IEnumerable<Disk> Volumes(CreateSnapshotState state) => state.Memory is { } memory ? [.. state.Overlays, memory] : state.Overlays;

    /// <summary>The disks as they are by the rows, and as they shall be.</summary>
    private Task<List<DiskReplacement>> ReplacementsAsync(CreateSnapshotState state, CancellationToken cancellationToken) => place.Store.ReadAsync(
        async session =>
        {
            List<DiskReplacement> disks = [];
            foreach (var overlay in state.Overlays)
            {
                var after = await place.Definitions.BuildDiskAsync(session, overlay, cancellationToken).ConfigureAwait(false);
                disks.Add(new(after with { Id = overlay.Backing!.Value, Layers = [.. after.Layers.Skip(1)] }, after));
            }

            return disks;
        },
        cancellationToken);

    // The instant. Run again after a crash it finds the overlays in use, or puts them to use; either way what the guest wrote stays.
    private async Task FreezeAsync(StepContext<CreateSnapshotState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        state.Snapshot = state.Snapshot with { CreatedAt = context.Now };
        var disks = await ReplacementsAsync(state, cancellationToken).ConfigureAwait(false);
        if (state.Memory is { } memory)
        {
            // One that has ended meanwhile has no memory any more: then there is no such snapshot.
            await place.Definitions.EnsureAsync(state.Vm, cancellationToken).ConfigureAwait(false);
            var location = await MemoryAsync(place, memory, cancellationToken).ConfigureAwait(false);
            await place.GuestMemory(state.VmName).SaveAsync(state.Vm, location, disks, context.Progress, cancellationToken).ConfigureAwait(false);
            return;
        }

        if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
        {
            try
            {
                await place.Definitions.EnsureAsync(state.Vm, cancellationToken).ConfigureAwait(false);
                var frozen = await place.LiveDisks(state.VmName).OverlayAsync(state.Vm, disks, state.Quiesce, cancellationToken).ConfigureAwait(false);
                state.Quiesced = state.Quiesce ? frozen : null;
                return;
            }
            catch (Exception error) when (error is WrongStateException or HypervisorException)
            {
                if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
                {
                    throw;
                }
            }
        }

        // It does not run, or no longer: its next start is on the overlays.
        await DefineAsync(state, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Where a guest's memory lies.</summary>
    public static async Task<DiskLocation> MemoryAsync(Workplace place, Disk memory, CancellationToken cancellationToken)
    {
        var storlink = await CopyMachine.FindStorlinkAsync(place, memory.Storlink, cancellationToken).ConfigureAwait(false);
        return (await place.Storage.LayerAsync(storlink, memory, cancellationToken).ConfigureAwait(false)).Location;
    }

    private async Task ThawAsync(StepContext<CreateSnapshotState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        var disks = await ReplacementsAsync(state, cancellationToken).ConfigureAwait(false);
        if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
        {
            var live = place.LiveDisks(state.VmName);
            foreach (var disk in disks)
            {
                var real = (await live.ReadAsync(state.Vm, cancellationToken).ConfigureAwait(false)).FirstOrDefault(one => one.Vdev == disk.After.Vdev);
                if (real?.Layers[0] == disk.After.Layers[0])
                {
                    await live.CommitAsync(state.Vm, new(disk.After, disk.Before), progress: context.Progress, cancellationToken: cancellationToken).ConfigureAwait(false);
                }
            }
        }
        else if (await place.Driver.Domains.FindDefinitionAsync(state.Vm, cancellationToken).ConfigureAwait(false) is { } stored)
        {
            // A guest that ended meanwhile may have written to them.
            await place.EndCrashedAsync(state.Vm, cancellationToken).ConfigureAwait(false);
            foreach (var disk in disks.Where(disk => stored.Disks.Any(one => one.Layers[0] == disk.After.Layers[0])))
            {
                await place.Chains.CommitAsync([disk.After.Layers[0], disk.Before.Layers[0]], context.Progress, cancellationToken).ConfigureAwait(false);
            }
        }

        await place.Definitions.SyncAsync(state.Vm, cancellationToken).ConfigureAwait(false);
    }

    private async Task DefineAsync(CreateSnapshotState state, CancellationToken cancellationToken)
    {
        var definition = await place.Store.ReadAsync(
            async session =>
            {
                var rows = await MachineRows.FindAsync(session, state.Vm, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("VM", state.Vm.ToString());
                return await place.Definitions.BuildAsync(session, rows with { Disks = state.Overlays }, cancellationToken).ConfigureAwait(false);
            },
            cancellationToken).ConfigureAwait(false);
        await place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
    }

    private static async Task RecordAsync(IStoreSession session, CreateSnapshotState state, CancellationToken cancellationToken)
    {
        if (await SnapshotRows.FindAsync(session, state.Vm, cancellationToken).ConfigureAwait(false) is not { } rows
            || rows.Snapshots.Any(snapshot => snapshot.Id == state.Snapshot.Id))
        {
            return;
        }

        session.Snapshots.Add(state.Snapshot with { Revision = 0 });
        if (rows.Run is { } run)
        {
            session.Snapshots.Update(run with { Parent = state.Snapshot.Id });
        }
        else
        {
            session.Snapshots.Add(state.Run! with { Revision = 0 });
        }

        foreach (var disk in rows.Current)
        {
            session.Disks.Update(disk with { Owner = DiskOwner.Of(state.Snapshot.Id) });
        }

        foreach (var made in Volumes(state))
        {
            session.Disks.Add(made with { Revision = 0 });
        }
    }
}
