namespace Pengx.Orchestration;

/// <summary>Two images, one upon the other, that become one.</summary>
/// <param name="Upper">The one above.</param>
/// <param name="Lower">The one beneath, which nothing else lies on.</param>
/// <param name="Down">Whether the upper one is merged into the lower one and goes; otherwise the lower one is pulled into the upper one
/// and goes.</param>
internal sealed record LayerMerge(Disk Upper, Disk Lower, bool Down);

/// <summary>A snapshot that goes: with its images, or merged with those of the one snapshot that lies on it.</summary>
/// <param name="Node">The snapshot.</param>
/// <param name="Layers">What is merged, by disk.</param>
/// <param name="Dropped">Its disks that nothing lies on.</param>
internal sealed record SnapshotMerge(SnapshotId Node, IReadOnlyList<LayerMerge> Layers, IReadOnlyList<Disk> Dropped)
{
    /// <summary>The disks whose images go.</summary>
    public IEnumerable<Disk> Images() => Layers.Select(layer => layer.Down ? layer.Upper : layer.Lower).Concat(Dropped);
}

/// <summary>Takes snapshots out of a machine's tree: planned while nothing has changed, then moved, recorded and removed in steps that can
/// each be run again.</summary>
internal sealed class SnapshotMerges(Workplace place)
{
    /// <summary>Plans how a snapshot goes that at most one other lies on.</summary>
    /// <param name="rows">The machine.</param>
    /// <param name="node">The snapshot.</param>
    /// <param name="child">What lies on it.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="InUseException">Something that is not the machine's lies on its disks.</exception>
    /// <exception cref="InsufficientResourceException">What is merged does not fit.</exception>
    /// <exception cref="StorageException">The images do not lie on each other as the rows say.</exception>
    public async Task<SnapshotMerge> PlanAsync(SnapshotRows rows, Snapshot node, Snapshot? child, CancellationToken cancellationToken)
    {
        var uppers = child is null ? [] : rows.DisksOf(child.Id);
        List<LayerMerge> layers = [];
        List<Disk> dropped = rows.MemoryOf(node.Id) is { } memory ? [memory] : [];
        Dictionary<StorlinkId, DataSize> needed = [];
        rows.RefuseForeign(rows.DisksOf(node.Id));
        foreach (var lower in rows.DisksOf(node.Id))
        {
            if (uppers.FirstOrDefault(disk => disk.Backing == lower.Id) is not { } upper)
            {
                dropped.Add(lower);
                continue;
            }

            var (upperLink, upperUse) = await MeasureAsync(upper, cancellationToken).ConfigureAwait(false);
            var (lowerLink, lowerUse) = await MeasureAsync(lower, cancellationToken).ConfigureAwait(false);

            // What lies on the upper image and is not this machine's cannot be linked anew, and a volume of fixed size cannot grow.
            var down = upperUse <= lowerUse && rows.Foreign.All(overlay => overlay.Backing != upper.Id)
                && (upper.Size <= lower.Size || lowerLink.Level == StorlinkLevel.File);
            layers.Add(new(upper, lower, down));
            var (target, moved) = down ? (lowerLink, upperUse) : (upperLink, lowerUse);
            if (target.Level != StorlinkLevel.Block)
            {
                needed[target.Id] = needed.GetValueOrDefault(target.Id) + moved;
            }

            await DemandChainAsync(rows, upper, cancellationToken).ConfigureAwait(false);
        }

        foreach (var (id, size) in needed)
        {
            var storlink = await StorlinkAsync(id, cancellationToken).ConfigureAwait(false);
            var free = (await place.Storage.Get(storlink).MeasureAsync(storlink, cancellationToken).ConfigureAwait(false)).Free;
            if (size > free)
            {
                throw new InsufficientResourceException($"Up to {size.MiBCeiling} MiB are merged on storlink {id} '{storlink.Name}'; {free.MiB} MiB are free there.");
            }
        }

        await DemandLiveChainsAsync(rows, cancellationToken).ConfigureAwait(false);
        return new SnapshotMerge(node.Id, layers, dropped);
    }

