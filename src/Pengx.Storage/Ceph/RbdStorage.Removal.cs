using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>How images are removed: by way of the pool's trash, so that no image whose data is half gone has its name.</summary>
public sealed partial class RbdStorage
{
    /// <summary>Removes an image.</summary>
    /// <exception cref="InUseException">Something has it open, or is made from it.</exception>
    private async Task RemoveAsync(string what, string pool, DiskId disk, string image, CancellationToken cancellationToken)
    {
        await DemandUnusedAsync(what, pool, disk, image, wait: true, cancellationToken).ConfigureAwait(false);
        await MoveToTrashAsync(what, pool, image, cancellationToken).ConfigureAwait(false);
        foreach (var trashed in (await _tools.TrashAsync(what, pool, cancellationToken).ConfigureAwait(false)).Where(entry => entry.Name == image))
        {
            await EmptyTrashAsync(what, pool, disk, trashed, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task MoveToTrashAsync(string what, string pool, string image, CancellationToken cancellationToken)
    {
        var result = await _tools.TryRbdAsync(["trash", "mv", "--pool", pool, "--image", image], cancellationToken).ConfigureAwait(false);
        if (result.ExitCode is not (0 or CephTools.NoEntry))
        {
            throw CephTools.FailureOf(what, result);
        }
    }

    /// <summary>Frees an image that lies in the trash. One that turns out to be needed gets its name back.</summary>
    /// <remarks>Ceph lets an image that is open go to the trash, but does not remove it there: that is what makes sure.</remarks>
    private async Task EmptyTrashAsync(string what, string pool, DiskId disk, RbdTrashEntry trashed, CancellationToken cancellationToken)
    {
        for (var again = false; ; again = true)
        {
            var result = await _tools.TryRbdAsync(["trash", "rm", "--no-progress", "--pool", pool, "--image-id", trashed.Id], cancellationToken, _options.RemoveTimeout).ConfigureAwait(false);
            if (result.ExitCode is 0 or CephTools.NoEntry)
            {
                return;
            }

            if (result.ExitCode is not (CephTools.Busy or CephTools.NotEmpty))
            {
                throw CephTools.FailureOf(what, result);
            }

            var restored = await _tools.TryRbdAsync(["trash", "restore", "--pool", pool, "--image-id", trashed.Id], CancellationToken.None).ConfigureAwait(false);
            if (restored.ExitCode != 0)
            {
                throw new InUseException($"Disk {disk} is in use: {ProcessFailedException.Exited(result).Message} Its image stays in the trash of the pool {pool} as {trashed.Id}. {ProcessFailedException.Exited(restored).Message}");
            }

            if (again || result.ExitCode == CephTools.Busy || !await DropCloneSnapshotsAsync(what, pool, disk, trashed.Name, cancellationToken).ConfigureAwait(false))
            {
                throw new InUseException($"Disk {disk} is in use: {ProcessFailedException.Exited(result).Message}");
            }

            await MoveToTrashAsync(what, pool, trashed.Name, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Removes the snapshots that interrupted clonings left on an image.</summary>
    /// <returns>Whether there were any, and nothing else keeps the image.</returns>
    /// <exception cref="InUseException">Clones or other snapshots do.</exception>
    private async Task<bool> DropCloneSnapshotsAsync(string what, string pool, DiskId disk, string image, CancellationToken cancellationToken)
    {
        var children = await _tools.RbdAsync(what, ["children", "--pool", pool, "--image", image, "--all"], CephJson.Default.IReadOnlyListRbdChild, cancellationToken).ConfigureAwait(false);
        if (children.Count > 0)
        {
            throw new InUseException($"Disk {disk} is in use: {string.Join(", ", children.Select(child => $"{child.Pool}/{child.Image}"))} {(children.Count == 1 ? "is a clone" : "are clones")} of it.");
        }

        var snapshots = await _tools.RbdAsync(what, ["snap", "ls", "--pool", pool, "--image", image], CephJson.Default.IReadOnlyListRbdSnapshot, cancellationToken).ConfigureAwait(false);
        if (snapshots.Where(snapshot => !snapshot.Name.StartsWith(RbdName.CloneSnapshotPrefix, StringComparison.Ordinal)).Select(snapshot => snapshot.Name).ToList() is { Count: > 0 } others)
        {
            throw new InUseException($"Disk {disk} is in use: it has the {(others.Count == 1 ? "snapshot" : "snapshots")} {string.Join(", ", others)}; remove {(others.Count == 1 ? "it" : "them")} first.");
        }

        foreach (var snapshot in snapshots)
        {
            await DropSnapshotAsync(what, pool, image, snapshot.Name, cancellationToken).ConfigureAwait(false);
        }

        return snapshots.Count > 0;
    }

    /// <summary>Removes what interrupted calls left of a disk; what another process is making stays.</summary>
    private async Task RemoveLeftoversAsync(Storlink storlink, string what, string pool, List<(VolumeEntry Entry, string? TrashId)> leftovers, CancellationToken cancellationToken)
    {
        foreach (var (entry, trashId) in leftovers)
        {
            if (trashId is not null)
            {
                await EmptyTrashAsync(what, pool, entry.Disk, new(trashId, entry.Name), cancellationToken).ConfigureAwait(false);
            }
            else if (await WatchersAsync(what, pool, entry.Name, cancellationToken).ConfigureAwait(false) is { Count: 0 })
            {
                await RemoveAsync(what, pool, entry.Disk, entry.Name, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                continue;
            }

            _logger.LeftoverRemoved(entry.Name, storlink.Id);
        }
    }

    /// <summary>Removes an image that this very call has made under a name that nobody else knows.</summary>
    private async Task TryRemoveOwnAsync(string what, string pool, string part)
    {
        try
        {
            // The tool that filled it has ended, but the cluster would take it for alive for half a minute. Nobody but that tool
            // has had this image open, so whoever is told is dead.
            foreach (var watcher in await WatchersAsync(what, pool, part, CancellationToken.None).ConfigureAwait(false) ?? [])
            {
                await _tools.ShutOutAsync(what, watcher.Address, CancellationToken.None).ConfigureAwait(false);
            }

            if (RbdName.Parse(part) is { } entry)
            {
                await RemoveAsync(what, pool, entry.Disk, part, CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (PengxException exception)
        {
            // The failure that brought us here is the one to tell.
            _logger.ImageStays(part, pool, exception);
        }
    }
}
