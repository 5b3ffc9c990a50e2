using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class OrphanState
{
    public required StorlinkId Storlink { get; init; }

    public required DiskId Disk { get; init; }
}

/// <summary>Removes an image that belongs to nothing, while nobody can make it a template's.</summary>
internal sealed class RemoveOrphan(Workplace place) : Workflow<OrphanState>
{
    public override string Name => "orphan.delete";

    public override bool MovesImages => true;

    public override JsonTypeInfo<OrphanState> StateType => JournalJson.Default.OrphanState;

    public override IReadOnlyList<Step<OrphanState>> Steps =>
    [
        new("delete image", async (context, cancellationToken) =>
        {
            // An operation that began after the check's look journaled its disks before it made them; one that has ended since has
            // recorded them.
            var disk = context.State.Disk;
            var worksOnIt = await UnfinishedOperations.FindOtherAsync(place, context.OperationId, disk.ToString(), cancellationToken).ConfigureAwait(false);
            if (worksOnIt is not null || await place.Store.ReadAsync(session => session.Disks.FindAsync(disk, cancellationToken), cancellationToken).ConfigureAwait(false) is not null)
            {
                throw new NotFoundException("orphan", disk.ToString());
            }

            var storlink = await CopyMachine.FindStorlinkAsync(place, context.State.Storlink, cancellationToken).ConfigureAwait(false);
            await place.Storage.DeleteAsync(storlink, disk, cancellationToken).ConfigureAwait(false);
        }),
    ];

    public override string Target(OrphanState state) => $"storlink/{state.Storlink}/disk/{state.Disk}";

    public override string Describe(OrphanState state) => $"the removal of orphan {state.Disk}";

    public override IReadOnlyList<ResourceLock> Locks(OrphanState state) => [ResourceLock.On(state.Storlink, shared: true), ResourceLock.On(state.Disk)];

    public override string Succeeded(OrphanState state) => $"Orphan {state.Disk} was removed.";
}
