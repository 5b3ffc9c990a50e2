using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class MigrateMachineState
{
    public required VmId Vm { get; init; }

    public required string VmName { get; init; }

    public required PmId Target { get; init; }

    /// <summary>The target's name, by which the driver reaches it.</summary>
    public required string TargetName { get; init; }

    /// <summary>What state the guest was in when the move began.</summary>
    public VmState Was { get; set; }

    /// <summary>What the driver said of a move after which the guest was no longer here.</summary>
    public string? Doubt { get; set; }

    /// <summary>Whether the operation was to be undone when the guest had left already.</summary>
    public bool HadLeft { get; set; }
}

/// <summary>Moves a machine to another PM that sees the same disks: a running guest by the driver, a stopped machine by its rows alone.
/// While the operation holds the machine nobody starts it on either side, and the rows follow the guest.</summary>
internal sealed class MigrateMachine(Workplace place) : Workflow<MigrateMachineState>
{
    public override string Name => "vm.migrate";

    public override bool MovesImages => true;

    public override JsonTypeInfo<MigrateMachineState> StateType => JournalJson.Default.MigrateMachineState;

    public override IReadOnlyList<Step<MigrateMachineState>> Steps =>
    [
        new("check target", async (context, cancellationToken) =>
        {
            context.State.Was = await place.StateAsync(context.State.Vm, cancellationToken).ConfigureAwait(false);
            await MigrationRules.CheckAsync(place, context.State.Vm, context.State.Target, cancellationToken).ConfigureAwait(false);
        }),
        new("move the guest", async (context, cancellationToken) =>
        {
            var state = context.State;

            // Not here any more: an earlier run of this step moved it, or it ended. Either way nothing of it runs here, and it can go. Of a
            // move that is still under way, or ended in doubt, only the driver knows.
            var isHere = state.Was is VmState.Running or VmState.Paused
                ? await IsHereAsync(state.Vm, cancellationToken).ConfigureAwait(false)
                : await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false);
            if (!isHere || !place.Driver.TryGetFeature<ILiveMigration>(out var migration))
            {
                return;
            }

            try
            {
                await migration.MigrateAsync(state.Vm, state.TargetName, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception error) when (error is HypervisorException or WrongStateException)
            {
                if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false) || await IsHereAsync(state.Vm, cancellationToken).ConfigureAwait(false))
                {
                    throw;
                }

                state.Doubt = error.Message;
            }
        },
        async (context, cancellationToken) =>
        {
            // A guest that has left does not come back, whatever ended the operation: then the rows follow it all the same, lest it is
            // started here, too.
            if (context.State.Was is VmState.Running or VmState.Paused && !await IsHereAsync(context.State.Vm, cancellationToken).ConfigureAwait(false))
            {
                await RecordAsync(context, cancellationToken).ConfigureAwait(false);
                await ForgetAsync(context.State.Vm, cancellationToken).ConfigureAwait(false);
                context.State.HadLeft = true;
            }
        }),
        new("record", async (context, cancellationToken) =>
        {
            var state = context.State;
            if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
            {
                throw new HypervisorException($"VM '{state.VmName}' still runs here; it was not moved.");
            }

            await RecordAsync(context, cancellationToken).ConfigureAwait(false);
        })
        {
            IsSwitch = true,
        },
        new("forget here", (context, cancellationToken) => ForgetAsync(context.State.Vm, cancellationToken)),
    ];

    public override string Target(MigrateMachineState state) => $"vm/{state.Vm}";

    public override string Describe(MigrateMachineState state) => $"the migration of VM {state.VmName}";

    public override IReadOnlyList<ResourceLock> Locks(MigrateMachineState state) =>
        [ResourceLock.On(state.Vm), ResourceLock.OnName("vm", state.VmName), ResourceLock.On(state.Target, shared: true)];

    public override string Succeeded(MigrateMachineState state) =>
        $"VM '{state.VmName}' was moved to PM '{state.TargetName}'.{(state.Doubt is null ? "" : $" The hypervisor said: {state.Doubt} It does not run here; look at it there.")}";

    public override string? Remark(MigrateMachineState state) => state.HadLeft
        ? $"VM '{state.VmName}' does not run here any more, so it is on PM '{state.TargetName}' now; look at it there.{(state.Doubt is null ? "" : $" The hypervisor said: {state.Doubt}")}"
        : null;

    private Task<bool> IsHereAsync(VmId vm, CancellationToken cancellationToken) => place.Driver.TryGetFeature<ILiveMigration>(out var migration)
        ? migration.IsHereAsync(vm, cancellationToken)
        : place.IsAliveAsync(vm, cancellationToken);

    private Task RecordAsync(StepContext<MigrateMachineState> context, CancellationToken cancellationToken)
    {
        var state = context.State;
        return place.Store.ChangeMachineAsync(
            state.Vm,
            row => row.Pm == state.Target
                ? row
                : row with { Pm = state.Target, State = state.Doubt is null ? state.Was : VmState.Shutdown, VncPort = null, UpdatedAt = context.Now },
            cancellationToken);
    }

    private async Task ForgetAsync(VmId vm, CancellationToken cancellationToken)
    {
        await place.Driver.Domains.UndefineAsync(vm, cancellationToken).ConfigureAwait(false);
        await DetachAsync(vm, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Detaches all images of the machine: with an overlay whatever lies beneath it was attached.</summary>
    private async Task DetachAsync(VmId vm, CancellationToken cancellationToken)
    {
        var disks = await place.Store.ReadAsync(
            async session =>
            {
                var rows = await SnapshotRows.FindAsync(session, vm, cancellationToken).ConfigureAwait(false);
                List<(Storlink, DiskId)> found = [];
                foreach (var disk in DeleteMachine.TopFirst(rows?.Disks ?? []))
                {
                    if (await session.Storlinks.FindAsync(disk.Storlink, cancellationToken).ConfigureAwait(false) is { } storlink)
                    {
                        found.Add((storlink, disk.Id));
                    }
                }

                return found;
            },
            cancellationToken).ConfigureAwait(false);
        foreach (var (storlink, disk) in disks)
        {
            await place.Storage.Get(storlink).DetachAsync(storlink, disk, cancellationToken).ConfigureAwait(false);
        }
    }
}

/// <summary>What stands in the way of a move to another PM, each with its reason, before anything is changed.</summary>
internal static class MigrationRules
{
    public static async Task<PhysicalMachine> CheckAsync(Workplace place, VmId vm, PmId targetId, CancellationToken cancellationToken)
    {
        var (rows, target, storlinks, taken, used) = await place.Store.ReadAsync(
            async session =>
            {
                var rows = await MachineRows.FindAsync(session, vm, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("VM", vm.ToString());
                var target = await session.PhysicalMachines.FindAsync(targetId, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("PM", targetId.ToString());
                return (
                    rows,
                    target,
                    await StorlinksAsync(session, rows, cancellationToken).ConfigureAwait(false),
                    await session.VirtualMachines.FindByNameAsync(targetId, rows.Machine.Name, cancellationToken).ConfigureAwait(false),
                    (await session.VirtualMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false))
                        .Where(machine => machine.Pm == targetId && machine.State is VmState.Running or VmState.Paused && machine.Id != vm).Sum(machine => machine.Memory.Bytes));
            },
            cancellationToken).ConfigureAwait(false);
        var name = rows.Machine.Name;
        if (target.Id == place.Host.Id)
        {
            throw new InvalidFieldException("pm_id", targetId.ToString(), $"VM '{name}' lives on that PM already");
        }

        if (!target.IsUp(place.Now))
        {
            throw new WrongStateException($"PM '{target.Name}' is not up: its last heartbeat was at {target.UpdatedAt.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC.");
        }

        if (taken is not null && taken.Id != vm)
        {
            throw new InvalidFieldException("pm_id", targetId.ToString(), $"PM '{target.Name}' has another VM that is called '{name}'; rename one of them first");
        }

        if (storlinks.FirstOrDefault(storlink => !storlink.Shared) is { } local)
        {
            throw new WrongStateException($"VM '{name}' has disks on storlink '{local.Name}', which is not shared: PM '{target.Name}' does not see them. Move them with smigrate first.");
        }

        if (rows.Machine.VirtualFunctions.Count > 0)
        {
            throw new WrongStateException($"VM '{name}' has SR-IOV virtual functions of this PM ({string.Join(", ", rows.Machine.VirtualFunctions)}); take them away first.");
        }

        if (!await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false))
        {
            return target;
        }

        if ((await place.Driver.Domains.FindDefinitionAsync(vm, cancellationToken).ConfigureAwait(false))?.IsoPath is { } iso)
        {
            throw new WrongStateException($"VM '{name}' has the ISO image {Path.GetFileName(iso)} of this PM in its drive; take it out first.");
        }

        var free = target.Memory.Bytes - used;
        if (rows.Machine.Memory.Bytes > free)
        {
            throw new InsufficientResourceException($"VM '{name}' needs {rows.Machine.Memory.MiBCeiling} MiB of memory; {new DataSize(Math.Max(0, free)).MiB} MiB are free on PM '{target.Name}'.");
        }

        if (!place.Driver.TryGetFeature<ILiveMigration>(out var migration))
        {
            throw new WrongStateException($"VM '{name}' runs, and the {place.Driver.Name} driver cannot move running guests; stop it first.");
        }

        await migration.CheckMigrationAsync(vm, target.Name, cancellationToken).ConfigureAwait(false);
        return target;
    }

    /// <summary>The storage links of every layer beneath the machine's disks, and of its snapshots.</summary>
    private static async Task<IReadOnlyList<Storlink>> StorlinksAsync(IStoreSession session, MachineRows rows, CancellationToken cancellationToken)
    {
        Dictionary<DiskId, Disk> seen = [];
        Queue<Disk> open = new(rows.Disks);
        foreach (var owner in MachineRows.OwnersOf(rows.Machine.Id, rows.Snapshots))
        {
            foreach (var disk in await session.Disks.ListByOwnerAsync(owner, cancellationToken).ConfigureAwait(false))
            {
                open.Enqueue(disk);
            }
        }

        while (open.TryDequeue(out var disk))
        {
            if (seen.TryAdd(disk.Id, disk) && disk.Backing is { } backing && await session.Disks.FindAsync(backing, cancellationToken).ConfigureAwait(false) is { } beneath)
            {
                open.Enqueue(beneath);
            }
        }

        List<Storlink> storlinks = [];
        foreach (var id in seen.Values.Select(disk => disk.Storlink).Distinct())
        {
            storlinks.Add(await session.Storlinks.FindAsync(id, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("storlink", id.ToString()));
        }

        return storlinks;
    }
}
