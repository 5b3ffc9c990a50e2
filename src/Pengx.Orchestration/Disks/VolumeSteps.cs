namespace Pengx.Orchestration;

/// <summary>Makes and removes the images of disks, as steps that can be run again.</summary>
internal static class VolumeSteps
{
    public static Task CreateAsync(Workplace place, IReadOnlyList<PlannedDisk> disks, IProgress<ByteProgress> progress, CancellationToken cancellationToken) =>
        CreateAsync(place, disks, isFrozen: false, progress, cancellationToken);

    /// <summary>Makes copies of disks that a running guest has open beneath overlays.</summary>
    public static Task CopyFrozenAsync(Workplace place, IReadOnlyList<PlannedDisk> disks, IProgress<ByteProgress> progress, CancellationToken cancellationToken) =>
        CreateAsync(place, disks, isFrozen: true, progress, cancellationToken);

    private static async Task CreateAsync(Workplace place, IReadOnlyList<PlannedDisk> disks, bool isFrozen, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        foreach (var (share, (disk, source)) in ProgressShare.Of(progress, disks, planned => planned.Disk.Size))
        {
            var (storlink, copied, beneath) = await place.Store.ReadAsync(
                async session => (
                    await FindStorlinkAsync(session, disk.Storlink, cancellationToken).ConfigureAwait(false),
                    await FindImageAsync(place, session, source, cancellationToken).ConfigureAwait(false),
                    await FindImageAsync(place, session, disk.Backing, cancellationToken).ConfigureAwait(false)),
                cancellationToken).ConfigureAwait(false);
            await place.Storage.Get(storlink).CreateAsync(
                storlink,
                new VolumeSpec
                {
                    Disk = disk.Id,
                    Format = disk.Format,

                    // A volume may be larger than its row says: LVM rounds up to whole extents.
                    Size = new[] { disk.Size, copied.Size, beneath.Size }.Max(),
                    Source = copied.Layer,
                    IsSourceFrozen = isFrozen,
                    Backing = beneath.Layer,

                    // Whoever takes a backup elsewhere takes its files as they are.
                    IsBackingBeside = beneath.Layer is not null && disk.Owner.Kind == DiskOwnerKind.Backup,
                    RateLimit = new(place.Options.CopyBytesPerSecond ?? 0),
                },
                share,
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The image of a disk; <see langword="null"/> where it, or its storage link, is not there.</summary>
    public static async Task<Volume?> FindAsync(Workplace place, Disk disk, CancellationToken cancellationToken)
    {
        var storlink = await place.Store.ReadAsync(session => session.Storlinks.FindAsync(disk.Storlink, cancellationToken), cancellationToken).ConfigureAwait(false);
        return storlink is null ? null : await place.Storage.Get(storlink).FindAsync(storlink, disk.Id, disk.Format, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Removes images; those whose storage link is gone were removed before it, and one that has become another's disk is not ours
    /// to take away.</summary>
    public static async Task DeleteAsync(Workplace place, IEnumerable<Disk> disks, CancellationToken cancellationToken)
    {
        foreach (var disk in disks)
        {
            var (storlink, row) = await place.Store.ReadAsync(
                async session => (
                    await session.Storlinks.FindAsync(disk.Storlink, cancellationToken).ConfigureAwait(false),
                    await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false)),
                cancellationToken).ConfigureAwait(false);
            if (storlink is not null && (row is null || row.Owner == disk.Owner))
            {
                await place.Storage.DeleteAsync(storlink, disk.Id, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The format that a copy has on a storage link: the original's, but raw on a pool, where only overlays and what a running
    /// guest was moved to are qcow2.</summary>
    public static DiskFormat FormatOn(Storlink storlink, DiskFormat original) => storlink.Level == StorlinkLevel.Object ? DiskFormat.Raw : original;

    private static async Task<Storlink> FindStorlinkAsync(IStoreSession session, StorlinkId id, CancellationToken cancellationToken) =>
        await session.Storlinks.FindAsync(id, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("storlink", id.ToString());

    private static async Task<(DiskLayer? Layer, DataSize Size)> FindImageAsync(Workplace place, IStoreSession session, DiskId? id, CancellationToken cancellationToken)
    {
        if (id is not { } wanted)
        {
            return default;
        }

        var disk = await session.Disks.FindAsync(wanted, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("disk", wanted.ToString());
        var storlink = await FindStorlinkAsync(session, disk.Storlink, cancellationToken).ConfigureAwait(false);
        var volume = await place.Storage.Get(storlink).FindAsync(storlink, disk.Id, disk.Format, cancellationToken).ConfigureAwait(false);
        return (await place.Storage.LayerAsync(storlink, disk, cancellationToken).ConfigureAwait(false), volume?.Size ?? DataSize.Zero);
    }
}

/// <summary>The progress of one piece of a work on several disks, told as progress of the whole.</summary>
internal sealed class ProgressShare(IProgress<ByteProgress> whole, long before, long size, long total) : IProgress<ByteProgress>
{
    public static IEnumerable<(IProgress<ByteProgress> Share, T Item)> Of<T>(IProgress<ByteProgress> whole, IReadOnlyList<T> items, Func<T, DataSize> sizeOf)
    {
        var total = items.Sum(item => sizeOf(item).Bytes);
        var before = 0L;
        foreach (var item in items)
        {
            var size = sizeOf(item).Bytes;
            yield return (new ProgressShare(whole, before, size, total), item);
            before += size;
        }
    }

    public void Report(ByteProgress value) =>
        whole.Report(new(before + (value.Total > 0 ? (long)(size * ((double)value.Done / value.Total)) : 0), total));
}
