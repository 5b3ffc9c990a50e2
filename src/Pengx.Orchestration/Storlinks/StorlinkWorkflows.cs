using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class StorlinkState
{
    /// <summary>The row as it shall be, or as it is where it shall go.</summary>
    public required Storlink Storlink { get; set; }

    /// <summary>What an update changes.</summary>
    public UpdateStorlink? Update { get; init; }
}

/// <summary>The base of the workflows on one storage link's row, held alone.</summary>
internal abstract class StorlinkWorkflow(Workplace place, string verb, string noun) : Workflow<StorlinkState>
{
    protected Workplace Place { get; } = place;

    public override string Name => $"storlink.{verb}";

    public override JsonTypeInfo<StorlinkState> StateType => JournalJson.Default.StorlinkState;

    public override string Target(StorlinkState state) => $"storlink/{state.Storlink.Id}";

    public override string Describe(StorlinkState state) => $"the {noun} of storlink {state.Storlink.Name}";

    // What it lies on is not taken down meanwhile.
    public override IReadOnlyList<ResourceLock> Locks(StorlinkState state) =>
    [
        ResourceLock.On(state.Storlink.Id), ResourceLock.OnName("storlink", state.Update?.Name ?? state.Storlink.Name), ResourceLock.OnStorages(state.Storlink.Pm, shared: true),
    ];
}

