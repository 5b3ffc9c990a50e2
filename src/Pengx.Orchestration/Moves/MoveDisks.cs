using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class MoveDisksState
{
    public required VmId Vm { get; init; }

    public required string VmName { get; init; }

    public required StorlinkId Storlink { get; init; }

    /// <summary>Where its disks and those of its snapshots lie.</summary>
    public IReadOnlyList<StorlinkId> Sources { get; set; } = [];

    /// <summary>Each disk, and what it becomes: for a running guest first an overlay upon it.</summary>
    public IReadOnlyList<FrozenDisk> Disks { get; set; } = [];

    /// <summary>All the machine's disks that go, those of its snapshots included; overlays before what they lie on.</summary>
    public IReadOnlyList<Disk> Old { get; set; } = [];

    public IReadOnlyList<Snapshot> Snapshots { get; set; } = [];

    public DateTimeOffset MovedAt { get; set; }

    /// <summary>Whether the guest runs on overlays at the target.</summary>
    public bool Overlaid { get; set; }

    /// <summary>The disks that stood alone at the target when the operation was undone, and stay there.</summary>
    public IReadOnlyList<DiskId> Stayed { get; set; } = [];
}

/// <summary>Moves all disks of a machine to another storage link. Of a running guest: overlays at the target, all at one instant, which
/// then pull in everything beneath them until they stand alone; of a stopped one: copies. The snapshots go, as the reference says.</summary>
internal sealed class MoveDisks(Workplace place) : Workflow<MoveDisksState>
{
    public override string Name => "vm.smigrate";

    public override bool MovesImages => true;

    public override JsonTypeInfo<MoveDisksState> StateType => JournalJson.Default.MoveDisksState;

    public override IReadOnlyList<Step<MoveDisksState>> Steps =>
    [
        new("look at the machine", LookAsync),
        new("put overlays at the target", OverlayAsync, BackAsync),
        new(
            "move disks",
            (context, cancellationToken) => context.State.Overlaid ? PullAsync(context, cancellationToken) : CopyAsync(context, cancellationToken)),
        new("verify", (context, cancellationToken) => VerifyAsync(context.State, cancellationToken)),
        new("store configuration", (context, cancellationToken) => DefineAsync(context.State, cancellationToken)),
        new("record", (context, cancellationToken) => SwitchAsync(context.State, cancellationToken)) { IsSwitch = true },
        new("delete old disks", (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Old, cancellationToken)),
    ];

    public override string Target(MoveDisksState state) => $"vm/{state.Vm}";

    public override string Describe(MoveDisksState state) => $"the storage migration of VM {state.VmName}";

    public override IReadOnlyList<ResourceLock> Locks(MoveDisksState state) => [ResourceLock.On(state.Vm), .. state.Sources.Append(state.Storlink).Distinct().Select(storlink => ResourceLock.On(storlink, shared: true))];

    public override string Succeeded(MoveDisksState state)
    {
        var saved = state.Snapshots.Where(snapshot => snapshot.IsListed).Select(snapshot => $"'{snapshot.Name}' ({snapshot.Id})").ToList();
        return $"The disks of VM '{state.VmName}' were moved to storlink {state.Storlink}.{(saved.Count == 0 ? "" : $" Its snapshots were removed: {string.Join(", ", saved)}.")}";
    }

    public override string? Remark(MoveDisksState state) => state.Stayed.Count == 0
        ? null
        : $"What had been moved by then stays on storlink {state.Storlink}: disk {string.Join(", ", state.Stayed)}. Nothing was lost; {(state.Stayed.Count == state.Old.Count ? "nothing is left to move" : "migrate again to move the rest")}.";

    public override string? Created(MoveDisksState state) => $"vm/{state.Vm}";

