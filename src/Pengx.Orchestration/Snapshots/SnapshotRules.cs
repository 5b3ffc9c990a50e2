using System.Globalization;

namespace Pengx.Orchestration;

/// <summary>What snapshots demand of a machine, and what they are made of.</summary>
internal static class SnapshotRules
{
    // A new overlay takes a few tables; what the guest writes comes later, as with every thin disk.
    private static readonly DataSize s_emptyOverlay = DataSize.FromMiB(1);

    // The graphics card's memory, above all.
    private static readonly DataSize s_devices = DataSize.FromMiB(128);

    public static Snapshot NewRun(VmId vm, DateTimeOffset now) => new() { Id = SnapshotId.New(), Vm = vm, Kind = SnapshotKind.Run, Name = "run", CreatedAt = now };

    /// <summary>An empty image upon a disk's, which takes the disk's place.</summary>
    public static Disk NewOverlay(Disk beneath, SnapshotId run, StorlinkId storlink, DateTimeOffset now) => beneath with
    {
        Id = DiskId.New(),
        Owner = DiskOwner.Of(run),
        Format = DiskFormat.Qcow2,
        Storlink = storlink,
        Backing = beneath.Id,
        CreatedAt = now,
        Revision = 0,
    };

    /// <summary>What takes a guest's memory: as large as that, with what QEMU or Xen writes around each page and of the devices.</summary>
    public static Disk NewMemory(SnapshotId snapshot, DataSize now, DataSize most, StorlinkId storlink, DateTimeOffset at) => new()
    {
        Id = DiskId.New(),
        Owner = DiskOwner.MemoryOf(snapshot),
        Order = 0,
        Size = DataSize.FromMiB((now + new DataSize(most.Bytes / 64) + s_devices).MiBCeiling),
        Format = DiskFormat.Raw,
        Storlink = storlink,
        CreatedAt = at,
    };

    public static IReadOnlyList<ResourceLock> Locks(VmId vm, IEnumerable<StorlinkId> storlinks) =>
        [ResourceLock.On(vm), .. storlinks.Distinct().Select(storlink => ResourceLock.On(storlink, shared: true))];

    /// <summary>Demands that overlays of a machine's disks, and its memory, can be made on a storage link.</summary>
    public static async Task DemandRoomAsync(Workplace place, SnapshotRows rows, string name, StorlinkId target, DataSize memory, CancellationToken cancellationToken)
    {
        if (rows.Snapshots.Any(snapshot => snapshot.Kind == SnapshotKind.Saved && snapshot.Name == name))
        {
            throw new InvalidFieldException("name", name, "it is already taken by another snapshot of this VM");
        }

        if (rows.Current.Count == 0)
        {
            throw new WrongStateException($"VM '{rows.Machine.Name}' has no disk, and so nothing to take a snapshot of.");
        }

        var storlink = await StorlinkAsync(place, target, cancellationToken).ConfigureAwait(false);
        foreach (var disk in rows.Current)
        {
            await DemandDepthAsync(place, rows, disk, cancellationToken).ConfigureAwait(false);
        }

        var needed = storlink.Level == StorlinkLevel.Block
            ? rows.Current.Aggregate(DataSize.Zero, (sum, disk) => sum + disk.Size)
            : new(s_emptyOverlay.Bytes * rows.Current.Count);
        var backend = place.Storage.Get(storlink);
        await backend.CheckAsync(storlink, cancellationToken).ConfigureAwait(false);
        var free = (await backend.MeasureAsync(storlink, cancellationToken).ConfigureAwait(false)).Free;
        if (needed + memory > free)
        {
            var besides = memory > DataSize.Zero ? $", and its memory {memory.MiBCeiling} MiB" : "";
            throw new InsufficientResourceException($"The overlays of {rows.Current.Count} disk{(rows.Current.Count == 1 ? "" : "s")} need {needed.MiBCeiling} MiB on storlink {target} '{storlink.Name}'{besides}; {free.MiB} MiB are free.");
        }
    }

    /// <summary>Demands that one more image may lie upon a disk's.</summary>
    public static async Task DemandDepthAsync(Workplace place, SnapshotRows rows, Disk disk, CancellationToken cancellationToken)
    {
        var depth = (await SnapshotRows.ChainAsync(place, disk, cancellationToken).ConfigureAwait(false)).Layers.Count;
        if (depth >= place.Options.MaxDiskLayers)
        {
            throw new WrongStateException(string.Create(
                CultureInfo.InvariantCulture,
                $"Disk {disk.Id} of VM '{rows.Machine.Name}' consists of {depth} images already, and {place.Options.MaxDiskLayers} are the most (Pengx:Limits:DiskLayers); delete snapshots first."));
        }
    }

    private static async Task<Storlink> StorlinkAsync(Workplace place, StorlinkId id, CancellationToken cancellationToken) =>
        await place.Store.ReadAsync(session => session.Storlinks.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("storlink", id.ToString());
}
