namespace Pengx.Testing;

// What a guest remembers, kept with its disks of the same instant.
public sealed partial class SimulatedHypervisor : IGuestMemory
{
    async Task IGuestMemory.CheckSaveAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.CheckMemory, id, cancellationToken);
        Host.Locked(() => DemandRunning(id));
    }

    async Task IGuestMemory.SaveAsync(DomainId id, DiskLocation memory, IReadOnlyList<DiskReplacement> disks, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        ReplacementRules.CheckOverlays(disks);
        await EnterAsync(SimulatedVerb.SaveMemory, id, cancellationToken);
        var isToDo = Host.Locked(() =>
        {
            var real = Host.Alive(id).Disks;
            if (!disks.Any(disk => ReplacementRules.IsToDo(disk, real)))
            {
                return Host.Memories.ContainsKey(memory) ? false : throw new HypervisorException($"'{memory}' holds no memory of a guest that was kept to the end.");
            }

            Host.Memories[memory] = (id, DemandRunning(id).Remembered);
            return true;
        });
        if (isToDo)
        {
            await ((ILiveDisks)this).OverlayAsync(id, disks, cancellationToken: cancellationToken);
            progress?.Report(new(1, 1));
        }
    }

    async Task IGuestMemory.StartAsync(DomainId id, DiskLocation memory, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.StartWithMemory, id, cancellationToken);
        Host.Locked(() =>
        {
            var (domain, remembered) = Host.Memories.TryGetValue(memory, out var kept) ? kept : throw new HypervisorException($"'{memory}' holds no memory of a guest that was kept to the end.");
            if (domain != id)
            {
                throw new WrongStateException($"Domain {id} cannot go on with its memory: it is domain {domain}'s.");
            }

            Host.Start(id);
            return Host.Alive(id).Remembered = remembered;
        });
    }

    private SimulatedHost.Running DemandRunning(DomainId id) => Host.Alive(id) is { State: VmState.Running } running
        ? running
        : throw new WrongStateException($"Domain {id} cannot have its memory kept: only one that runs can.");
}