    /// <summary>Everything of a machine that a move takes away; refused while another needs it.</summary>
    public static async Task<(MachineRows Rows, IReadOnlyList<Disk> Old)> ReadAsync(IStoreSession session, VmId vm, StorlinkId target, CancellationToken cancellationToken)
    {
        var rows = await MachineRows.FindAsync(session, vm, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("VM", vm.ToString());
        HashSet<DiskOwner> owners = [.. MachineRows.OwnersOf(vm, rows.Snapshots)];
        List<Disk> old = [];
        foreach (var owner in owners)
        {
            old.AddRange(await session.Disks.ListByOwnerAsync(owner, cancellationToken).ConfigureAwait(false));
        }

        if (rows.Disks.Count == 0 || old.All(disk => disk.Storlink == target && disk.Backing is null))
        {
            throw new WrongStateException($"The disks of VM '{rows.Machine.Name}' lie on storlink {target} already.");
        }

        foreach (var disk in old)
        {
            var overlays = await session.Disks.ListByBackingAsync(disk.Id, cancellationToken).ConfigureAwait(false);
            if (overlays.FirstOrDefault(overlay => !owners.Contains(overlay.Owner)) is { } foreign)
            {
                throw new InUseException($"Disk {disk.Id} of VM '{rows.Machine.Name}' is what disk {foreign.Id} of {foreign.Owner.Kind} {foreign.Owner.Id:D} lies on; it cannot go.");
            }
        }

        return (rows, DeleteMachine.TopFirst(old));
    }

    private async Task LookAsync(StepContext<MoveDisksState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        var (rows, old) = await place.Store.ReadAsync(session => ReadAsync(session, state.Vm, state.Storlink, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (state.Sources.Count > 0 && old.FirstOrDefault(disk => !state.Sources.Contains(disk.Storlink)) is { } added)
        {
            throw new ConcurrencyException($"VM '{state.VmName}' got disk {added.Id} on storlink {added.Storlink} meanwhile; try again.");
        }

        var storlink = await CopyMachine.FindStorlinkAsync(place, state.Storlink, cancellationToken).ConfigureAwait(false);
        await Freezing.DemandAsync(place, state.Vm, state.VmName, cancellationToken).ConfigureAwait(false);
        var alive = await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false);
        await place.EndCrashedAsync(state.Vm, cancellationToken).ConfigureAwait(false);

        state.MovedAt = context.Now;
        state.Old = old;
        state.Snapshots = rows.Snapshots;
        state.Disks =
        [
            .. rows.Disks.OrderBy(disk => disk.Order).Select(disk => new FrozenDisk(disk, new Disk
            {
                Id = DiskId.New(),
                Owner = DiskOwner.Of(state.Vm),
                Order = disk.Order,
                Size = disk.Size,

                // Only a qcow2 image can take a running guest's writes while what lies beneath it is still being pulled in.
                Format = alive ? DiskFormat.Qcow2 : VolumeSteps.FormatOn(storlink, disk.Format),
                Storlink = storlink.Id,
                Type = disk.Type,
                Description = disk.Description,
                CreatedAt = context.Now,
            })),
        ];
        await DemandSpaceAsync(storlink, state, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Refuses a target that cannot hold the disks flattened: for each at most what its layers take, and at most its size.</summary>
    private async Task DemandSpaceAsync(Storlink target, MoveDisksState state, CancellationToken cancellationToken)
    {
        var needed = 0L;
        foreach (var (disk, _) in state.Disks)
        {
            var taken = 0L;
            for (Disk? layer = disk; layer is not null;)
            {
                var storlink = await CopyMachine.FindStorlinkAsync(place, layer.Storlink, cancellationToken).ConfigureAwait(false);
                var volume = await place.Storage.Get(storlink).FindAsync(storlink, layer.Id, layer.Format, cancellationToken).ConfigureAwait(false)
                    ?? throw new StorageException($"There is no image {layer.Id} on storlink '{storlink.Name}'.");
                taken += volume.Allocated.Bytes;
                layer = layer.Backing is { } backing
                    ? await place.Store.ReadAsync(session => session.Disks.FindAsync(backing, cancellationToken), cancellationToken).ConfigureAwait(false)
                    : null;
            }

            needed += Math.Min(taken, disk.Size.Bytes);
        }

        var free = (await place.Storage.Get(target).MeasureAsync(target, cancellationToken).ConfigureAwait(false)).Free;
        if (needed > free.Bytes)
        {
            throw new InsufficientResourceException($"The disks of VM '{state.VmName}' take {new DataSize(needed).MiBCeiling} MiB flattened; {free.MiB} MiB are free on storlink '{target.Name}'.");
        }
    }

    private async Task OverlayAsync(StepContext<MoveDisksState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false) && state.Disks.All(disk => disk.Overlay.Format == DiskFormat.Qcow2))
        {
            await VolumeSteps.CreateAsync(
                place, [.. state.Disks.Select(disk => new PlannedDisk(disk.Overlay with { Backing = disk.Disk.Id }, null))], NoProgress.Instance, cancellationToken).ConfigureAwait(false);
            try
            {
                // Nobody keeps what lies beneath, so the guest need not be quiesced for it.
                await Freezing.OverlayAsync(place, state.Vm, state.Disks, quiesce: false, cancellationToken).ConfigureAwait(false);
                state.Overlaid = true;
                return;
            }
            catch (WrongStateException)
            {
                if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
                {
                    throw;
                }
            }
        }

        // What a first run of this step left of a guest that has ended since.
        await BackAsync(context, cancellationToken).ConfigureAwait(false);
    }

    private Task CopyAsync(StepContext<MoveDisksState> context, CancellationToken cancellationToken) =>
        VolumeSteps.CreateAsync(place, [.. context.State.Disks.Select(disk => new PlannedDisk(disk.Overlay, disk.Disk.Id))], context.Progress, cancellationToken);

    private async Task PullAsync(StepContext<MoveDisksState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        LiveDiskLimits limits = new() { BytesPerSecond = place.Options.CopyBytesPerSecond };
        foreach (var (share, disk) in ProgressShare.Of(context.Progress, state.Disks, disk => disk.Disk.Size))
        {
            var (_, with) = await Freezing.SidesAsync(place, disk, cancellationToken).ConfigureAwait(false);
            if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false) && place.Driver.TryGetFeature<ILiveDisks>(out var live))
            {
                try
                {
                    await live.StreamAsync(state.Vm, new(with, Alone(with)), limits, share, cancellationToken).ConfigureAwait(false);
                    continue;
                }
                catch (Exception error) when (error is WrongStateException or HypervisorException)
                {
                    if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
                    {
                        throw;
                    }
                }
            }

            await place.EndCrashedAsync(state.Vm, cancellationToken).ConfigureAwait(false);
            await place.Chains.StreamAsync(with.Layers[0], null, share, cancellationToken).ConfigureAwait(false);
        }
    }