internal sealed class CreateStorlinkRow(Workplace place) : StorlinkWorkflow(place, "create", "creation")
{
    public override IReadOnlyList<Step<StorlinkState>> Steps =>
    [
        new(
            "record",
            (context, cancellationToken) => new RowSet { Storlink = context.State.Storlink }.AddAsync(Place.Store, cancellationToken),
            (context, cancellationToken) => new RowSet { Storlink = context.State.Storlink }.RemoveAsync(Place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Succeeded(StorlinkState state) => $"Storlink '{state.Storlink.Name}' was created.";

    public override string? Created(StorlinkState state) => $"storlink/{state.Storlink.Id}";
}

internal sealed class UpdateStorlinkRow(Workplace place) : StorlinkWorkflow(place, "update", "update")
{
    public override IReadOnlyList<Step<StorlinkState>> Steps =>
    [
        new("record", (context, cancellationToken) => Place.Store.ChangeAsync(
            async session =>
            {
                var row = await session.Storlinks.FindAsync(context.State.Storlink.Id, cancellationToken).ConfigureAwait(false)
                    ?? throw new NotFoundException("storlink", context.State.Storlink.Id.ToString());
                if (StorlinkRules.Apply(row, context.State.Update!) is var changed && changed != row)
                {
                    await StorlinkRules.RefuseChangeAsync(session, row, changed, cancellationToken).ConfigureAwait(false);
                    session.Storlinks.Update(changed);
                }
            },
            cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Succeeded(StorlinkState state) => $"Storlink '{state.Update?.Name ?? state.Storlink.Name}' was changed.";
}

internal sealed class DeleteStorlinkRow(Workplace place) : StorlinkWorkflow(place, "delete", "deletion")
{
    public override IReadOnlyList<Step<StorlinkState>> Steps =>
    [
        new("check storlink", async (context, cancellationToken) => context.State.Storlink = await Place.Store.ReadAsync(
            async session =>
            {
                var row = await session.Storlinks.FindAsync(context.State.Storlink.Id, cancellationToken).ConfigureAwait(false)
                    ?? throw new NotFoundException("storlink", context.State.Storlink.Id.ToString());
                await StorlinkRules.RefuseWhatIsNeededAsync(session, row, cancellationToken).ConfigureAwait(false);
                return row;
            },
            cancellationToken).ConfigureAwait(false)),
        new(
            "remove row",
            (context, cancellationToken) => new RowSet { Storlink = context.State.Storlink }.RemoveAsync(Place.Store, cancellationToken),
            (context, cancellationToken) => new RowSet { Storlink = context.State.Storlink }.AddAsync(Place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Succeeded(StorlinkState state) => $"Storlink '{state.Storlink.Name}' was deleted; what lies there was left alone.";
}

/// <summary>What may be done with storage links.</summary>
internal static class StorlinkRules
{
    public static Storlink Apply(Storlink row, UpdateStorlink update) => row with
    {
        Name = update.Name ?? row.Name,
        Link = update.Link ?? row.Link,
        Type = update.Type ?? row.Type,
        Level = update.Level ?? row.Level,
        Shared = update.Shared ?? row.Shared,
        Description = update.Description ?? row.Description,
    };

    public static async Task RefuseChangeAsync(IStoreSession session, Storlink row, Storlink changed, CancellationToken cancellationToken)
    {
        if (row.Shared && !changed.Shared && await FindUserAsync(session, row.Id, pm => pm != row.Pm, cancellationToken).ConfigureAwait(false) is { } user)
        {
            throw new InUseException($"Storlink '{row.Name}' is used by {user.Name} of PM {user.Pm}; it stays shared while it is.");
        }

        if ((changed.Link != row.Link || changed.Level != row.Level || changed.Type != row.Type)
            && await UsesAsync(session, row.Id, cancellationToken).ConfigureAwait(false) is { } uses)
        {
            throw new InUseException($"Storlink '{row.Name}' is used by {uses}; its link, type and level stay while it is.");
        }
    }

    public static async Task RefuseWhatIsNeededAsync(IStoreSession session, Storlink row, CancellationToken cancellationToken)
    {
        if (await UsesAsync(session, row.Id, cancellationToken).ConfigureAwait(false) is { } uses)
        {
            throw new InUseException($"Storlink '{row.Name}' is still used by {uses}; delete or move them first.");
        }
    }

    /// <summary>Finds a machine or template that has disks on a storage link, its snapshots' and backups' included, among those of certain PMs.</summary>
    public static async Task<(string Name, PmId Pm)?> FindUserAsync(IStoreSession session, StorlinkId id, Predicate<PmId> isMeant, CancellationToken cancellationToken)
    {
        foreach (var (kind, owner) in (await session.Disks.ListByStorlinkAsync(id, cancellationToken).ConfigureAwait(false)).Select(disk => disk.Owner).Distinct())
        {
            VmId? machine = kind switch
            {
                DiskOwnerKind.Vm => new VmId(owner),
                DiskOwnerKind.Snapshot or DiskOwnerKind.Memory => (await session.Snapshots.FindAsync(new(owner), cancellationToken).ConfigureAwait(false))?.Vm,
                DiskOwnerKind.Backup => (await session.Backups.FindAsync(new(owner), cancellationToken).ConfigureAwait(false))?.Vm,
                _ => null,
            };
            if (machine is { } used && await session.VirtualMachines.FindAsync(used, cancellationToken).ConfigureAwait(false) is { } vm && isMeant(vm.Pm))
            {
                return ($"VM {vm.Name}", vm.Pm);
            }

            if (kind == DiskOwnerKind.Template && await session.Templates.FindAsync(new(owner), cancellationToken).ConfigureAwait(false) is { } template && isMeant(template.Pm))
            {
                return ($"template {template.Name}", template.Pm);
            }
        }

        return null;
    }

    private static async Task<string?> UsesAsync(IStoreSession session, StorlinkId id, CancellationToken cancellationToken)
    {
        var disks = await session.Disks.ListByStorlinkAsync(id, cancellationToken).ConfigureAwait(false);
        List<string> uses = [];
        Count(disks.Count(disk => disk.Owner.Kind is DiskOwnerKind.Vm or DiskOwnerKind.Snapshot), "disk");
        Count(disks.Where(disk => disk.Owner.Kind == DiskOwnerKind.Backup).Select(disk => disk.Owner).Distinct().Count(), "backup");
        Count(disks.Where(disk => disk.Owner.Kind == DiskOwnerKind.Template).Select(disk => disk.Owner).Distinct().Count(), "template");
        Count(disks.Count(disk => disk.Owner.Kind == DiskOwnerKind.Memory), "snapshot's memory", "snapshots' memories");
        return uses.Count == 0 ? null : string.Join(", ", uses);

        void Count(int count, string what, string? several = null)
        {
            if (count > 0)
            {
                uses.Add($"{count} {(count == 1 ? what : several ?? what + "s")}");
            }
        }
    }
}
