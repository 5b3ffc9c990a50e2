using System.Globalization;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class RestoreSnapshotState
{
    public required GuestRef Guest { get; init; }

    public required Snapshot Snapshot { get; init; }

    public required IReadOnlyList<StorlinkId> Storlinks { get; init; }

    /// <summary>The run snapshot before.</summary>
    public Snapshot? Run { get; set; }

    /// <summary>What the machine ran on before; removed, or the <see cref="Kept"/> snapshot's.</summary>
    public IReadOnlyList<Disk> Before { get; set; } = [];

    /// <summary>What it runs on afterwards; none where it stands at the snapshot already.</summary>
    public IReadOnlyList<Disk> Overlays { get; set; } = [];

    /// <summary>The snapshot that what the machine ran on before is kept as.</summary>
    public Snapshot? Kept { get; set; }

    /// <summary>The memory that it goes on with.</summary>
    public Disk? Memory { get; set; }

    /// <summary>Whether it booted after all: it had gone on with its memory before, and ended while nobody watched.</summary>
    public bool HasBooted { get; set; }

    /// <summary>The deleted snapshot that one other is left on then.</summary>
    public IReadOnlyList<SnapshotMerge> Merges { get; set; } = [];
}

/// <summary>A machine goes back to a snapshot, on new overlays of its disks; with <paramref name="starts"/> it is started there, and
/// what it ran on before is kept where anything was written to it.</summary>
internal sealed class RestoreMachineSnapshot(Workplace place, bool starts) : Workflow<RestoreSnapshotState>
{
    private readonly SnapshotMerges _merges = new(place);

    public override string Name => starts ? "vm.snapshot.start" : "vm.snapshot.restore";

    public override bool MovesImages => !starts;

    public override JsonTypeInfo<RestoreSnapshotState> StateType => JournalJson.Default.RestoreSnapshotState;

    public override IReadOnlyList<Step<RestoreSnapshotState>> Steps =>
    [
        new("check machine", CheckAsync),
        new(
            "create overlays",
            (context, cancellationToken) => VolumeSteps.CreateAsync(place, [.. context.State.Overlays.Select(disk => new PlannedDisk(disk, null))], context.Progress, cancellationToken),
            (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Overlays, cancellationToken)),
        new(
            "switch disks",
            (context, cancellationToken) => place.Store.ChangeAsync(session => SwitchAsync(session, context.State, cancellationToken), cancellationToken),
            async (context, cancellationToken) =>
            {
                await place.Store.ChangeAsync(session => SwitchBackAsync(session, context.State, cancellationToken), cancellationToken).ConfigureAwait(false);
                await place.Definitions.SyncAsync(Vm(context.State), cancellationToken).ConfigureAwait(false);
            })
        {
            IsSwitch = !starts,
        },
        new("store configuration", async (context, cancellationToken) =>
        {
            if (starts)
            {
                await place.Recorder.DropRetiredAsync(Vm(context.State), cancellationToken).ConfigureAwait(false);
            }

            await place.Definitions.SyncAsync(Vm(context.State), cancellationToken).ConfigureAwait(false);
        }),
        .. starts ? StartSteps() : [],
        new("merge", async (context, cancellationToken) =>
        {
            foreach (var merge in context.State.Merges)
            {
                await _merges.MoveAsync(Vm(context.State), merge, context.Progress, cancellationToken).ConfigureAwait(false);
            }
        }),
        new("record merge", async (context, cancellationToken) =>
        {
            foreach (var merge in context.State.Merges)
            {
                await _merges.RecordAsync(Vm(context.State), merge, cancellationToken).ConfigureAwait(false);
                await place.Definitions.SyncAsync(Vm(context.State), cancellationToken).ConfigureAwait(false);
            }
        }),
        new("delete images", (context, cancellationToken) => VolumeSteps.DeleteAsync(
            place,
            [.. context.State.Kept is null ? context.State.Before : [], .. context.State.Merges.SelectMany(merge => merge.Images())],
            cancellationToken)),
    ];

    public override string Target(RestoreSnapshotState state) => state.Guest.Target;

    public override string Describe(RestoreSnapshotState state) =>
        $"the {(starts ? "start" : "restore")} of {state.Guest.Called} {(starts ? "with" : "to")} snapshot {state.Snapshot.Name}";