    /// <summary>Plans how the deleted snapshot goes that one other is left on when a snapshot goes.</summary>
    /// <param name="rows">The machine.</param>
    /// <param name="gone">What goes.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<SnapshotMerge>> PlanLeftAsync(SnapshotRows rows, Snapshot gone, CancellationToken cancellationToken)
    {
        if (rows.Snapshots.FirstOrDefault(snapshot => snapshot.Id == gone.Parent) is not { Kind: SnapshotKind.Deleted } parent)
        {
            return [];
        }

        var left = rows.ChildrenOf(parent.Id).Where(child => child.Id != gone.Id).ToList();
        return left.Count == 1 ? [await PlanAsync(rows, parent, left[0], cancellationToken).ConfigureAwait(false)] : [];
    }

    /// <summary>Moves the bytes. Every image shows the same before, meanwhile and afterwards, except the one that goes.</summary>
    public async Task MoveAsync(VmId vm, SnapshotMerge merge, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        foreach (var layer in merge.Layers)
        {
            var rows = await SnapshotRows.ReadAsync(place, vm, cancellationToken).ConfigureAwait(false);
            if (rows.Snapshots.All(snapshot => snapshot.Id != merge.Node))
            {
                // Recorded already: the rows no longer tell what lies on what was merged.
                return;
            }

            await MoveAsync(rows, layer, progress, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Records what was moved.</summary>
    public Task RecordAsync(VmId vm, SnapshotMerge merge, CancellationToken cancellationToken) => place.Store.ChangeAsync(
        async session =>
        {
            if (await SnapshotRows.FindAsync(session, vm, cancellationToken).ConfigureAwait(false) is not { } rows
                || rows.Snapshots.FirstOrDefault(snapshot => snapshot.Id == merge.Node) is not { } node)
            {
                return;
            }

            var stored = rows.Disks.ToDictionary(disk => disk.Id);
            var disks = new Dictionary<DiskId, Disk>(stored);
            foreach (var (upper, lower, down) in merge.Layers.Select(layer => (disks[layer.Upper.Id], disks[layer.Lower.Id], layer.Down)))
            {
                if (!down)
                {
                    disks[upper.Id] = upper with { Backing = lower.Backing };
                    disks.Remove(lower.Id);
                    continue;
                }

                foreach (var overlay in disks.Values.Where(disk => disk.Backing == upper.Id).ToList())
                {
                    disks[overlay.Id] = overlay with { Backing = lower.Id };
                }

                disks.Remove(upper.Id);
                disks[lower.Id] = lower with
                {
                    Owner = upper.Owner,
                    Order = upper.Order,
                    Size = upper.Size > lower.Size ? upper.Size : lower.Size,
                    Description = upper.Description,
                    Type = upper.Type,
                };
            }

            foreach (var disk in merge.Dropped)
            {
                disks.Remove(disk.Id);
            }

            var children = rows.ChildrenOf(node.Id).Select(child => child with { Parent = node.Parent }).ToList();
            var run = children.Find(child => child is { Kind: SnapshotKind.Run, Parent: null });
            if (run is not null)
            {
                // No snapshot is left: the machine runs on its own disks again.
                foreach (var disk in disks.Values.Where(disk => disk.Owner == DiskOwner.Of(run.Id)).ToList())
                {
                    disks[disk.Id] = disk with { Owner = DiskOwner.Of(vm) };
                }

                children.Remove(run);
            }

            // What takes a place comes after what leaves it.
            var taken = merge.Layers.Where(layer => layer.Down).Select(layer => layer.Lower.Id).ToHashSet();
            var changed = disks.Values.Where(disk => stored[disk.Id] != disk).ToList();
            changed.Where(disk => !taken.Contains(disk.Id)).ToList().ForEach(session.Disks.Update);
            stored.Values.Where(disk => !disks.ContainsKey(disk.Id)).OrderBy(disk => merge.Layers.All(layer => layer.Upper.Id != disk.Id)).ToList().ForEach(session.Disks.Delete);
            changed.Where(disk => taken.Contains(disk.Id)).ToList().ForEach(session.Disks.Update);
            children.ForEach(session.Snapshots.Update);
            if (run is not null)
            {
                session.Snapshots.Delete(rows.Run!);
            }

            session.Snapshots.Delete(node);
        },
        cancellationToken);

    /// <summary>Demands that the images beneath a disk are those that the rows say.</summary>
    /// <exception cref="StorageException">They are not.</exception>
    public async Task DemandChainAsync(SnapshotRows rows, Disk disk, CancellationToken cancellationToken)
    {
        var recorded = (await SnapshotRows.ChainAsync(place, disk, cancellationToken).ConfigureAwait(false)).Layers;
        var real = await place.Chains.ReadAsync(recorded[0], cancellationToken).ConfigureAwait(false);
        if (!real.SequenceEqual(recorded))
        {
            throw new StorageException($"The image of disk {disk.Id} of VM '{rows.Machine.Name}' lies on {Listed(real)} and is recorded as lying on {Listed(recorded)}; nothing was changed. GET /consistency/ tells more.");
        }
    }

    /// <summary>Demands that a running machine has the images that the rows say.</summary>
    /// <exception cref="StorageException">It has not.</exception>
    public async Task DemandLiveChainsAsync(SnapshotRows rows, CancellationToken cancellationToken)
    {
        if (!await place.IsAliveAsync(rows.Machine.Id, cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        var live = await place.LiveDisks(rows.Machine.Name).ReadAsync(rows.Machine.Id, cancellationToken).ConfigureAwait(false);
        foreach (var disk in rows.Current)
        {
            var recorded = await SnapshotRows.ChainAsync(place, disk, cancellationToken).ConfigureAwait(false);
            if (live.FirstOrDefault(one => one.Vdev == recorded.Vdev) is { } real && !real.Layers.SequenceEqual(recorded.Layers))
            {
                throw new StorageException($"VM '{rows.Machine.Name}' runs {recorded.Vdev} on {Listed(real.Layers, 0)} and is recorded as running it on {Listed(recorded.Layers, 0)}; nothing was changed. GET /consistency/ tells more.");
            }
        }
    }

    private static string Listed(IReadOnlyList<DiskLayer> layers, int skip = 1) =>
        string.Join(", ", layers.Skip(skip).Select(layer => layer.Location)) is { Length: > 0 } list ? list : "nothing";

    private async Task MoveAsync(SnapshotRows rows, LayerMerge merge, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        var vm = rows.Machine.Id;
        var chain = await SnapshotRows.ChainAsync(place, merge.Upper, cancellationToken).ConfigureAwait(false);
        var (upper, lower) = (chain.Layers[0], chain.Layers[1]);
        var goes = merge.Down ? upper : lower;
        var leaf = Leaf(rows, merge.Upper.Id);
        var before = leaf is null ? null : await SnapshotRows.ChainAsync(place, leaf, cancellationToken).ConfigureAwait(false);
        var after = before is null ? null : before with
        {
            Id = merge.Down && leaf!.Id == merge.Upper.Id ? merge.Lower.Id : before.Id,
            Layers = [.. before.Layers.Where(layer => layer != goes)],
        };

        var live = false;
        if (before is not null && await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false))
        {
            live = await MoveLiveAsync(rows, merge, new(before, after!), progress, cancellationToken).ConfigureAwait(false);
        }

        if (!live)
        {
            await place.EndCrashedAsync(vm, cancellationToken).ConfigureAwait(false);
        }

        // A merge that a running machine did, or the machine itself, may have ended since: its stored definition tells. Merging
        // once more would put back what the guest overwrote afterwards.
        if (!live && !await IsDefinedAsync(vm, after, cancellationToken).ConfigureAwait(false))
        {
            await (merge.Down
                ? place.Chains.CommitAsync([upper, lower], progress, cancellationToken)
                : place.Chains.StreamAsync(upper, chain.Layers.ElementAtOrDefault(2), progress, cancellationToken)).ConfigureAwait(false);
        }

        foreach (var overlay in merge.Down ? rows.Disks.Where(disk => disk.Backing == merge.Upper.Id) : [])
        {
            var layers = (await SnapshotRows.ChainAsync(place, overlay, cancellationToken).ConfigureAwait(false)).Layers;
            if (!live || !before!.Layers.Contains(layers[0]))
            {
                await place.Chains.RelinkAsync(layers[0], lower, cancellationToken).ConfigureAwait(false);
            }

            await DemandLayersAsync([.. layers.Where(layer => layer != goes)], cancellationToken).ConfigureAwait(false);
        }

        await DemandLayersAsync(merge.Down ? [.. chain.Layers.Skip(1)] : [.. chain.Layers.Where(layer => layer != goes)], cancellationToken).ConfigureAwait(false);
    }

    /// <returns>False: the machine ended meanwhile.</returns>
    private async Task<bool> MoveLiveAsync(SnapshotRows rows, LayerMerge merge, DiskReplacement disk, IProgress<ByteProgress> progress, CancellationToken cancellationToken)
    {
        var (vm, live) = (rows.Machine.Id, place.LiveDisks(rows.Machine.Name));
        try
        {
            await (merge.Down
                ? live.CommitAsync(vm, disk, progress: progress, cancellationToken: cancellationToken)
                : live.StreamAsync(vm, disk, progress: progress, cancellationToken: cancellationToken)).ConfigureAwait(false);
            if (await RealAsync(live, vm, disk.After.Vdev, cancellationToken).ConfigureAwait(false) is { } real && !real.SequenceEqual(disk.After.Layers))
            {
                throw new StorageException($"VM '{rows.Machine.Name}' runs {disk.After.Vdev} on {Listed(real, 0)} after the merge, and not on {Listed(disk.After.Layers, 0)}.");
            }

            return true;
        }
        catch (Exception error) when (error is WrongStateException or HypervisorException)
        {
            if (await place.IsAliveAsync(vm, cancellationToken).ConfigureAwait(false))
            {
                throw;
            }

            return false;
        }
    }

    private static async Task<IReadOnlyList<DiskLayer>?> RealAsync(ILiveDisks live, VmId vm, string vdev, CancellationToken cancellationToken) =>
        (await live.ReadAsync(vm, cancellationToken).ConfigureAwait(false)).FirstOrDefault(disk => disk.Vdev == vdev)?.Layers;

    private async Task<bool> IsDefinedAsync(VmId vm, DomainDisk? disk, CancellationToken cancellationToken) => disk is not null
        && await place.Driver.Domains.FindDefinitionAsync(vm, cancellationToken).ConfigureAwait(false) is { } stored
        && stored.Disks.FirstOrDefault(one => one.Vdev == disk.Vdev) is { } defined && defined.Layers.SequenceEqual(disk.Layers);

    private async Task DemandLayersAsync(List<DiskLayer> layers, CancellationToken cancellationToken)
    {
        var real = await place.Chains.ReadAsync(layers[0], cancellationToken).ConfigureAwait(false);
        if (!real.SequenceEqual(layers))
        {
            throw new StorageException($"After the merge {layers[0].Location} lies on {Listed(real)}, and not on {Listed(layers)}.");
        }
    }

    /// <summary>The current disk whose chain has an image.</summary>
    private static Disk? Leaf(SnapshotRows rows, DiskId image)
    {
        var disks = rows.Disks.ToDictionary(disk => disk.Id);
        return rows.Current.FirstOrDefault(leaf =>
        {
            for (var layer = leaf; layer is not null; layer = layer.Backing is { } backing ? disks.GetValueOrDefault(backing) : null)
            {
                if (layer.Id == image)
                {
                    return true;
                }
            }

            return false;
        });
    }

    private async Task<(Storlink Storlink, DataSize Use)> MeasureAsync(Disk disk, CancellationToken cancellationToken)
    {
        var storlink = await StorlinkAsync(disk.Storlink, cancellationToken).ConfigureAwait(false);
        var volume = await place.Storage.Get(storlink).FindAsync(storlink, disk.Id, disk.Format, cancellationToken).ConfigureAwait(false)
            ?? throw new StorageException($"Disk {disk.Id} has no image on storlink {storlink.Id} '{storlink.Name}'; nothing was changed.");
        return (storlink, volume.Allocated);
    }

    private async Task<Storlink> StorlinkAsync(StorlinkId id, CancellationToken cancellationToken) =>
        await place.Store.ReadAsync(session => session.Storlinks.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("storlink", id.ToString());
}
