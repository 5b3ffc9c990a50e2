using System.Globalization;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class CreateBackupState
{
    public required FrozenMachine Source { get; init; }

    /// <summary>The backup's row; size and date are settled on the way.</summary>
    public required Backup Backup { get; set; }

    public required DiskFormat Format { get; init; }

    /// <summary>Whether an incremental backup was asked for.</summary>
    public bool IsIncremental { get; init; }

    /// <summary>The backup that it then counts from, where there is one.</summary>
    public Backup? Parent { get; init; }

    /// <summary>Why it became a full one all the same.</summary>
    public string? FullBecause { get; set; }

    /// <summary>The disks of which an incremental one does not know what changed: they are compared with its parent's images.</summary>
    public IReadOnlyList<DiskId> Compared { get; set; } = [];

    /// <summary>Why that is not known.</summary>
    public string? ComparedBecause { get; set; }

    /// <summary>Why it will not be known for the next one.</summary>
    public string? NotTracked { get; set; }

    /// <summary>How much an incremental one copied.</summary>
    public long ChangedBytes { get; set; }

    public IReadOnlyList<PlannedDisk> Disks { get; set; } = [];

    public BackupMachine? Machine { get; set; }

    public IReadOnlyList<BackupFile> Files { get; set; } = [];

    /// <summary>Whether its images lie upon those of its parent.</summary>
    [JsonIgnore]
    public bool IsUponParent => Disks.Any(disk => disk.Disk.Backing is not null);

    public RowSet Rows() => new() { Backup = Backup, Disks = [.. Disks.Select(disk => disk.Disk)] };

    public void MakeFull(string reason)
    {
        FullBecause = reason;
        Disks = [.. Disks.Select(planned => planned with { Disk = planned.Disk with { Format = Format, Backing = null } })];
    }
}

/// <summary>Backs a machine up in any state: images of all its disks at one instant, flat or upon those of the backup before, checksums
/// and a description beside them, the rows last.</summary>
internal sealed class CreateBackup(Workplace place) : Workflow<CreateBackupState>
{
    public override string Name => "vm.backup.create";

    public override bool MovesImages => true;

    public override JsonTypeInfo<CreateBackupState> StateType => JournalJson.Default.CreateBackupState;