    private static DomainDisk Alone(DomainDisk disk) => disk with { Layers = [disk.Layers[0]] };

    private async Task VerifyAsync(MoveDisksState state, CancellationToken cancellationToken)
    {
        if (!state.Overlaid)
        {
            return;
        }

        var alive = await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false);
        var real = alive && place.Driver.TryGetFeature<ILiveDisks>(out var live) ? await live.ReadAsync(state.Vm, cancellationToken).ConfigureAwait(false) : null;
        foreach (var disk in state.Disks)
        {
            var (_, with) = await Freezing.SidesAsync(place, disk, cancellationToken).ConfigureAwait(false);
            var layers = real is null
                ? await place.Chains.ReadAsync(with.Layers[0], cancellationToken).ConfigureAwait(false)
                : real.FirstOrDefault(shown => shown.Vdev == with.Vdev)?.Layers ?? [];
            if (layers.Count != 1 || layers[0] != with.Layers[0])
            {
                throw new HypervisorException($"Disk {disk.Overlay.Id} of VM '{state.VmName}' does not stand alone at its new place: {string.Join(", ", layers.Select(layer => layer.Location))}.");
            }
        }
    }

    private async Task DefineAsync(MoveDisksState state, CancellationToken cancellationToken)
    {
        var definition = await place.Store.ReadAsync(
            async session => await place.Definitions.BuildAsync(
                session,
                (await MachineRows.FindAsync(session, state.Vm, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("VM", state.Vm.ToString()))
                    with { Disks = [.. state.Disks.Select(disk => disk.Overlay)] },
                cancellationToken).ConfigureAwait(false),
            cancellationToken).ConfigureAwait(false);
        await place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
    }

    private Task SwitchAsync(MoveDisksState state, CancellationToken cancellationToken) => place.Store.ChangeAsync(
        async session =>
        {
            foreach (var disk in state.Old)
            {
                if (await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.Disks.Delete(row);
                }
            }

            foreach (var snapshot in state.Snapshots)
            {
                if (await session.Snapshots.FindAsync(snapshot.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.Snapshots.Delete(row);
                }
            }

            foreach (var (_, moved) in state.Disks)
            {
                if (await session.Disks.FindAsync(moved.Id, cancellationToken).ConfigureAwait(false) is null)
                {
                    session.Disks.Add(moved);
                }
            }

            if (await session.VirtualMachines.FindAsync(state.Vm, cancellationToken).ConfigureAwait(false) is { } machine && machine.CreatedAt != state.MovedAt)
            {
                session.VirtualMachines.Update(machine with { CreatedAt = state.MovedAt, UpdatedAt = state.MovedAt });
            }
        },
        cancellationToken);

    /// <summary>Merges the overlays back and removes what was made. A disk that stands alone at the target already has nothing to be
    /// merged into any more: it stays there, and the rows say so.</summary>
    private async Task BackAsync(StepContext<MoveDisksState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        List<FrozenDisk> made = [];
        foreach (var disk in state.Disks)
        {
            if (await Freezing.ExistsAsync(place, disk.Overlay, cancellationToken).ConfigureAwait(false))
            {
                made.Add(disk);
            }
        }

        List<FrozenDisk> stayed = [];
        foreach (var (share, disk) in ProgressShare.Of(context.Progress, made, disk => disk.Disk.Size))
        {
            if (await StandsAloneAsync(state, disk, cancellationToken).ConfigureAwait(false))
            {
                stayed.Add(disk);
            }
            else if (await IsOverlayAsync(state, disk, cancellationToken).ConfigureAwait(false))
            {
                await Freezing.MergeAsync(place, state.Vm, disk, share, cancellationToken).ConfigureAwait(false);
            }
        }

        await RecordStayedAsync(state, stayed, cancellationToken).ConfigureAwait(false);
        await place.Definitions.SyncAsync(state.Vm, cancellationToken).ConfigureAwait(false);
        await VolumeSteps.DeleteAsync(place, state.Disks.Except(stayed).Select(disk => disk.Overlay), cancellationToken).ConfigureAwait(false);
        await VolumeSteps.DeleteAsync(place, stayed.Select(disk => disk.Disk), cancellationToken).ConfigureAwait(false);
        state.Stayed = [.. stayed.Select(disk => disk.Overlay.Id)];
    }

    /// <summary>Whether the guest's disk is the image at the target alone. A copy made at rest is not: the disk is still the old one.</summary>
    private async Task<bool> StandsAloneAsync(MoveDisksState state, FrozenDisk disk, CancellationToken cancellationToken)
    {
        if (!state.Overlaid)
        {
            return false;
        }

        // The rows of a first run of this undo; the disk beneath may be gone.
        if (await place.Store.ReadAsync(session => session.Disks.FindAsync(disk.Overlay.Id, cancellationToken), cancellationToken).ConfigureAwait(false) is not null)
        {
            return true;
        }

        var (_, with) = await Freezing.SidesAsync(place, disk, cancellationToken).ConfigureAwait(false);
        if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false) && place.Driver.TryGetFeature<ILiveDisks>(out var live))
        {
            return (await live.ReadAsync(state.Vm, cancellationToken).ConfigureAwait(false)).FirstOrDefault(shown => shown.Vdev == with.Vdev)?.Layers is [var only] && only == with.Layers[0];
        }

        return await Freezing.IsTopAsync(place, state.Vm, with, cancellationToken).ConfigureAwait(false)
            && await place.Chains.ReadAsync(with.Layers[0], cancellationToken).ConfigureAwait(false) is [_];
    }

    /// <summary>Whether the image at the target may be an overlay with writes of the guest: not where it is a copy made at rest.</summary>
    private async Task<bool> IsOverlayAsync(MoveDisksState state, FrozenDisk disk, CancellationToken cancellationToken)
    {
        if (state.Overlaid || await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
        {
            return true;
        }

        var storlink = await CopyMachine.FindStorlinkAsync(place, disk.Overlay.Storlink, cancellationToken).ConfigureAwait(false);
        var layer = await place.Storage.LayerAsync(storlink, disk.Overlay, cancellationToken).ConfigureAwait(false);
        return disk.Overlay.Format == DiskFormat.Qcow2 && (await place.Chains.ReadAsync(layer, cancellationToken).ConfigureAwait(false)).Count > 1;
    }

    private Task RecordStayedAsync(MoveDisksState state, List<FrozenDisk> stayed, CancellationToken cancellationToken) => place.Store.ChangeAsync(
        async session =>
        {
            foreach (var (old, moved) in stayed)
            {
                if (await session.Disks.FindAsync(moved.Id, cancellationToken).ConfigureAwait(false) is null)
                {
                    session.Disks.Add(moved with { Owner = old.Owner });
                }

                if (await session.Disks.FindAsync(old.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.Disks.Delete(row);
                }
            }
        },
        cancellationToken);
}
