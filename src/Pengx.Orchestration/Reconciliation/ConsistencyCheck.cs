namespace Pengx.Orchestration;

/// <summary>Holds rows, storage, hypervisor and journal against each other and reports where they disagree. It changes nothing, and
/// leaves out what unfinished operations work on.</summary>
public sealed class ConsistencyCheck
{
    private readonly Workplace _place;
    private readonly IOperationJournal _journal;

    internal ConsistencyCheck(Workplace place, IOperationJournal journal)
    {
        _place = place;
        _journal = journal;
    }

    /// <summary>Looks at everything that this PM can see.</summary>
    /// <param name="cancellationToken">Ends the check.</param>
    /// <returns>What disagrees; nothing where all is well.</returns>
    public async Task<IReadOnlyList<Inconsistency>> RunAsync(CancellationToken cancellationToken = default)
    {
        var unfinished = await _journal.ListAsync(new OperationQuery { UnfinishedOnly = true, Limit = int.MaxValue }, cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false);
        List<Inconsistency> found = [];
        await CheckLocksAsync(unfinished, found, cancellationToken).ConfigureAwait(false);
        await CheckVolumesAsync(unfinished, found, cancellationToken).ConfigureAwait(false);
        await CheckDomainsAsync(unfinished, found, cancellationToken).ConfigureAwait(false);
        return found;
    }

    private static bool IsWorkedOn(List<OperationRecord> unfinished, string id) =>
        unfinished.Any(operation => operation.Checkpoint.StateJson.Contains(id, StringComparison.Ordinal) || operation.Target.Contains(id, StringComparison.Ordinal));

    private async Task CheckLocksAsync(List<OperationRecord> unfinished, List<Inconsistency> found, CancellationToken cancellationToken)
    {
        var alive = unfinished.Select(operation => operation.Id).ToHashSet();
        foreach (var claim in await _journal.ListLocksAsync(cancellationToken).ConfigureAwait(false))
        {
            // An operation that was accepted after the list was made holds its locks rightly.
            if (!alive.Contains(claim.Operation)
                && await _journal.FindAsync(claim.Operation, cancellationToken).ConfigureAwait(false) is not { Checkpoint.IsFinished: false })
            {
                found.Add(new(InconsistencyKind.LockWithoutOperation, claim.Resource, $"{claim.Resource} is locked by operation {claim.Operation}, which has ended."));
            }
        }
    }

    private async Task CheckVolumesAsync(List<OperationRecord> unfinished, List<Inconsistency> found, CancellationToken cancellationToken)
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
                    found.Add(new(InconsistencyKind.NotChecked, $"storlink/{storlink.Id}", $"Nothing here can look at storlink '{storlink.Name}'."));
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
            catch (Exception error) when (error is StorageException or UnavailableException)
            {
                found.Add(new(InconsistencyKind.NotChecked, $"storlink/{storlink.Id}", $"Storlink '{storlink.Name}' could not be looked at: {error.Message}"));
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

    private async Task CheckDomainsAsync(List<OperationRecord> unfinished, List<Inconsistency> found, CancellationToken cancellationToken)
    {
        var domains = _place.Driver.Domains;
        var running = (await domains.ListAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(status => status.Id);
        var defined = (await domains.ListDefinedAsync(cancellationToken).ConfigureAwait(false)).ToHashSet();
        HashSet<DomainId> known = [];
        await _place.Store.ReadAsync(
            async session =>
            {
                foreach (var template in await session.Templates.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false))
                {
                    known.Add(template.Id);
                    if (template.Pm == _place.Host.Id && !IsWorkedOn(unfinished, template.Id.ToString()))
                    {
                        CompareState(GuestRef.Of(template), template.State);
                        CheckTemplate(template);
                    }
                }

                foreach (var machine in await session.VirtualMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false))
                {
                    known.Add(machine.Id);
                    if (machine.Pm == _place.Host.Id && !IsWorkedOn(unfinished, machine.Id.ToString()))
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
            catch (Exception error) when (error is StorageException or NotFoundException or WrongStateException or UnavailableException)
            {
                found.Add(new(InconsistencyKind.NotChecked, guest.Target, $"The configuration of {guest.Called} could not be made: {error.Message}"));
            }
        }
    }
}