    public override IReadOnlyList<Step<CreateBackupState>> Steps =>
    [
        new("look at the machine", async (context, cancellationToken) =>
        {
            var state = context.State;
            var rows = await Freezing.PlanAsync(place, state.Source, cancellationToken).ConfigureAwait(false);
            state.Machine = BackupRules.DescribeMachine(rows, await place.IsAliveAsync(state.Source.Vm, cancellationToken).ConfigureAwait(false));
            state.Disks =
            [
                .. rows.Disks.OrderBy(disk => disk.Order).Select(disk => new PlannedDisk(
                    new Disk
                    {
                        Id = DiskId.New(),
                        Owner = DiskOwner.Of(state.Backup.Id),
                        Order = disk.Order,
                        Size = disk.Size,
                        Format = state.Format,
                        Storlink = state.Backup.Storlink,
                        Type = disk.Type,
                        Description = disk.Description,
                        CreatedAt = context.Now,
                    },
                    disk.Id)),
            ];
            state.Backup = state.Backup with { Size = new(rows.Disks.Sum(disk => disk.Size.Bytes)) };
            await IncrementalBackups.PlanAsync(place, state, rows, cancellationToken).ConfigureAwait(false);
        }),
        new("verify the backup before", (context, cancellationToken) => IncrementalBackups.VerifyParentAsync(place, context.State, context.Progress, cancellationToken)),
        new(
            "note changes",
            (context, cancellationToken) => IncrementalBackups.TrackAsync(place, context.State, cancellationToken),
            (context, cancellationToken) => IncrementalBackups.UntrackAsync(place, context.State, cancellationToken)),
        Freezing.Freeze<CreateBackupState>(place, state => state.Source),
        new(
            "copy disks",
            async (context, cancellationToken) =>
            {
                var state = context.State;
                if (!state.IsUponParent || !await IncrementalBackups.TryCopyAsync(place, state, context.Progress, cancellationToken).ConfigureAwait(false))
                {
                    await VolumeSteps.CopyFrozenAsync(place, state.Disks, context.Progress, cancellationToken).ConfigureAwait(false);
                }
            },
            async (context, cancellationToken) =>
            {
                await IncrementalBackups.AbandonAsync(place, context.State.Source.Vm, cancellationToken).ConfigureAwait(false);
                await VolumeSteps.DeleteAsync(place, context.State.Disks.Select(disk => disk.Disk), cancellationToken).ConfigureAwait(false);
            }),
        Freezing.Thaw<CreateBackupState>(place, state => state.Source),
        new("make checksums", async (context, cancellationToken) =>
        {
            var state = context.State;
            var (storlink, files) = await BackupRules.PlaceAsync(place, state.Backup.Storlink, cancellationToken).ConfigureAwait(false);
            List<BackupFile> made = [];
            foreach (var (share, disk) in ProgressShare.Of(context.Progress, state.Disks, disk => disk.Disk.Size))
            {
                made.Add(await files.DigestAsync(storlink, disk.Disk.Id, disk.Disk.Format, share, cancellationToken).ConfigureAwait(false));
            }

            state.Files = made;
            state.Backup = state.Backup with { CreatedAt = state.Source.At ?? context.Now };
        }),
        new(
            "write description",
            async (context, cancellationToken) =>
            {
                var state = context.State;
                var (storlink, files) = await BackupRules.PlaceAsync(place, state.Backup.Storlink, cancellationToken).ConfigureAwait(false);
                var parent = state.IsUponParent ? await BackupRules.DescriptionAsync(files, storlink, state.Parent!, cancellationToken).ConfigureAwait(false) : null;
                await files.WriteDescriptionAsync(storlink, state.Backup.Id, BackupRules.DescribeBackup(state, parent).Write(), cancellationToken).ConfigureAwait(false);
            },
            async (context, cancellationToken) =>
            {
                var (storlink, files) = await BackupRules.PlaceAsync(place, context.State.Backup.Storlink, cancellationToken).ConfigureAwait(false);
                await files.DeleteDescriptionAsync(storlink, context.State.Backup.Id, cancellationToken).ConfigureAwait(false);
            }),
        new(
            "record",
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
        new("forget older changes", (context, cancellationToken) => IncrementalBackups.ForgetOldAsync(place, context.State, cancellationToken)),
    ];

    public override string Target(CreateBackupState state) => $"vm/{state.Source.Vm}";

    public override string Describe(CreateBackupState state) => $"the backup of VM {state.Source.Name}";

    public override IReadOnlyList<ResourceLock> Locks(CreateBackupState state) =>
    [
        ResourceLock.On(state.Source.Vm),
        BackupRules.Lock(state.Backup.Id),
        .. state.Parent is { } parent ? (ResourceLock[])[BackupRules.Lock(parent.Id) with { Shared = true }] : [],
        ResourceLock.On(state.Backup.Storlink, shared: true),
    ];

    public override string Succeeded(CreateBackupState state)
    {
        var made = $"Backup '{state.Backup.Name}' of VM '{state.Source.Name}' was made";
        var how = (state.IsUponParent, state.FullBecause) switch
        {
            (true, _) => string.Create(CultureInfo.InvariantCulture, $", incrementally upon backup '{state.Parent!.Name}'{Comparison(state)}: at most {new DataSize(state.ChangedBytes).MiBCeiling} MiB had changed."),
            (false, { } reason) => $" as a full one: {reason.TrimEnd('.')}.",
            _ => ".",
        };
        return $"{made}{how}{(state.NotTracked is { } untracked ? $" For the next one all disks will be read: {untracked}" : "")}{state.Source.KeptMessage()}";

        static string Comparison(CreateBackupState state) => state.ComparedBecause is { } reason
            ? $" and by comparing with it, because {reason.TrimEnd('.')}"
            : "";
    }

    public override string? Remark(CreateBackupState state) => state.Source.Kept is null ? null : state.Source.KeptMessage();

    public override string? Created(CreateBackupState state) => $"vm/{state.Source.Vm}/backup/{state.Backup.Id}";
}

internal sealed class RestoreBackupState
{
    public required VmId Vm { get; init; }

    public required string VmName { get; init; }

    public required Backup Backup { get; init; }