    public override IReadOnlyList<ResourceLock> Locks(RestoreSnapshotState state) => SnapshotRules.Locks(Vm(state), state.Storlinks);

    public override string Succeeded(RestoreSnapshotState state) =>
        $"{state.Guest.Title} was {(starts ? "started with" : "restored to")} snapshot '{state.Snapshot.Name}'{(state.Memory is null ? "" : " and goes on with the memory that it had")}."
        + (state.HasBooted ? " It went on with its memory, ended while the service was away, and has booted since." : "")
        + (state.Kept is { } kept ? $" What it ran on before is kept as snapshot '{kept.Name}'." : string.Concat(Added(state).Select(disk => $" Disk {disk.Order}, which was added since, is deleted.")));

    public override string? Created(RestoreSnapshotState state) => starts ? null : $"{state.Guest.Target}/snapshot/{state.Snapshot.Id}";

    /// <summary>What the machine had that the snapshot does not know.</summary>
    private static IEnumerable<Disk> Added(RestoreSnapshotState state) => state.Before.Where(disk => state.Overlays.All(overlay => overlay.Order != disk.Order));

    private static VmId Vm(RestoreSnapshotState state) => new(state.Guest.Id);

    private IEnumerable<Step<RestoreSnapshotState>> StartSteps() =>
    [
        new(
            "start",
            StartAsync,
            async (context, cancellationToken) =>
            {
                await place.Driver.Domains.DestroyAsync(context.State.Guest.Domain, cancellationToken).ConfigureAwait(false);
                await place.Recorder.RecordAsync(context.State.Guest, null, cancellationToken).ConfigureAwait(false);
            }),
        new("record", (context, cancellationToken) => place.Recorder.RecordAsync(context.State.Guest, null, cancellationToken)) { IsSwitch = true },
    ];

    private async Task CheckAsync(StepContext<RestoreSnapshotState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        if (await place.IsAliveAsync(Vm(state), cancellationToken).ConfigureAwait(false))
        {
            throw new WrongStateException($"{state.Guest.Title} runs; stop it first.");
        }

        await place.EndCrashedAsync(Vm(state), cancellationToken).ConfigureAwait(false);
        var rows = await SnapshotRows.ReadAsync(place, Vm(state), cancellationToken).ConfigureAwait(false);
        var target = rows.Saved(state.Snapshot.Id);
        var run = rows.Run ?? throw new StorageException($"{state.Guest.Title} has snapshots and runs on none of them; nothing was changed.");
        state.Run = run;
        state.Memory = starts ? rows.MemoryOf(target.Id) : null;
        var written = starts && await IsWrittenAsync(rows, cancellationToken).ConfigureAwait(false);
        if (starts && !written && run.Parent == target.Id && StandsOn(rows, target.Id))
        {
            return;
        }

        foreach (var disk in rows.DisksOf(target.Id))
        {
            await SnapshotRules.DemandDepthAsync(place, rows, disk, cancellationToken).ConfigureAwait(false);
            await _merges.DemandChainAsync(rows, disk, cancellationToken).ConfigureAwait(false);
        }

        state.Before = rows.Current;
        state.Overlays = [.. rows.DisksOf(target.Id).Select(disk => SnapshotRules.NewOverlay(
            disk,
            run.Id,
            rows.Current.FirstOrDefault(current => current.Order == disk.Order)?.Storlink is { } storlink && state.Storlinks.Contains(storlink) ? storlink : disk.Storlink,
            context.Now))];
        if (written)
        {
            state.Kept = run with { Id = SnapshotId.New(), Kind = SnapshotKind.Saved, Name = FreeName(rows, context.Now), CreatedAt = context.Now, Revision = 0 };
            return;
        }

        rows.RefuseForeign(rows.Current);
        state.Merges = [.. await _merges.PlanLeftAsync(rows, run, cancellationToken).ConfigureAwait(false)];
    }

