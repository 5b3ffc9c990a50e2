using System.Globalization;

namespace Pengx.Orchestration;

/// <summary>A disk of a machine, and the overlay that takes the guest's writes while the disk is read.</summary>
/// <param name="Disk">The disk as it is.</param>
/// <param name="Overlay">The overlay; a disk of its own only where it could not be merged back.</param>
internal sealed record FrozenDisk(Disk Disk, Disk Overlay);

/// <summary>A machine whose disks an operation reads as they were at one instant, whether its guest runs or not. Part of the
/// operation's journaled state: all identifiers are chosen before anything is made.</summary>
internal sealed class FrozenMachine
{
    public required VmId Vm { get; init; }

    public required string Name { get; init; }

    /// <summary>The machine's current disks, in boot order.</summary>
    public IReadOnlyList<FrozenDisk> Disks { get; set; } = [];

    /// <summary>The instant.</summary>
    public DateTimeOffset? At { get; set; }

    /// <summary>Whether an agent in the guest had frozen its file systems then.</summary>
    public bool Quiesced { get; set; }

    /// <summary>The snapshots that take the disks over where the overlays cannot be merged back.</summary>
    public required SnapshotId Saved { get; init; }

    public required SnapshotId Run { get; init; }

    /// <summary>Why the overlays could not be merged back.</summary>
    public string? Kept { get; set; }

    /// <summary>What the user is told of it.</summary>
    public string KeptMessage() => Kept is null
        ? string.Empty
        : $" The overlays that VM '{Name}' ran on meanwhile could not be merged back; delete its snapshot {Saved}, which is good for nothing else, to merge them. {Kept}";

    public static FrozenMachine Of(VirtualMachine machine) =>
        new() { Vm = machine.Id, Name = machine.Name, Saved = SnapshotId.New(), Run = SnapshotId.New() };
}

