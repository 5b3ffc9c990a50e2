using System.Globalization;

namespace Pengx.Orchestration;

/// <summary>Backups of what a guest changed since the one before. Each image is a qcow2 overlay upon the image of the same disk in that
/// one. What changed is known from the hypervisor's notes; of a disk without any it is found by comparing. Wherever more speaks against
/// it, a full backup is made and says why: it begins a new chain.</summary>
internal static class IncrementalBackups
{
    /// <summary>The backup that an incremental one counts from: the machine's newest on the same storage link.</summary>
    public static async Task<Backup?> FindParentAsync(Workplace place, VmId vm, StorlinkId storlink, CancellationToken cancellationToken) =>
        (await place.Store.ReadAsync(session => session.Backups.ListByVmAsync(vm, cancellationToken), cancellationToken).ConfigureAwait(false))
            .LastOrDefault(backup => backup.Storlink == storlink);

    /// <summary>Lays the planned images upon the parent's, or says why not.</summary>
    public static async Task PlanAsync(Workplace place, CreateBackupState state, MachineRows rows, CancellationToken cancellationToken)
    {
        if (!state.IsIncremental)
        {
            return;
        }

        if (state.Parent is not { } parent)
        {
            state.MakeFull("there is no earlier backup of this VM on the storlink");
            return;
        }

        var images = await place.Store.ReadAsync(session => session.Disks.ListByOwnerAsync(DiskOwner.Of(parent.Id), cancellationToken), cancellationToken).ConfigureAwait(false);
        if (images.Count == 0)
        {
            state.MakeFull($"backup '{parent.Name}' was deleted meanwhile");
            return;
        }

        try
        {
            var (storlink, files) = await BackupRules.PlaceAsync(place, parent.Storlink, cancellationToken).ConfigureAwait(false);
            var described = await BackupRules.DescriptionAsync(files, storlink, parent, cancellationToken).ConfigureAwait(false);
            var (notes, unknown) = await NotesAsync(place, state.Source.Vm, cancellationToken).ConfigureAwait(false);
            Dictionary<DiskId, Disk> beneath = [];
            List<DiskId> compared = [];
            foreach (var disk in rows.Disks)
            {
                // After a snapshot or a restore another disk is in the same place.
                var image = images.FirstOrDefault(image => described.Images.Any(told => told.Disk == image.Id.Value && told.Original == disk.Id.Value))
                    ?? images.FirstOrDefault(image => image.Order == disk.Order);
                if (image is null)
                {
                    state.MakeFull($"disk {disk.Id} is not in backup '{parent.Name}'");
                    return;
                }

                var now = await SnapshotRows.ChainAsync(place, disk, cancellationToken).ConfigureAwait(false);
                var depth = (await SnapshotRows.ChainAsync(place, image, cancellationToken).ConfigureAwait(false)).Layers.Count;
                var note = notes.FirstOrDefault(note => note.Since == parent.Id && note.Vdev == now.Vdev && note.Layer == now.Layers[0]);

                // An image may show more than its row says.
                var shown = note is null ? disk.Size : (await VolumeSteps.FindAsync(place, image, cancellationToken).ConfigureAwait(false))?.Size ?? image.Size;
                var against = note switch
                {
                    { Fault: { } fault } => $"what was noted since backup '{parent.Name}' is worthless: {fault}",
                    _ when image.Size != disk.Size || (note is not null && note.Size != shown) => $"its size is not what it was in backup '{parent.Name}'",
                    _ when depth >= place.Options.MaxDiskLayers => string.Create(
                        CultureInfo.InvariantCulture, $"backup '{parent.Name}' is the {depth}th upon one another, and {place.Options.MaxDiskLayers} are the most (Pengx:Limits:DiskLayers)"),
                    _ => null,
                };
                if (against is not null)
                {
                    state.MakeFull($"of disk {disk.Id} ({now.Vdev}) {against}");
                    return;
                }

                if (note is null)
                {
                    compared.Add(disk.Id);
                    unknown ??= $"of disk {disk.Id} ({now.Vdev}) nothing was noted since";
                }

                beneath[disk.Id] = image;
            }

            state.Compared = compared;
            state.ComparedBecause = compared.Count > 0 ? unknown : null;
            state.Disks = [.. state.Disks.Select(planned => planned with { Disk = planned.Disk with { Format = DiskFormat.Qcow2, Backing = beneath[planned.Source!.Value].Id } })];
        }
        catch (Exception error) when (error is StorageException or HypervisorException or WrongStateException)
        {
            state.MakeFull(error.Message);
        }
    }