    /// <summary>The disks that the machine gets.</summary>
    public IReadOnlyList<PlannedDisk> Disks { get; set; } = [];

    /// <summary>The disks that it had in their places.</summary>
    public IReadOnlyList<Disk> Replaced { get; set; } = [];

    /// <summary>How many of its disks the backup does not know, and are left as they are.</summary>
    public int Others { get; set; }
}

/// <summary>Gives a machine that does not run its disks back as a backup has them. Its snapshots stay as they are.</summary>
internal sealed class RestoreBackup(Workplace place) : Workflow<RestoreBackupState>
{
    public override string Name => "vm.backup.restore";

    public override bool MovesImages => true;

    public override JsonTypeInfo<RestoreBackupState> StateType => JournalJson.Default.RestoreBackupState;

    public override IReadOnlyList<Step<RestoreBackupState>> Steps =>
    [
        new("look at the machine", async (context, cancellationToken) =>
        {
            var state = context.State;
            if (await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
            {
                throw new WrongStateException($"VM '{state.VmName}' runs; stop it first.");
            }

            await place.EndCrashedAsync(state.Vm, cancellationToken).ConfigureAwait(false);
            var (rows, images) = await RowsAsync(state, cancellationToken).ConfigureAwait(false);
            var home = rows.Disks is [var boot, ..] ? boot.Storlink : state.Backup.Storlink;
            List<PlannedDisk> disks = [];
            foreach (var image in images)
            {
                var current = rows.Disks.FirstOrDefault(disk => disk.Order == image.Order);
                var storlink = await CopyMachine.FindStorlinkAsync(place, current?.Storlink ?? home, cancellationToken).ConfigureAwait(false);
                disks.Add(new(
                    new Disk
                    {
                        Id = DiskId.New(),
                        Owner = rows.DiskOwner,
                        Order = image.Order,
                        Size = image.Size,
                        Format = VolumeSteps.FormatOn(storlink, current?.Format ?? image.Format),
                        Storlink = storlink.Id,
                        Type = image.Type,
                        Description = image.Description,
                        CreatedAt = context.Now,
                    },
                    image.Id));
            }

            state.Disks = disks;
            state.Replaced = [.. rows.Disks.Where(disk => images.Any(image => image.Order == disk.Order))];
            state.Others = rows.Disks.Count - state.Replaced.Count;
            await RefuseWhatIsNeededAsync(state, cancellationToken).ConfigureAwait(false);
        }),
        new("verify checksums", async (context, cancellationToken) =>
        {
            var (_, images) = await RowsAsync(context.State, cancellationToken).ConfigureAwait(false);
            await BackupRules.VerifyAsync(place, context.State.Backup, images, context.Progress, cancellationToken).ConfigureAwait(false);
        }),
        new(
            "copy disks",
            (context, cancellationToken) => VolumeSteps.CreateAsync(place, context.State.Disks, context.Progress, cancellationToken),
            (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Disks.Select(disk => disk.Disk), cancellationToken)),
        new(
            "store configuration",
            async (context, cancellationToken) =>
            {
                var (rows, _) = await RowsAsync(context.State, cancellationToken).ConfigureAwait(false);
                var replaced = context.State.Replaced.Select(disk => disk.Id).ToHashSet();
                IReadOnlyList<Disk> disks = [.. rows.Disks.Where(disk => !replaced.Contains(disk.Id)), .. context.State.Disks.Select(disk => disk.Disk)];
                var definition = await place.Store.ReadAsync(
                    session => place.Definitions.BuildAsync(session, rows with { Disks = [.. disks.DistinctBy(disk => disk.Id)] }, cancellationToken),
                    cancellationToken).ConfigureAwait(false);
                await place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
            },
            (context, cancellationToken) => place.Definitions.SyncAsync(context.State.Vm, cancellationToken)),
        new("record", (context, cancellationToken) => SwitchAsync(context.State, context.Now, cancellationToken)) { IsSwitch = true },
        new("delete old disks", async (context, cancellationToken) =>
        {
            await place.EndCrashedAsync(context.State.Vm, cancellationToken).ConfigureAwait(false);
            await VolumeSteps.DeleteAsync(place, context.State.Replaced, cancellationToken).ConfigureAwait(false);
        }),
    ];

    public override string Target(RestoreBackupState state) => $"vm/{state.Vm}";

    public override string Describe(RestoreBackupState state) => $"the restore of VM {state.VmName} from backup {state.Backup.Name}";

    public override IReadOnlyList<ResourceLock> Locks(RestoreBackupState state) =>
        [ResourceLock.On(state.Vm), BackupRules.Lock(state.Backup.Id), ResourceLock.On(state.Backup.Storlink, shared: true)];

    public override string Succeeded(RestoreBackupState state) =>
        $"VM '{state.VmName}' was restored from backup '{state.Backup.Name}'.{(state.Others == 0 ? "" : $" {state.Others} of its disks are not in the backup and stay as they are.")}";

    public override string? Created(RestoreBackupState state) => $"vm/{state.Vm}";

    private Task SwitchAsync(RestoreBackupState state, DateTimeOffset now, CancellationToken cancellationToken) => place.Store.ChangeAsync(
        async session =>
        {
            foreach (var disk in state.Replaced)
            {
                if (await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.Disks.Delete(row);
                }
            }

            foreach (var (disk, _) in state.Disks)
            {
                if (await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false) is null)
                {
                    session.Disks.Add(disk);
                }
            }

            if (await session.VirtualMachines.FindAsync(state.Vm, cancellationToken).ConfigureAwait(false) is { } machine && machine.UpdatedAt != now)
            {
                session.VirtualMachines.Update(machine with { UpdatedAt = now });
            }
        },
        cancellationToken);

