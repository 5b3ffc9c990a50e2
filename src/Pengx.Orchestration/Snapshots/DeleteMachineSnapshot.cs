using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class DeleteSnapshotState
{
    public required VmId Vm { get; init; }

    public required string VmName { get; init; }

    public required Snapshot Snapshot { get; init; }

    public required IReadOnlyList<StorlinkId> Storlinks { get; init; }

    /// <summary>The snapshots that go, in order; none while several others lie on it.</summary>
    public IReadOnlyList<SnapshotMerge> Merges { get; set; } = [];

    /// <summary>The memory that was kept with it, where it is hidden for the time being: nothing lies on that.</summary>
    public Disk? Memory { get; set; }
}

/// <summary>A snapshot goes: hidden first, so that nobody relies on it any more, then merged where one other lies on it.</summary>
internal sealed class DeleteMachineSnapshot(Workplace place) : Workflow<DeleteSnapshotState>
{
    private readonly SnapshotMerges _merges = new(place);

    public override string Name => "vm.snapshot.delete";

    public override bool MovesImages => true;

    public override JsonTypeInfo<DeleteSnapshotState> StateType => JournalJson.Default.DeleteSnapshotState;

    public override IReadOnlyList<Step<DeleteSnapshotState>> Steps =>
    [
        new("check chains", (context, cancellationToken) => PlanAsync(context.State, cancellationToken)),
        new(
            "hide",
            (context, cancellationToken) => place.Store.ChangeSnapshotAsync(context.State.Snapshot.Id, row => row with { Kind = SnapshotKind.Deleted }, cancellationToken),
            (context, cancellationToken) => place.Store.ChangeSnapshotAsync(context.State.Snapshot.Id, row => row with { Kind = context.State.Snapshot.Kind }, cancellationToken))
        {
            IsSwitch = true,
        },
        new("merge", (context, cancellationToken) => EachAsync(context.State, merge => _merges.MoveAsync(context.State.Vm, merge, context.Progress, cancellationToken))),
        new("record", async (context, cancellationToken) =>
        {
            await EachAsync(context.State, merge => _merges.RecordAsync(context.State.Vm, merge, cancellationToken)).ConfigureAwait(false);
            await place.Store.ChangeAsync(
                async session =>
                {
                    if (context.State.Memory is { } memory && await session.Disks.FindAsync(memory.Id, cancellationToken).ConfigureAwait(false) is { } row)
                    {
                        session.Disks.Delete(row);
                    }
                },
                cancellationToken).ConfigureAwait(false);
            await place.Definitions.SyncAsync(context.State.Vm, cancellationToken).ConfigureAwait(false);
        }),
        new("delete images", (context, cancellationToken) => VolumeSteps.DeleteAsync(
            place, [.. context.State.Merges.SelectMany(merge => merge.Images()), .. context.State.Memory is { } memory ? (Disk[])[memory] : []], cancellationToken)),
    ];

    public override string Target(DeleteSnapshotState state) => $"vm/{state.Vm}";

    public override string Describe(DeleteSnapshotState state) => $"the deletion of snapshot {state.Snapshot.Name} of VM {state.VmName}";

    public override IReadOnlyList<ResourceLock> Locks(DeleteSnapshotState state) => SnapshotRules.Locks(state.Vm, state.Storlinks);

    public override string Succeeded(DeleteSnapshotState state) => state.Merges.Count > 0
        ? $"Snapshot '{state.Snapshot.Name}' of VM '{state.VmName}' was deleted."
        : $"Snapshot '{state.Snapshot.Name}' of VM '{state.VmName}' was deleted; several others lie on its disks, which are kept until one is left.";

    private async Task PlanAsync(DeleteSnapshotState state, CancellationToken cancellationToken)
    {
        var (rows, id) = (await SnapshotRows.ReadAsync(place, state.Vm, cancellationToken).ConfigureAwait(false), state.Snapshot.Id);
        var node = rows.Listed(id);
        rows.RefuseForeign(rows.DisksOf(id));
        var children = rows.ChildrenOf(id);
        if (children.Count > 1)
        {
            state.Memory = rows.MemoryOf(id);
            return;
        }

        List<SnapshotMerge> merges = [await _merges.PlanAsync(rows, node, children.Count == 0 ? null : children[0], cancellationToken).ConfigureAwait(false)];
        if (children.Count == 0)
        {
            merges.AddRange(await _merges.PlanLeftAsync(rows, node, cancellationToken).ConfigureAwait(false));
        }

        state.Merges = merges;
    }

    private static async Task EachAsync(DeleteSnapshotState state, Func<SnapshotMerge, Task> act)
    {
        foreach (var merge in state.Merges)
        {
            await act(merge).ConfigureAwait(false);
        }
    }
}