    /// <summary>Reads the images that the new ones shall lie upon: an incremental backup upon a damaged one is none.</summary>
    public static async Task VerifyParentAsync(Workplace place, CreateBackupState state, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        if (!state.IsUponParent)
        {
            return;
        }

        try
        {
            var backing = state.Disks.Select(disk => disk.Disk.Backing).ToHashSet();
            var images = await place.Store.ReadAsync(session => session.Disks.ListByOwnerAsync(DiskOwner.Of(state.Parent!.Id), cancellationToken), cancellationToken).ConfigureAwait(false);
            await BackupRules.VerifyAsync(place, state.Parent!, [.. images.Where(image => backing.Contains(image.Id))], progress, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is StorageException or NotFoundException)
        {
            state.MakeFull(error.Message);
        }
    }

    /// <summary>Notes from now on what the guest changes, which is somewhat before the backup's instant: too much is copied next time
    /// rather than too little. Without it the backup is as good, and the next one compares.</summary>
    public static async Task TrackAsync(Workplace place, CreateBackupState state, CancellationToken cancellationToken)
    {
        if (await FindAsync(place, state.Source.Vm, cancellationToken).ConfigureAwait(false) is not { } changed)
        {
            return;
        }

        try
        {
            await changed.TrackAsync(state.Source.Vm, state.Backup.Id, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is HypervisorException or WrongStateException)
        {
            state.NotTracked = error.Message;
        }
    }

    public static async Task UntrackAsync(Workplace place, CreateBackupState state, CancellationToken cancellationToken) =>
        await ForgetAsync(place, state.Source.Vm, [state.Backup.Id], cancellationToken).ConfigureAwait(false);

    /// <summary>Forgets what was noted since backups that no incremental one will count from any more.</summary>
    public static async Task ForgetOldAsync(Workplace place, CreateBackupState state, CancellationToken cancellationToken)
    {
        var vm = state.Source.Vm;
        if (await FindAsync(place, vm, cancellationToken).ConfigureAwait(false) is not { } changed)
        {
            return;
        }

        var backups = await place.Store.ReadAsync(session => session.Backups.ListByVmAsync(vm, cancellationToken), cancellationToken).ConfigureAwait(false);
        var wanted = backups.GroupBy(backup => backup.Storlink).Select(group => group.Last().Id).Append(state.Backup.Id).ToHashSet();
        try
        {
            var notes = await changed.ReadAsync(vm, cancellationToken).ConfigureAwait(false);
            await ForgetAsync(place, vm, [.. notes.Select(note => note.Since).Where(since => !wanted.Contains(since)).Distinct()], cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is HypervisorException or WrongStateException or UnavailableException)
        {
            // The next backup does it.
        }
    }

    /// <summary>Copies what has changed from the frozen disks, whatever an earlier run of the step has left.</summary>
    /// <returns>Whether it could be done; otherwise the backup is planned as a full one, and nothing is left.</returns>
    public static async Task<bool> TryCopyAsync(Workplace place, CreateBackupState state, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        var vm = state.Source.Vm;
        await AbandonAsync(place, vm, cancellationToken).ConfigureAwait(false);
        await VolumeSteps.DeleteAsync(place, state.Disks.Select(disk => disk.Disk), cancellationToken).ConfigureAwait(false);
        try
        {
            var storlink = await CopyMachine.FindStorlinkAsync(place, state.Backup.Storlink, cancellationToken).ConfigureAwait(false);
            var bytes = 0L;
            foreach (var (share, planned) in ProgressShare.Of(progress, state.Disks, disk => disk.Disk.Size))
            {
                bytes += state.Compared.Contains(planned.Source!.Value)
                    ? await CompareAsync(place, storlink, planned, share, cancellationToken).ConfigureAwait(false)
                    : await CopyNotedAsync(place, state, storlink, planned, share, cancellationToken).ConfigureAwait(false);
            }

            state.ChangedBytes = bytes;
            return true;
        }
        catch (Exception error) when (error is HypervisorException or WrongStateException or StorageException or ProcessFailedException)
        {
            await AbandonAsync(place, vm, cancellationToken).ConfigureAwait(false);
            await VolumeSteps.DeleteAsync(place, state.Disks.Select(disk => disk.Disk), cancellationToken).ConfigureAwait(false);
            state.MakeFull(error.Message);
            return false;
        }
    }

    /// <summary>Ends copies that an interrupted run left to the hypervisor: their targets are then nobody's.</summary>
    public static async Task AbandonAsync(Workplace place, VmId vm, CancellationToken cancellationToken)
    {
        if (await FindAsync(place, vm, cancellationToken).ConfigureAwait(false) is not { } changed)
        {
            return;
        }

        try
        {
            await changed.AbandonCopiesAsync(vm, cancellationToken).ConfigureAwait(false);
        }
        catch (WrongStateException)
        {
            // It has ended, and they with it.
        }
    }

    /// <summary>What is noted of a machine's disks, or why nothing is known of any.</summary>
    private static async Task<(IReadOnlyList<ChangedBlocks> Notes, string? Unknown)> NotesAsync(Workplace place, VmId vm, CancellationToken cancellationToken)
    {
        if (!await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false))
        {
            return ([], "the VM does not run, and only of a running one is known what changed");
        }

        return place.Driver.TryGetFeature<IChangedBlocks>(out var changed)
            ? (await changed.ReadAsync(vm, cancellationToken).ConfigureAwait(false), null)
            : ([], $"hypervisor {place.Driver.Name} does not note which blocks change");
    }

    /// <summary>Makes an image of what a disk has otherwise than the backup before.</summary>
    /// <returns>How many bytes it takes.</returns>
    private static async Task<long> CompareAsync(Workplace place, Storlink storlink, PlannedDisk planned, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        await VolumeSteps.CopyFrozenAsync(place, [planned], progress, cancellationToken).ConfigureAwait(false);
        var made = await place.Storage.Get(storlink).FindAsync(storlink, planned.Disk.Id, planned.Disk.Format, cancellationToken).ConfigureAwait(false);
        return made?.Allocated.Bytes ?? 0;
    }

    /// <summary>Makes an image of the blocks that were noted.</summary>
    /// <returns>How many bytes were copied.</returns>
    private static async Task<long> CopyNotedAsync(
        Workplace place, CreateBackupState state, Storlink storlink, PlannedDisk planned, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        var vm = state.Source.Vm;
        var changed = await FindAsync(place, vm, cancellationToken).ConfigureAwait(false)
            ?? throw new WrongStateException("the VM ended before its changes were copied");
        await VolumeSteps.CreateAsync(place, [planned with { Source = null }], NoProgress.Instance, cancellationToken).ConfigureAwait(false);
        var (frozen, _) = await Freezing.SidesAsync(place, state.Source.Disks.First(disk => disk.Disk.Id == planned.Source), cancellationToken).ConfigureAwait(false);
        var target = await place.Storage.LayerAsync(storlink, planned.Disk, cancellationToken).ConfigureAwait(false);
        LiveDiskLimits limits = new() { BytesPerSecond = place.Options.CopyBytesPerSecond };
        return await changed.CopyAsync(vm, state.Parent!.Id, frozen, target, limits, progress, cancellationToken).ConfigureAwait(false);
    }

    private static async Task<IChangedBlocks?> FindAsync(Workplace place, VmId vm, CancellationToken cancellationToken) =>
        place.Driver.TryGetFeature<IChangedBlocks>(out var changed) && await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false) ? changed : null;

    private static async Task ForgetAsync(Workplace place, VmId vm, IReadOnlyCollection<BackupId> backups, CancellationToken cancellationToken)
    {
        if (backups.Count == 0 || await FindAsync(place, vm, cancellationToken).ConfigureAwait(false) is not { } changed)
        {
            return;
        }

        try
        {
            await changed.ForgetAsync(vm, backups, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is HypervisorException or WrongStateException)
        {
            // A note that nobody counts from does no harm, and goes with the next backup.
        }
    }
}