    private async Task<(MachineRows Rows, IReadOnlyList<Disk> Images)> RowsAsync(RestoreBackupState state, CancellationToken cancellationToken) => await place.Store.ReadAsync(
        async session => (
            await MachineRows.FindAsync(session, state.Vm, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("VM", state.Vm.ToString()),
            await session.Disks.ListByOwnerAsync(DiskOwner.Of(state.Backup.Id), cancellationToken).ConfigureAwait(false) is { Count: > 0 } images
                ? images
                : throw new NotFoundException("backup", state.Backup.Id.ToString())),
        cancellationToken).ConfigureAwait(false);

    private async Task RefuseWhatIsNeededAsync(RestoreBackupState state, CancellationToken cancellationToken)
    {
        foreach (var disk in state.Replaced)
        {
            var overlays = await place.Store.ReadAsync(session => session.Disks.ListByBackingAsync(disk.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
            if (overlays.Count > 0)
            {
                throw new InUseException($"Disk {disk.Id} of VM '{state.VmName}' is what disk {overlays[0].Id} of {overlays[0].Owner.Kind} {overlays[0].Owner.Id:D} lies on.");
            }
        }
    }
}

internal sealed class DeleteBackupState
{
    public required Backup Backup { get; init; }

    public IReadOnlyList<Disk> Disks { get; set; } = [];

    public RowSet Rows() => new() { Backup = Backup, Disks = Disks };
}

internal sealed class DeleteBackup(Workplace place) : Workflow<DeleteBackupState>
{
    public override string Name => "vm.backup.delete";

    public override bool MovesImages => true;

    public override JsonTypeInfo<DeleteBackupState> StateType => JournalJson.Default.DeleteBackupState;

    public override IReadOnlyList<Step<DeleteBackupState>> Steps =>
    [
        new("check backup", async (context, cancellationToken) => context.State.Disks = await place.Store.ReadAsync(
            session => BackupRules.DisksToDeleteAsync(session, context.State.Backup, cancellationToken), cancellationToken).ConfigureAwait(false)),
        new(
            "remove rows",
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
        new("delete files", async (context, cancellationToken) =>
        {
            await VolumeSteps.DeleteAsync(place, context.State.Disks, cancellationToken).ConfigureAwait(false);
            var (storlink, files) = await BackupRules.PlaceAsync(place, context.State.Backup.Storlink, cancellationToken).ConfigureAwait(false);
            await files.DeleteDescriptionAsync(storlink, context.State.Backup.Id, cancellationToken).ConfigureAwait(false);
        }),
    ];

    public override string Target(DeleteBackupState state) => $"vm/{state.Backup.Vm}/backup/{state.Backup.Id}";

    public override string Describe(DeleteBackupState state) => $"the deletion of backup {state.Backup.Name}";

    public override IReadOnlyList<ResourceLock> Locks(DeleteBackupState state) => [BackupRules.Lock(state.Backup.Id), ResourceLock.On(state.Backup.Storlink, shared: true)];

    public override string Succeeded(DeleteBackupState state) => $"Backup '{state.Backup.Name}' was deleted.";
}

/// <summary>What may be done with backups, and how they are described.</summary>
internal static class BackupRules
{
    public static ResourceLock Lock(BackupId id) => new($"backup/{id}");

    /// <summary>The storage link of backups, and what keeps their files there.</summary>
    public static async Task<(Storlink Storlink, IBackupFiles Files)> PlaceAsync(Workplace place, StorlinkId id, CancellationToken cancellationToken)
    {
        var storlink = await CopyMachine.FindStorlinkAsync(place, id, cancellationToken).ConfigureAwait(false);
        return place.Storage.Get(storlink).TryGetFeature<IBackupFiles>(out var files)
            ? (storlink, files)
            : throw new InvalidFieldException("storlink", storlink.Id.ToString(), $"backups are files, and storlink '{storlink.Name}' keeps none: use one of level FL");
    }

    /// <summary>A backup's description.</summary>
    /// <exception cref="StorageException">It is missing or damaged.</exception>
    public static async Task<BackupDescription> DescriptionAsync(IBackupFiles files, Storlink storlink, Backup backup, CancellationToken cancellationToken)
    {
        var where = $"storlink '{storlink.Name}'";
        var content = await files.ReadDescriptionAsync(storlink, backup.Id, cancellationToken).ConfigureAwait(false)
            ?? throw new StorageException($"The file {backup.Id}.backup.json of backup '{backup.Name}' is missing on {where}; without its checksums the backup cannot be trusted.");
        return BackupDescription.Read(content, backup.Id, where);
    }

    /// <summary>Proves that a backup, and every one that it lies upon, is as it was made.</summary>
    /// <exception cref="StorageException">It is not; the message names the file.</exception>
    public static async Task VerifyAsync(Workplace place, Backup backup, IReadOnlyList<Disk> images, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        var (storlink, files) = await PlaceAsync(place, backup.Storlink, cancellationToken).ConfigureAwait(false);
        List<(Backup Backup, Disk Image, BackupImage Told)> all = [];
        Dictionary<Guid, BackupImage> upon = [];
        while (true)
        {
            var description = await DescriptionAsync(files, storlink, backup, cancellationToken).ConfigureAwait(false);
            Dictionary<Guid, BackupImage> next = [];
            foreach (var image in images)
            {
                var told = description.Images.FirstOrDefault(told => told.Disk == image.Id.Value)
                    ?? throw new StorageException($"The file {backup.Id}.backup.json on storlink '{storlink.Name}' does not know image {image.Id} of backup '{backup.Name}'.");
                if (upon.TryGetValue(image.Id.Value, out var above) && above.BackingSha256 != told.Sha256)
                {
                    throw new StorageException($"The file {above.File} on storlink '{storlink.Name}' was made upon another {told.File} than backup '{backup.Name}' describes.");
                }

                if (image.Backing is { } beneath)
                {
                    next[beneath.Value] = told;
                }

                all.Add((backup, image, told));
            }

            if (next.Count == 0)
            {
                break;
            }

            upon = next;
            (backup, images) = await BeneathAsync(place, images, cancellationToken).ConfigureAwait(false);
        }

        foreach (var (share, (of, image, told)) in ProgressShare.Of(progress, all, one => one.Image.Size))
        {
            var found = await files.DigestAsync(storlink, image.Id, image.Format, share, cancellationToken).ConfigureAwait(false);
            if (found.Sha256 != told.Sha256 || found.Bytes != told.FileBytes)
            {
                throw new StorageException($"The file {found.Name} of backup '{of.Name}' on storlink '{storlink.Name}' is not as it was made: its checksum is {found.Sha256}, and was {told.Sha256}.");
            }
        }
    }

    private static Task<(Backup Backup, IReadOnlyList<Disk> Images)> BeneathAsync(Workplace place, IReadOnlyList<Disk> images, CancellationToken cancellationToken) => place.Store.ReadAsync(
        async session =>
        {
            List<Disk> beneath = [];
            foreach (var image in images.Where(image => image.Backing is not null))
            {
                beneath.Add(await session.Disks.FindAsync(image.Backing!.Value, cancellationToken).ConfigureAwait(false)
                    ?? throw new NotFoundException("disk", image.Backing.Value.ToString()));
            }

            // All images of an incremental backup lie upon those of one other.
            BackupId owner = new(beneath[0].Owner.Id);
            return (await session.Backups.FindAsync(owner, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("backup", owner.ToString()), (IReadOnlyList<Disk>)beneath);
        },
        cancellationToken);

    public static async Task<IReadOnlyList<Disk>> DisksToDeleteAsync(IStoreSession session, Backup backup, CancellationToken cancellationToken)
    {
        if (await session.Backups.FindAsync(backup.Id, cancellationToken).ConfigureAwait(false) is null)
        {
            throw new NotFoundException("backup", backup.Id.ToString());
        }

        var disks = await session.Disks.ListByOwnerAsync(DiskOwner.Of(backup.Id), cancellationToken).ConfigureAwait(false);
        foreach (var disk in disks)
        {
            if (await session.Disks.ListByBackingAsync(disk.Id, cancellationToken).ConfigureAwait(false) is [var overlay, ..])
            {
                var upon = overlay.Owner.Kind == DiskOwnerKind.Backup
                    ? await session.Backups.FindAsync(new(overlay.Owner.Id), cancellationToken).ConfigureAwait(false)
                    : null;
                throw new InUseException(upon is null
                    ? $"Image {disk.Id} of backup '{backup.Name}' is what disk {overlay.Id} of {overlay.Owner.Kind} {overlay.Owner.Id:D} lies on; delete that first."
                    : $"Backup '{upon.Name}' ({upon.Id}) is an incremental one that lies upon backup '{backup.Name}'; delete that first.");
            }
        }

        return disks;
    }

    public static BackupMachine DescribeMachine(MachineRows rows, bool running) => new()
    {
        Id = rows.Machine.Id.Value,
        Name = rows.Machine.Name,
        Description = rows.Machine.Description,
        Os = rows.Machine.Os.ToString().ToUpperInvariant(),
        Architecture = rows.Machine.Architecture.ToString().ToUpperInvariant(),
        Cpus = rows.Machine.Cpus,
        MemoryBytes = rows.Machine.Memory.Bytes,
        MaxMemoryBytes = rows.Machine.MaxMemory.Bytes,
        Running = running,
        Nics = [.. rows.Interfaces.Where(nic => !nic.Retired).OrderBy(nic => nic.Id.Value).Select(nic => new BackupNic(nic.Name, nic.Mac.ToString(), nic.Switch, nic.IpAddress?.ToString()))],
    };

    public static BackupDescription DescribeBackup(CreateBackupState state, BackupDescription? parent) => new()
    {
        Form = BackupDescription.CurrentForm,
        Id = state.Backup.Id.Value,
        Name = state.Backup.Name,
        Description = state.Backup.Description,
        TakenAt = state.Backup.CreatedAt,
        Type = parent is null ? BackupDescription.Full : BackupDescription.Incremental,
        Parent = parent?.Id,
        FullBecause = state.FullBecause,
        Quiesced = state.Machine!.Running ? state.Source.Quiesced : null,
        Machine = state.Machine!,
        Images =
        [
            .. state.Disks.Zip(state.Files, (disk, file) => new BackupImage
            {
                File = file.Name,
                Format = disk.Disk.Format.Name,
                Disk = disk.Disk.Id.Value,
                Order = disk.Disk.Order,
                Original = disk.Source!.Value.Value,
                SizeBytes = disk.Disk.Size.Bytes,
                FileBytes = file.Bytes,
                Sha256 = file.Sha256,
                BackingFile = Beneath(parent, disk)?.File,
                BackingFormat = Beneath(parent, disk)?.Format,
                BackingSha256 = Beneath(parent, disk)?.Sha256,
            }),
        ],
    };

    private static BackupImage? Beneath(BackupDescription? parent, PlannedDisk disk) => parent?.Images.First(image => image.Disk == disk.Disk.Backing!.Value.Value);
}
