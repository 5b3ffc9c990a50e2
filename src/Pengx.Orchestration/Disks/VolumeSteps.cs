namespace Pengx.Orchestration;

/// <summary>Makes and removes the images of disks, as steps that can be run again.</summary>
internal static class VolumeSteps
{
    public static async Task CreateAsync(Workplace place, IReadOnlyList<PlannedDisk> disks, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        foreach (var (disk, source) in disks)
        {
            var (storlink, sourceLayer, backingLayer) = await place.Store.ReadAsync(
                async session => (
                    await FindStorlinkAsync(session, disk.Storlink, cancellationToken).ConfigureAwait(false),
                    await FindLayerAsync(place, session, source, cancellationToken).ConfigureAwait(false),
                    await FindLayerAsync(place, session, disk.Backing, cancellationToken).ConfigureAwait(false)),
                cancellationToken).ConfigureAwait(false);
            await place.Storage.Get(storlink).CreateAsync(
                storlink,
                new VolumeSpec { Disk = disk.Id, Format = disk.Format, Size = disk.Size, Source = sourceLayer, Backing = backingLayer },
                progress,
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Removes images; those whose storage link is gone were removed before it.</summary>
    public static async Task DeleteAsync(Workplace place, IEnumerable<Disk> disks, CancellationToken cancellationToken)
    {
        foreach (var disk in disks)
        {
            var storlink = await place.Store.ReadAsync(session => session.Storlinks.FindAsync(disk.Storlink, cancellationToken), cancellationToken).ConfigureAwait(false);
            if (storlink is not null)
            {
                await place.Storage.DeleteAsync(storlink, disk.Id, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private static async Task<Storlink> FindStorlinkAsync(IStoreSession session, StorlinkId id, CancellationToken cancellationToken) =>
        await session.Storlinks.FindAsync(id, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("storlink", id.ToString());

    private static async Task<DiskLayer?> FindLayerAsync(Workplace place, IStoreSession session, DiskId? id, CancellationToken cancellationToken)
    {
        if (id is not { } wanted)
        {
            return null;
        }

        var disk = await session.Disks.FindAsync(wanted, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("disk", wanted.ToString());
        var storlink = await FindStorlinkAsync(session, disk.Storlink, cancellationToken).ConfigureAwait(false);
        return await place.Storage.LayerAsync(storlink, disk, cancellationToken).ConfigureAwait(false);
    }
}