/// <summary>Freezes a machine's disks for reading, and lets them go. Both can be run again at any time and find what was done.</summary>
internal static class Freezing
{
    /// <summary>Refuses a guest whose disks cannot be frozen while it runs.</summary>
    public static async Task DemandAsync(Workplace place, VmId vm, string name, CancellationToken cancellationToken)
    {
        if (!await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        place.LiveDisks(name);
    }

    /// <summary>Chooses the overlays, while the machine is held.</summary>
    public static async Task<MachineRows> PlanAsync(Workplace place, FrozenMachine machine, CancellationToken cancellationToken)
    {
        var rows = await place.Store.ReadAsync(session => MachineRows.FindAsync(session, machine.Vm, cancellationToken), cancellationToken).ConfigureAwait(false)
            ?? throw new NotFoundException("VM", machine.Vm.ToString());
        if (rows.Disks.Count == 0)
        {
            throw new WrongStateException($"VM '{machine.Name}' has no disks.");
        }

        machine.Disks =
        [
            .. rows.Disks.OrderBy(disk => disk.Order).Select(disk => new FrozenDisk(disk, new Disk
            {
                Id = DiskId.New(),
                Owner = disk.Owner,
                Order = disk.Order,
                Size = disk.Size,
                Format = DiskFormat.Qcow2,
                Storlink = disk.Storlink,
                Backing = disk.Id,
                Type = disk.Type,
                Description = disk.Description,
                CreatedAt = place.Now,
            })),
        ];
        return rows;
    }

    /// <summary>A step that freezes the disks; its undo lets them go.</summary>
    public static Step<TState> Freeze<TState>(Workplace place, Func<TState, FrozenMachine> of)
        where TState : class => new(
            "freeze disks",
            (context, cancellationToken) => FreezeAsync(place, of(context.State), cancellationToken),
            (context, cancellationToken) => ThawAsync(place, of(context.State), context.Progress, cancellationToken));

    /// <summary>A step that lets the disks go. It needs no undo.</summary>
    public static Step<TState> Thaw<TState>(Workplace place, Func<TState, FrozenMachine> of)
        where TState : class => new(
            "merge overlays back",
            (context, cancellationToken) => ThawAsync(place, of(context.State), context.Progress, cancellationToken));

    private static async Task FreezeAsync(Workplace place, FrozenMachine machine, CancellationToken cancellationToken)
    {
        if (await place.IsAliveAsync(machine.Vm, cancellationToken).ConfigureAwait(false))
        {
            await DemandAsync(place, machine.Vm, machine.Name, cancellationToken).ConfigureAwait(false);
            await VolumeSteps.CreateAsync(place, [.. machine.Disks.Select(disk => new PlannedDisk(disk.Overlay, null))], NoProgress.Instance, cancellationToken).ConfigureAwait(false);
            try
            {
                machine.Quiesced = await OverlayAsync(place, machine.Vm, machine.Disks, quiesce: true, cancellationToken).ConfigureAwait(false);
                machine.At = place.Now;
                return;
            }
            catch (WrongStateException)
            {
                if (await place.IsAliveAsync(machine.Vm, cancellationToken).ConfigureAwait(false))
                {
                    throw;
                }
            }
        }

        // A guest that ended since the first run of this step may have written to its overlays.
        await place.EndCrashedAsync(machine.Vm, cancellationToken).ConfigureAwait(false);
        await ThawAsync(place, machine, NoProgress.Instance, cancellationToken).ConfigureAwait(false);
        if (machine.Kept is not null)
        {
            throw new StorageException($"The disks of VM '{machine.Name}' show no one instant.{machine.KeptMessage()}");
        }

        machine.At = place.Now;
    }

    /// <summary>Puts overlays upon disks of a running guest, all at one instant.</summary>
    /// <returns>Whether its file systems were frozen for it.</returns>
    public static async Task<bool> OverlayAsync(Workplace place, VmId vm, IReadOnlyList<FrozenDisk> disks, bool quiesce, CancellationToken cancellationToken)
    {
        await place.Definitions.EnsureAsync(vm, cancellationToken).ConfigureAwait(false);
        List<DiskReplacement> replacements = [];
        foreach (var disk in disks)
        {
            var (without, with) = await SidesAsync(place, disk, cancellationToken).ConfigureAwait(false);
            replacements.Add(new(without, with));
        }

        place.Driver.TryGetFeature<ILiveDisks>(out var live);
        return await live!.OverlayAsync(vm, replacements, quiesce, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A disk without its overlay, and with it.</summary>
    public static Task<(DomainDisk Without, DomainDisk With)> SidesAsync(Workplace place, FrozenDisk disk, CancellationToken cancellationToken) => place.Store.ReadAsync(
        async session =>
        {
            var without = await place.Definitions.BuildDiskAsync(session, disk.Disk, cancellationToken).ConfigureAwait(false);
            var storlink = await session.Storlinks.FindAsync(disk.Overlay.Storlink, cancellationToken).ConfigureAwait(false)
                ?? throw new NotFoundException("storlink", disk.Overlay.Storlink.ToString());
            var overlay = await place.Storage.LayerAsync(storlink, disk.Overlay, cancellationToken).ConfigureAwait(false);
            return (without, without with { Id = disk.Overlay.Id, Layers = [overlay, .. without.Layers] });
        },
        cancellationToken);

    /// <summary>Whether the image of a planned disk was made.</summary>
    public static async Task<bool> ExistsAsync(Workplace place, Disk disk, CancellationToken cancellationToken) =>
        await VolumeSteps.FindAsync(place, disk, cancellationToken).ConfigureAwait(false) is not null;

    /// <summary>Merges an overlay back into its disk, of a running guest or at rest. Where the disk does without it already: nothing.</summary>
    public static async Task MergeAsync(Workplace place, VmId vm, FrozenDisk disk, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        var (without, with) = await SidesAsync(place, disk, cancellationToken).ConfigureAwait(false);
        if (await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false) && place.Driver.TryGetFeature<ILiveDisks>(out var live))
        {
            try
            {
                await live.CommitAsync(vm, new(with, without), null, progress, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (Exception error) when (error is WrongStateException or HypervisorException)
            {
                if (await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false))
                {
                    throw;
                }
            }
        }

        // The stored configuration tells what the guest wrote to last.
        if (await IsTopAsync(place, vm, with, cancellationToken).ConfigureAwait(false))
        {
            await place.EndCrashedAsync(vm, cancellationToken).ConfigureAwait(false);
            await place.Chains.CommitAsync([with.Layers[0], without.Layers[0]], progress, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Whether the stored configuration has a disk's top layer.</summary>
    public static async Task<bool> IsTopAsync(Workplace place, VmId vm, DomainDisk disk, CancellationToken cancellationToken) =>
        (await place.Driver.Domains.FindDefinitionAsync(vm, cancellationToken).ConfigureAwait(false))?.Disks
            .FirstOrDefault(stored => stored.Vdev == disk.Vdev)?.Layers[0] == disk.Layers[0];

    private static async Task ThawAsync(Workplace place, FrozenMachine machine, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        List<FrozenDisk> overlaid = [];
        foreach (var disk in machine.Disks)
        {
            if (await ExistsAsync(place, disk.Overlay, cancellationToken).ConfigureAwait(false))
            {
                overlaid.Add(disk);
            }
        }

        if (machine.Kept is not null)
        {
            return;
        }

        if (overlaid.Count == 0)
        {
            // At most one that was left half made.
            await VolumeSteps.DeleteAsync(place, machine.Disks.Select(disk => disk.Overlay), cancellationToken).ConfigureAwait(false);
            return;
        }

        if (await IsKeptAsync(place, overlaid[0], cancellationToken).ConfigureAwait(false))
        {
            machine.Kept = "The service stopped before it could tell why.";
            return;
        }

        var merged = 0;
        foreach (var (share, disk) in ProgressShare.Of(progress, overlaid, disk => disk.Disk.Size))
        {
            try
            {
                await MergeAsync(place, machine.Vm, disk, share, cancellationToken).ConfigureAwait(false);
                merged++;
            }
            catch (Exception error) when (merged == 0 && overlaid.Count == machine.Disks.Count && error is WrongStateException or HypervisorException or StorageException or ProcessFailedException)
            {
                // All overlays are on top, and show all that was written. What lies beneath may hold a part of it by now.
                if (!await AreAllTopAsync(place, machine, cancellationToken).ConfigureAwait(false))
                {
                    throw;
                }

                await KeepAsync(place, machine, cancellationToken).ConfigureAwait(false);
                machine.Kept = error.Message;
                return;
            }
        }

        await place.Definitions.SyncAsync(machine.Vm, cancellationToken).ConfigureAwait(false);
        await VolumeSteps.DeleteAsync(place, machine.Disks.Select(disk => disk.Overlay), cancellationToken).ConfigureAwait(false);
    }

    private static async Task<bool> AreAllTopAsync(Workplace place, FrozenMachine machine, CancellationToken cancellationToken)
    {
        var alive = await place.IsAliveAsync(machine.Vm, cancellationToken).ConfigureAwait(false);
        var real = alive && place.Driver.TryGetFeature<ILiveDisks>(out var live) ? await live.ReadAsync(machine.Vm, cancellationToken).ConfigureAwait(false) : null;
        foreach (var disk in machine.Disks)
        {
            var (_, with) = await SidesAsync(place, disk, cancellationToken).ConfigureAwait(false);
            var top = real is null
                ? await IsTopAsync(place, machine.Vm, with, cancellationToken).ConfigureAwait(false)
                : real.FirstOrDefault(shown => shown.Vdev == with.Vdev)?.Layers[0] == with.Layers[0];
            if (!top)
            {
                return false;
            }
        }

        return true;
    }

    private static Task<bool> IsKeptAsync(Workplace place, FrozenDisk disk, CancellationToken cancellationToken) => place.Store.ReadAsync(
        async session => await session.Disks.FindAsync(disk.Overlay.Id, cancellationToken).ConfigureAwait(false) is not null,
        cancellationToken);

    /// <summary>Makes the overlays the machine's disks, and what lies beneath them a snapshot whose deletion merges them.</summary>
    private static Task KeepAsync(Workplace place, FrozenMachine machine, CancellationToken cancellationToken) => place.Store.ChangeAsync(
        async session =>
        {
            if (await session.Disks.FindAsync(machine.Disks[0].Overlay.Id, cancellationToken).ConfigureAwait(false) is not null)
            {
                return;
            }

            var snapshots = await session.Snapshots.ListByVmAsync(machine.Vm, cancellationToken).ConfigureAwait(false);
            var run = snapshots.FirstOrDefault(snapshot => snapshot.Kind == SnapshotKind.Run);
            var at = machine.At ?? place.Now;
            session.Snapshots.Add(new Snapshot
            {
                Id = machine.Saved,
                Vm = machine.Vm,
                Kind = SnapshotKind.Partial,
                Parent = run?.Parent,
                Name = string.Create(CultureInfo.InvariantCulture, $"kept {at:yyyy-MM-dd HH:mm:ss} {machine.Saved.ToString()[..8]}"),
                Description = "What is left of a merge that could not be finished, a mixture of old and new. Delete it to finish the merge.",
                CreatedAt = at,
            });
            var current = run ?? RunSnapshot.New(machine.Run, machine.Vm, machine.Saved, place.Now);
            if (run is null)
            {
                session.Snapshots.Add(current);
            }
            else
            {
                session.Snapshots.Update(run with { Parent = machine.Saved });
            }

            foreach (var disk in machine.Disks)
            {
                var row = await session.Disks.FindAsync(disk.Disk.Id, cancellationToken).ConfigureAwait(false)
                    ?? throw new NotFoundException("disk", disk.Disk.Id.ToString());
                session.Disks.Update(row with { Owner = DiskOwner.Of(machine.Saved) });
                session.Disks.Add(disk.Overlay with { Owner = DiskOwner.Of(current.Id), Revision = 0 });
            }
        },
        cancellationToken);
}

/// <summary>How the hidden run snapshot of a machine is made.</summary>
internal static class RunSnapshot
{
    public static Snapshot New(SnapshotId id, VmId vm, SnapshotId parent, DateTimeOffset now) =>
        new() { Id = id, Vm = vm, Kind = SnapshotKind.Run, Parent = parent, Name = "run", CreatedAt = now };
}

internal sealed class NoProgress : IProgress<ByteProgress>
{
    public static NoProgress Instance { get; } = new();

    public void Report(ByteProgress value)
    {
    }
}
