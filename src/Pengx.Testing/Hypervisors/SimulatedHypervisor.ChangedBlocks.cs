namespace Pengx.Testing;

// What guests changed since a backup, told by what their images showed when the note was begun. Notes end with the guest.
public sealed partial class SimulatedHypervisor
{
    private const long NotedBytes = 64 * 1024;

    async Task<IReadOnlyList<ChangedBlocks>> IChangedBlocks.ReadAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.ReadChanges, id, cancellationToken);
        return Host.Locked<IReadOnlyList<ChangedBlocks>>(() =>
        {
            var running = Host.Alive(id);
            return
            [
                .. from disk in running.Disks
                   from note in running.Notes
                   where disk.Layers.Contains(note.Key.Layer)
                   select new ChangedBlocks
                   {
                       Since = note.Key.Since,
                       Vdev = disk.Vdev,
                       Layer = note.Key.Layer,
                       Size = Host.Storage?.SizeOf(note.Key.Layer) ?? Host.ImageSize?.Invoke(note.Key.Layer) ?? DataSize.Zero,
                       Bytes = NotedBytes,
                       Fault = note.Value.Fault,
                   },
            ];
        });
    }

    async Task IChangedBlocks.TrackAsync(DomainId id, BackupId since, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.TrackChanges, id, cancellationToken);
        Host.Locked(() =>
        {
            var running = Host.Alive(id);
            foreach (var layer in running.Disks.Select(disk => disk.Layers[0]))
            {
                if (running.Notes.GetValueOrDefault((layer, since)) is not { Fault: null })
                {
                    running.Notes[(layer, since)] = new(Host.Storage?.See(layer), null);
                }
            }

            return true;
        });
    }

    async Task IChangedBlocks.ForgetAsync(DomainId id, IReadOnlyCollection<BackupId> backups, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(backups);
        await EnterAsync(SimulatedVerb.ForgetChanges, id, cancellationToken);
        Host.Locked(() =>
        {
            var running = Host.Alive(id);
            foreach (var note in running.Notes.Keys.Where(note => backups.Contains(note.Since)).ToList())
            {
                running.Notes.Remove(note);
            }

            return true;
        });
    }

    async Task<long> IChangedBlocks.CopyAsync(
        DomainId id, BackupId since, DomainDisk disk, DiskLayer target, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(disk);
        ArgumentNullException.ThrowIfNull(target);
        ReplacementRules.Check(limits);
        await EnterAsync(SimulatedVerb.CopyChanges, id, cancellationToken);
        var bytes = Host.Locked(() =>
        {
            var running = Host.Alive(id);
            var layer = disk.Layers[0];
            if (running.Disks.FirstOrDefault(other => other.Vdev == disk.Vdev) is not { } real || !real.Layers.Skip(1).Contains(layer))
            {
                throw new WrongStateException($"Domain {id}: {layer.Location} is written to, or is no layer of its disk; only a layer beneath an overlay can be copied.");
            }

            if (running.Notes.GetValueOrDefault((layer, since)) is not { Fault: null } note)
            {
                throw new HypervisorException($"Domain {id}: {disk.Vdev} has no note since backup {since} that is whole.");
            }

            return note.Before is { } before && Host.Storage is { } storage ? NotedBytes * storage.CopyChanges(layer, before, target) : 0;
        });
        progress?.Report(new(1, 1));
        return bytes;
    }

    async Task IChangedBlocks.AbandonCopiesAsync(DomainId id, CancellationToken cancellationToken)
    {
        // No copy outlives its call.
        await EnterAsync(SimulatedVerb.AbandonCopies, id, cancellationToken);
        Host.Locked(() => Host.Alive(id));
    }
}
