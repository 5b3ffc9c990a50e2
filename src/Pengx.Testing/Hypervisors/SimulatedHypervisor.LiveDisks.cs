namespace Pengx.Testing;

// Images beneath the disks of a running guest.
public sealed partial class SimulatedHypervisor
{
    async Task<IReadOnlyList<DomainDisk>> ILiveDisks.ReadAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.ReadDisks, id, cancellationToken);
        return Host.Locked<IReadOnlyList<DomainDisk>>(() => [.. Host.Alive(id).Disks]);
    }

    async Task<bool> ILiveDisks.OverlayAsync(DomainId id, IReadOnlyList<DiskReplacement> disks, bool quiesce, CancellationToken cancellationToken)
    {
        ReplacementRules.CheckOverlays(disks);
        await EnterAsync(SimulatedVerb.OverlayDisks, id, cancellationToken);
        var hasAgent = Host.Guest(id).HasAgent;
        return Host.Locked(() =>
        {
            var real = Host.Alive(id).Disks;
            var left = disks.Where(disk => ReplacementRules.IsToDo(disk, real)).ToList();
            if (left.Select(disk => disk.After.Layers[0]).FirstOrDefault(layer => Host.ImageExists?.Invoke(layer) == false) is { } missing)
            {
                throw new HypervisorException($"Could not open '{missing.Location}': No such file or directory");
            }

            foreach (var disk in left)
            {
                // What the new image shows is what the guest saw until now.
                Host.Storage?.Commit(disk.Before.Layers[0], disk.After.Layers[0]);
            }

            Host.Replace(id, [.. disks.Select(disk => disk.After)]);
            return quiesce && left.Count > 0 && hasAgent;
        });
    }

    async Task ILiveDisks.CommitAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var move = ReplacementRules.CheckCommit(disk);
        ReplacementRules.Check(limits);
        await EnterAsync(SimulatedVerb.CommitDisk, id, cancellationToken);
        Move(id, disk, progress, storage =>
        {
            storage.Commit(move.Top, move.Below!);
            if (move.Above is { } above)
            {
                storage.Link(above, move.Below);
            }
        });
    }

    async Task ILiveDisks.StreamAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var move = ReplacementRules.CheckStream(disk);
        ReplacementRules.Check(limits);
        await EnterAsync(SimulatedVerb.StreamDisk, id, cancellationToken);
        Move(id, disk, progress, storage => storage.Link(move.Above!, move.Below));
    }

    private void Move(DomainId id, DiskReplacement disk, IProgress<ByteProgress>? progress, Action<InMemoryStorage> move)
    {
        var moved = Host.Locked(() =>
        {
            var isToDo = ReplacementRules.IsToDo(disk, Host.Alive(id).Disks);
            if (isToDo && Host.Storage is { } storage)
            {
                move(storage);
            }

            Host.Replace(id, [disk.After]);
            return isToDo;
        });
        if (moved)
        {
            progress?.Report(new(1, 1));
        }
    }
}