    private async Task StartAsync(StepContext<RestoreSnapshotState> context, CancellationToken cancellationToken)
    {
        var (state, domain) = (context.State, context.State.Guest.Domain);
        if (state.Memory is not { } memory)
        {
            await place.Driver.Domains.StartAsync(domain, cancellationToken).ConfigureAwait(false);
            return;
        }

        if (await place.IsAliveAsync(domain, cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        // An interrupted try may have let it run. What it wrote then is kept, and its memory does not fit that: it boots.
        if (await IsWrittenAsync(await SnapshotRows.ReadAsync(place, Vm(state), cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false))
        {
            (state.Memory, state.HasBooted) = (null, true);
            await place.Driver.Domains.StartAsync(domain, cancellationToken).ConfigureAwait(false);
            return;
        }

        var location = await CreateMachineSnapshot.MemoryAsync(place, memory, cancellationToken).ConfigureAwait(false);
        await place.GuestMemory(state.Guest.Name).StartAsync(domain, location, cancellationToken).ConfigureAwait(false);
    }

    private async Task<bool> IsWrittenAsync(SnapshotRows rows, CancellationToken cancellationToken)
    {
        foreach (var disk in rows.Current)
        {
            var layers = (await SnapshotRows.ChainAsync(place, disk, cancellationToken).ConfigureAwait(false)).Layers;
            if (await place.DiskUse.IsWrittenAsync(layers[0], cancellationToken).ConfigureAwait(false))
            {
                return true;
            }
        }

        return false;
    }

    // It may have lost a disk since.
    private static bool StandsOn(SnapshotRows rows, SnapshotId snapshot) =>
        rows.Current.Select(disk => (disk.Order, disk.Backing)).SequenceEqual(rows.DisksOf(snapshot).Select(disk => (disk.Order, (DiskId?)disk.Id)));

    private static string FreeName(SnapshotRows rows, DateTimeOffset now)
    {
        var stem = string.Create(CultureInfo.InvariantCulture, $"kept {now:yyyy-MM-dd HH:mm:ss}");
        var name = stem;
        for (var number = 2; rows.Snapshots.Any(snapshot => snapshot.Name == name); number++)
        {
            name = string.Create(CultureInfo.InvariantCulture, $"{stem} ({number})");
        }

        return name;
    }

    private static async Task SwitchAsync(IStoreSession session, RestoreSnapshotState state, CancellationToken cancellationToken)
    {
        if (state.Overlays.Count == 0 || await session.Disks.FindAsync(state.Overlays[0].Id, cancellationToken).ConfigureAwait(false) is not null)
        {
            return;
        }

        var run = await session.Snapshots.FindAsync(state.Run!.Id, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("snapshot", state.Run.Id.ToString());
        if (state.Kept is { } kept)
        {
            session.Snapshots.Add(kept);
        }

        session.Snapshots.Update(run with { Parent = state.Snapshot.Id });
        foreach (var disk in await session.Disks.ListByOwnerAsync(DiskOwner.Of(run.Id), cancellationToken).ConfigureAwait(false))
        {
            if (state.Kept is null)
            {
                session.Disks.Delete(disk);
            }
            else
            {
                session.Disks.Update(disk with { Owner = DiskOwner.Of(state.Kept.Id) });
            }
        }

        foreach (var overlay in state.Overlays)
        {
            session.Disks.Add(overlay);
        }
    }

    private static async Task SwitchBackAsync(IStoreSession session, RestoreSnapshotState state, CancellationToken cancellationToken)
    {
        if (state.Overlays.Count == 0
            || await session.Disks.FindAsync(state.Overlays[0].Id, cancellationToken).ConfigureAwait(false) is null
            || await session.Snapshots.FindAsync(state.Run!.Id, cancellationToken).ConfigureAwait(false) is not { } run)
        {
            return;
        }

        foreach (var disk in await session.Disks.ListByOwnerAsync(DiskOwner.Of(run.Id), cancellationToken).ConfigureAwait(false))
        {
            session.Disks.Delete(disk);
        }

        foreach (var disk in state.Before)
        {
            if (await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false) is { } row)
            {
                session.Disks.Update(row with { Owner = disk.Owner });
            }
            else
            {
                session.Disks.Add(disk with { Revision = 0 });
            }
        }

        session.Snapshots.Update(run with { Parent = state.Run.Parent });
        if (state.Kept is not null && await session.Snapshots.FindAsync(state.Kept.Id, cancellationToken).ConfigureAwait(false) is { } kept)
        {
            session.Snapshots.Delete(kept);
        }
    }
}
