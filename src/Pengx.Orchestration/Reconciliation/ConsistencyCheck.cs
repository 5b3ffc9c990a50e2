namespace Pengx.Orchestration;

/// <summary>Holds rows, storage, hypervisor and journal against each other and reports where they disagree. It changes nothing, and
/// leaves out what unfinished operations work on.</summary>
public sealed class ConsistencyCheck
{
    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;

    internal ConsistencyCheck(Workplace place, WorkflowCatalog workflows, IOperations operations)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
    }

    /// <summary>Looks at everything that this PM can see.</summary>
    /// <param name="cancellationToken">Ends the check.</param>
    /// <returns>What disagrees; nothing where all is well.</returns>
    public async Task<IReadOnlyList<Inconsistency>> RunAsync(CancellationToken cancellationToken = default) =>
        (await LookAsync(cancellationToken).ConfigureAwait(false)).Found;

    private async Task<(List<Inconsistency> Found, NeededImages Needed)> LookAsync(CancellationToken cancellationToken)
    {
        var unfinished = await UnfinishedOperations.ListAsync(_place, cancellationToken).ConfigureAwait(false);
        List<Inconsistency> found = [];
        NeededImages needed = new();
        await CheckLocksAsync(unfinished, found, cancellationToken).ConfigureAwait(false);
        await CheckVolumesAsync(unfinished, found, needed, cancellationToken).ConfigureAwait(false);
        await CheckChainsAsync(unfinished, found, needed, cancellationToken).ConfigureAwait(false);
        await CheckDomainsAsync(unfinished, found, needed, cancellationToken).ConfigureAwait(false);
        return (found, needed);
    }

    /// <summary>Removes the images that belong to no disk and to no unfinished operation, as a check of this moment finds them. One that
    /// an image of a disk lies on, or that a guest runs on, stays.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>What was removed.</returns>
    /// <exception cref="UnavailableException">Something could not be looked at, and may need one of them.</exception>
    /// <exception cref="OperationFailedException">One could not be removed, as while something has it open
    /// (<see cref="PengxErrorCode.InUse"/>); those before it are removed.</exception>
    public async Task<IReadOnlyList<Inconsistency>> RemoveOrphansAsync(CancellationToken cancellationToken = default)
    {
        var (found, needed) = await LookAsync(cancellationToken).ConfigureAwait(false);
        var orphans = found.Where(one => one.Kind is InconsistencyKind.VolumeWithoutDisk or InconsistencyKind.UnfinishedVolume).ToList();
        List<Inconsistency> removed = [];

        if (orphans.Count > 0 && needed.Unseen is [var unseen, ..])
        {
            throw new UnavailableException($"Nothing is removed while not all can be looked at: {unseen.Message}");
        }

        foreach (var orphan in orphans)
        {
            var parts = orphan.Subject.Split('/');
            if (StorlinkId.TryParse(parts[1], out var storlink) && DiskId.TryParse(parts[3], out var id)
                && !needed.Layers.Any(layer => layer.Contains(id.ToString(), StringComparison.Ordinal))
                && await RemoveAsync(new() { Storlink = storlink, Disk = id }, cancellationToken).ConfigureAwait(false))
            {
                removed.Add(orphan);
            }
        }

        return removed;
    }

    /// <returns>False: somebody has taken it up since, or removed it.</returns>
    private async Task<bool> RemoveAsync(OrphanState orphan, CancellationToken cancellationToken)
    {
        try
        {
            var removal = await _operations.StartAsync(_workflows.RemoveOrphan, orphan, null, cancellationToken).ConfigureAwait(false);
            (await _operations.WaitAsync(removal.Id, cancellationToken).ConfigureAwait(false)).EnsureSucceeded();
            return true;
        }
        catch (PengxException error) when (error is ResourceLockedException or OperationFailedException { Code: PengxErrorCode.NotFound })
        {
            return false;
        }
    }

    private static bool IsWorkedOn(List<OperationRecord> unfinished, string id) =>
        unfinished.Any(operation => operation.WorksOn(id));

    private static bool IsWorkedOn(List<OperationRecord> unfinished, IReadOnlyList<Disk> chain) =>
        chain.Any(disk => IsWorkedOn(unfinished, disk.Id.ToString()) || IsWorkedOn(unfinished, disk.Owner.Id.ToString()));

    private async Task CheckLocksAsync(List<OperationRecord> unfinished, List<Inconsistency> found, CancellationToken cancellationToken)
    {
        var alive = unfinished.Select(operation => operation.Id).ToHashSet();
        foreach (var claim in await _place.Journal.ListLocksAsync(cancellationToken).ConfigureAwait(false))
        {
            // An operation that was accepted after the list was made holds its locks rightly.
            if (!alive.Contains(claim.Operation)
                && await _place.Journal.FindAsync(claim.Operation, cancellationToken).ConfigureAwait(false) is not { Checkpoint.IsFinished: false })
            {
                found.Add(new(InconsistencyKind.LockWithoutOperation, claim.Resource, $"{claim.Resource} is locked by operation {claim.Operation}, which has ended."));
            }
        }
    }

    private async Task CheckVolumesAsync(List<OperationRecord> unfinished, List<Inconsistency> found, NeededImages needed, CancellationToken cancellationToken)
    {
        var (storlinks, disks) = await _place.Store.ReadAsync(
            async session =>
            {
                List<Disk> all = [];
                foreach (var kind in Enum.GetValues<DiskOwnerKind>())
                {
                    all.AddRange(await session.Disks.ListAsync(kind, cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false));
                }

                return (await session.Storlinks.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false), all);
            },
            cancellationToken).ConfigureAwait(false);
        foreach (var storlink in storlinks.Where(storlink => storlink.Pm == _place.Host.Id || storlink.Shared))
        {
            var rows = disks.Where(disk => disk.Storlink == storlink.Id).ToDictionary(disk => disk.Id);
            if (_place.Storage.Find(storlink) is not { } backend)
            {
                if (rows.Count > 0)
                {
                    needed.Miss(found, new(InconsistencyKind.NotChecked, $"storlink/{storlink.Id}", $"Nothing here can look at storlink '{storlink.Name}'."));
                }

                continue;
            }

            try
            {
                var entries = await backend.ListAsync(storlink, cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false);
                CompareVolumes(storlink, rows, entries, unfinished, found);
                await CheckDescriptionsAsync(storlink, backend, rows, unfinished, found, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception error) when (error is StorageException or UnavailableException && rows.Count == 0)
            {
                // A storage link that names nothing yet holds nothing either.
            }
            catch (PengxException error)
            {
                needed.Miss(found, new(InconsistencyKind.NotChecked, $"storlink/{storlink.Id}", $"Storlink '{storlink.Name}' could not be looked at: {error.Message}"));
            }
        }
    }

    private static void CompareVolumes(Storlink storlink, Dictionary<DiskId, Disk> rows, List<VolumeEntry> entries, List<OperationRecord> unfinished, List<Inconsistency> found)
    {
        foreach (var entry in entries.Where(entry => !IsWorkedOn(unfinished, entry.Disk.ToString())))
        {
            var subject = $"storlink/{storlink.Id}/disk/{entry.Disk}";
            if (!entry.Complete)
            {
                found.Add(new(InconsistencyKind.UnfinishedVolume, subject, $"{entry.Name} on storlink '{storlink.Name}' was left half made or half removed."));
            }
            else if (!rows.ContainsKey(entry.Disk))
            {
                found.Add(new(InconsistencyKind.VolumeWithoutDisk, subject, $"{entry.Name} on storlink '{storlink.Name}' belongs to no disk."));
            }
        }

        var complete = entries.Where(entry => entry.Complete).Select(entry => entry.Disk).ToHashSet();
        foreach (var disk in rows.Values.Where(disk => !complete.Contains(disk.Id) && !IsWorkedOn(unfinished, disk.Id.ToString())))
        {
            found.Add(new(InconsistencyKind.DiskWithoutVolume, $"storlink/{storlink.Id}/disk/{disk.Id}", $"Disk {disk.Id} has no image on storlink '{storlink.Name}'."));
        }
    }

    /// <summary>Holds what the images themselves say they lie on against the rows. To read one that is no file it is attached, and one that is
    /// attached here may not be started upon elsewhere: those of other PMs are left to them.</summary>
    private async Task CheckChainsAsync(List<OperationRecord> unfinished, List<Inconsistency> found, NeededImages needed, CancellationToken cancellationToken)
    {
        var (disks, rows) = await _place.Store.ReadAsync(
            async session =>
            {
                var own = await OwnersHereAsync(session, cancellationToken).ConfigureAwait(false);
                var storlinks = (await session.Storlinks.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(storlink => storlink.Id);
                List<Disk> all = [];
                foreach (var kind in Enum.GetValues<DiskOwnerKind>())
                {
                    all.AddRange(await session.Disks.ListAsync(kind, cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false));
                }

                // Only qcow2 images name others.
                var byId = all.ToDictionary(disk => disk.Id);
                all.RemoveAll(disk => disk.Format != DiskFormat.Qcow2 || storlinks.GetValueOrDefault(disk.Storlink) is not { } link || _place.Storage.Find(link) is null);
                var readable = all.ToLookup(disk => storlinks[disk.Storlink].Level == StorlinkLevel.File || own.Contains(disk.Owner));
                foreach (var storlink in readable[false].Select(disk => storlinks[disk.Storlink]).Distinct())
                {
                    needed.Miss(found, new(InconsistencyKind.NotChecked, $"storlink/{storlink.Id}", $"Disks of other PMs on storlink '{storlink.Name}' were left alone; only those PMs can follow their images."));
                }

                return (readable[true].ToList(), byId);
            },
            cancellationToken).ConfigureAwait(false);
        var lost = found.Where(one => one.Kind == InconsistencyKind.DiskWithoutVolume).Select(one => one.Subject).ToHashSet(StringComparer.Ordinal);
        foreach (var disk in disks)
        {
            // What changes beneath an image changes what it consists of.
            var chain = ChainOf(disk, rows);
            var isWorkedOn = IsWorkedOn(unfinished, chain);
            var subject = $"storlink/{disk.Storlink}/disk/{disk.Id}";
            try
            {
                var recorded = (await SnapshotRows.ChainAsync(_place, disk, cancellationToken).ConfigureAwait(false)).Layers;
                var real = await _place.Chains.ReadAsync(recorded[0], cancellationToken).ConfigureAwait(false);
                needed.Layers.UnionWith(real.Select(layer => layer.Location.ToString()!));
                if (!isWorkedOn && !real.SequenceEqual(recorded) && await IsStillSoAsync(chain, cancellationToken).ConfigureAwait(false))
                {
                    found.Add(new(InconsistencyKind.ChainDiffers, subject, $"The image of disk {disk.Id} consists of {Listed(real)}, and the rows say {Listed(recorded)}."));
                }
            }
            catch (PengxException error)
            {
                if (!isWorkedOn && await IsStillSoAsync(chain, cancellationToken).ConfigureAwait(false))
                {
                    Inconsistency unseen = new(InconsistencyKind.NotChecked, subject, $"The images of disk {disk.Id} could not be followed: {error.Message}");
                    if (lost.Contains(subject))
                    {
                        // What has no image lies on none.
                        found.Add(unseen);
                    }
                    else
                    {
                        needed.Miss(found, unseen);
                    }
                }
            }
        }
    }

    /// <summary>What may own a disk that is attached on this PM alone. Backups are not among them: they are files.</summary>
    private async Task<HashSet<DiskOwner>> OwnersHereAsync(IStoreSession session, CancellationToken cancellationToken)
    {
        HashSet<DiskOwner> owners = [];
        await foreach (var template in session.Templates.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            if (template.Pm == _place.Host.Id)
            {
                owners.Add(DiskOwner.Of(template.Id));
            }
        }

        foreach (var machine in (await session.VirtualMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false)).Where(machine => machine.Pm == _place.Host.Id))
        {
            owners.UnionWith(MachineRows.OwnersOf(machine.Id, await session.Snapshots.ListByVmAsync(machine.Id, cancellationToken).ConfigureAwait(false)));
        }

        return owners;
    }

    /// <summary>Whether nothing has taken one of a disk's images up since the check began: what is seen in between is not a finding.</summary>
    private async Task<bool> IsStillSoAsync(IReadOnlyList<Disk> chain, CancellationToken cancellationToken)
    {
        var unfinished = await UnfinishedOperations.ListAsync(_place, cancellationToken).ConfigureAwait(false);
        return !IsWorkedOn(unfinished, chain) && await _place.Store.ReadAsync(
            async session =>
            {
                foreach (var disk in chain)
                {
                    if (await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false) != disk)
                    {
                        return false;
                    }
                }

                return true;
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A disk and those that it lies on by the rows, as far as they are among some.</summary>
    private static List<Disk> ChainOf(Disk disk, Dictionary<DiskId, Disk> rows)
    {
        List<Disk> chain = [];
        for (var layer = disk; layer is not null && !chain.Contains(layer); layer = layer.Backing is { } beneath ? rows.GetValueOrDefault(beneath) : null)
        {
            chain.Add(layer);
        }

        return chain;
    }

    private static string Listed(IReadOnlyList<DiskLayer> layers) => string.Join(" on ", layers.Select(layer => layer.Location));

    /// <summary>Holds the snapshots of a machine against what they must be, and what it runs on against the rows.</summary>
    private async Task CheckSnapshotsAsync(SnapshotRows rows, bool alive, List<Inconsistency> found, NeededImages needed, CancellationToken cancellationToken)
    {
        var (machine, subject) = (rows.Machine, $"vm/{rows.Machine.Id}");
        var ids = rows.Snapshots.Select(snapshot => snapshot.Id).ToHashSet();
        var trouble = rows.Snapshots switch
        {
            { Count: 0 } => null,
            var all when all.Count(snapshot => snapshot.Kind == SnapshotKind.Run) != 1 => "does not stand on exactly one of them",
            var all when rows.DisksOf(DiskOwner.Of(machine.Id)).Count > 0 => "has disks beside theirs",
            var all when all.Any(snapshot => snapshot.Parent is { } parent && !ids.Contains(parent)) => "has one whose parent is missing",
            var all when all.Any(snapshot => snapshot.Kind == SnapshotKind.Run && rows.ChildrenOf(snapshot.Id).Count > 0) => "has one upon what it runs on",
            var all when all.Any(snapshot => snapshot.Kind == SnapshotKind.Deleted && rows.ChildrenOf(snapshot.Id).Count < 2) => "has a deleted one that fewer than two lie on",
            _ => null,
        };
        if (trouble is not null)
        {
            found.Add(new(InconsistencyKind.SnapshotsDiffer, subject, $"VM '{machine.Name}' has snapshots and {trouble}."));
        }

        if (!alive || !_place.Driver.TryGetFeature<ILiveDisks>(out var live))
        {
            return;
        }

        try
        {
            var real = await live.ReadAsync(machine.Id, cancellationToken).ConfigureAwait(false);
            needed.Layers.UnionWith(real.SelectMany(disk => disk.Layers).Select(layer => layer.Location.ToString()!));
            var images = rows.Disks.ToDictionary(disk => disk.Id);
            foreach (var disk in rows.Current)
            {
                var recorded = await SnapshotRows.ChainAsync(_place, disk, cancellationToken).ConfigureAwait(false);
                if (real.FirstOrDefault(one => one.Vdev == recorded.Vdev) is { } open && !open.Layers.SequenceEqual(recorded.Layers) && await IsStillSoAsync(ChainOf(disk, images), cancellationToken).ConfigureAwait(false))
                {
                    found.Add(new(InconsistencyKind.ChainDiffers, subject, $"VM '{machine.Name}' runs {recorded.Vdev} on {Listed(open.Layers)}, and the rows say {Listed(recorded.Layers)}."));
                }
            }
        }
        catch (PengxException error)
        {
            if (await _place.IsAliveAsync(machine.Id, cancellationToken).ConfigureAwait(false))
            {
                needed.Miss(found, new(InconsistencyKind.NotChecked, subject, $"What VM '{machine.Name}' runs on could not be asked: {error.Message}"));
            }
        }
    }

    private static async Task CheckDescriptionsAsync(
        Storlink storlink, IStorageBackend backend, Dictionary<DiskId, Disk> rows, List<OperationRecord> unfinished, List<Inconsistency> found, CancellationToken cancellationToken)
    {
        if (!backend.TryGetFeature<IBackupFiles>(out var files))
        {
            return;
        }

        var described = (await files.ListDescriptionsAsync(storlink, cancellationToken).ConfigureAwait(false)).ToHashSet();
        var known = rows.Values.Where(disk => disk.Owner.Kind == DiskOwnerKind.Backup).Select(disk => new BackupId(disk.Owner.Id)).ToHashSet();
        foreach (var backup in described.Except(known).Where(backup => !IsWorkedOn(unfinished, backup.ToString())))
        {
            found.Add(new(InconsistencyKind.DescriptionWithoutBackup, $"storlink/{storlink.Id}/backup/{backup}", $"{backup}.backup.json on storlink '{storlink.Name}' describes no backup that is known."));
        }

        foreach (var backup in known.Except(described).Where(backup => !IsWorkedOn(unfinished, backup.ToString())))
        {
            found.Add(new(InconsistencyKind.BackupWithoutDescription, $"storlink/{storlink.Id}/backup/{backup}", $"Backup {backup} has no {backup}.backup.json on storlink '{storlink.Name}'; it cannot be restored."));
        }
    }

    private async Task CheckDomainsAsync(List<OperationRecord> unfinished, List<Inconsistency> found, NeededImages needed, CancellationToken cancellationToken)
    {
        var domains = _place.Driver.Domains;
        var running = (await domains.ListAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(status => status.Id);
        var defined = (await domains.ListDefinedAsync(cancellationToken).ConfigureAwait(false)).ToHashSet();
        HashSet<DomainId> known = [];
        List<(GuestRef Guest, PmId Pm)> elsewhere = [];
        await _place.Store.ReadAsync(
            async session =>
            {
                foreach (var template in await session.Templates.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false))
                {
                    known.Add(template.Id);
                    if (IsWorkedOn(unfinished, template.Id.ToString()))
                    {
                        continue;
                    }

                    if (template.Pm != _place.Host.Id)
                    {
                        elsewhere.Add((GuestRef.Of(template), template.Pm));
                    }
                    else
                    {
                        CompareState(GuestRef.Of(template), template.State);
                        CheckTemplate(template);
                    }
                }

                foreach (var machine in await session.VirtualMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false))
                {
                    known.Add(machine.Id);
                    if (IsWorkedOn(unfinished, machine.Id.ToString()))
                    {
                        continue;
                    }

                    if (machine.Pm != _place.Host.Id)
                    {
                        elsewhere.Add((GuestRef.Of(machine), machine.Pm));
                    }
                    else
                    {
                        CompareState(GuestRef.Of(machine), machine.State);
                        await CheckMachineAsync(session, machine).ConfigureAwait(false);
                    }
                }

                return true;
            },
            cancellationToken).ConfigureAwait(false);
        foreach (var stray in defined.Concat(running.Keys).Distinct().Where(id => !known.Contains(id) && !IsWorkedOn(unfinished, id.ToString())))
        {
            found.Add(new(InconsistencyKind.DomainWithoutRow, $"domain/{stray}", $"The hypervisor {(running.ContainsKey(stray) ? "runs" : "stores")} domain {stray}, which is no VM and no template."));
        }

        foreach (var (guest, pm) in elsewhere.Where(one => running.ContainsKey(one.Guest.Domain) || defined.Contains(one.Guest.Domain)))
        {
            // It may have been moved away since the hypervisor was asked.
            var runs = await domains.FindAsync(guest.Domain, cancellationToken).ConfigureAwait(false) is not null;
            if (runs || await domains.FindDefinitionAsync(guest.Domain, cancellationToken).ConfigureAwait(false) is not null)
            {
                found.Add(new(InconsistencyKind.DomainOfAnotherHost, guest.Target, $"The hypervisor of this host {(runs ? "runs" : "stores")} {guest.Title}, which is of PM {pm}."));
            }
        }

        void CompareState(GuestRef guest, VmState recorded)
        {
            var truth = running.GetValueOrDefault(guest.Domain)?.State ?? VmState.Shutdown;
            if (truth != recorded)
            {
                found.Add(new(InconsistencyKind.StateDiffers, guest.Target, $"{guest.Title} is recorded as {VirtualMachines.Name(recorded)} and is {VirtualMachines.Name(truth)}."));
            }
        }

        async Task CheckMachineAsync(IStoreSession session, VirtualMachine machine)
        {
            var rows = await MachineRows.FindAsync(session, machine.Id, cancellationToken).ConfigureAwait(false);
            if (rows is null)
            {
                return;
            }

            var alive = running.GetValueOrDefault(machine.Id) is { State: VmState.Running or VmState.Paused };
            if (!alive && rows.Interfaces.FirstOrDefault(nic => nic.Retired) is { } retired)
            {
                found.Add(new(InconsistencyKind.InterfaceStillRetired, $"vm/{machine.Id}", $"Interface {retired.Id} of VM '{machine.Name}' was deleted and is still kept."));
            }

            if (await SnapshotRows.FindAsync(session, machine.Id, cancellationToken).ConfigureAwait(false) is { } snapshots)
            {
                await CheckSnapshotsAsync(snapshots, alive, found, needed, cancellationToken).ConfigureAwait(false);
            }

            await CompareDefinitionAsync(GuestRef.Of(machine), () => _place.Definitions.BuildAsync(session, rows, cancellationToken)).ConfigureAwait(false);
        }

        void CheckTemplate(Template template)
        {
            // A template's configuration is stored when it is started, with the ISO image of that start.
            if (running.GetValueOrDefault(template.Id) is { State: VmState.Running or VmState.Paused } && !defined.Contains(template.Id))
            {
                found.Add(new(InconsistencyKind.DefinitionDiffers, $"template/{template.Id}", $"Template '{template.Name}' runs and no configuration is stored."));
            }
        }

        async Task CompareDefinitionAsync(GuestRef guest, Func<Task<DomainDefinition>> build)
        {
            try
            {
                var expected = await build().ConfigureAwait(false);
                var stored = await domains.FindDefinitionAsync(guest.Domain, cancellationToken).ConfigureAwait(false);
                if (stored != expected)
                {
                    found.Add(new(InconsistencyKind.DefinitionDiffers, guest.Target, stored is null
                        ? $"The hypervisor stores no configuration of {guest.Called}."
                        : $"The configuration that the hypervisor stores of {guest.Called} is not what the rows say."));
                }
            }
            catch (PengxException error)
            {
                found.Add(new(InconsistencyKind.NotChecked, guest.Target, $"The configuration of {guest.Called} could not be made: {error.Message}"));
            }
        }
    }

    /// <summary>What images and guests were seen to need, and what could not be seen.</summary>
    private sealed class NeededImages
    {
        public HashSet<string> Layers { get; } = new(StringComparer.Ordinal);

        public List<Inconsistency> Unseen { get; } = [];

        /// <summary>Reports something that could not be looked at, and that may need any image.</summary>
        public void Miss(List<Inconsistency> found, Inconsistency what)
        {
            found.Add(what);
            Unseen.Add(what);
        }
    }
}
