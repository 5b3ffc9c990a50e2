namespace Pengx;

/// <summary>An optional ability of a driver: keeping what a running guest has in memory, with its disks of the same instant, and starting
/// it from there again (found with <see cref="IHypervisorDriver.TryGetFeature{TFeature}"/>).
/// <para>The memory is kept in a volume of the caller's: a file, or a block device, that is as large as the guest's memory and some more,
/// and that nothing else reads. It holds all that the guest had in its memory, passwords and keys included.</para></summary>
public interface IGuestMemory
{
    /// <summary>Says early what stands in the way of <see cref="SaveAsync"/>; changes nothing.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the check.</param>
    /// <exception cref="WrongStateException">The domain does not run, or its memory cannot be kept; the message says why.</exception>
    Task CheckSaveAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Keeps a running guest's memory and lays overlays on its disks, all of one instant. The guest stands still from the
    /// beginning to the end, which takes as long as its memory takes to be written; its state stays <see cref="VmState.Running"/>.
    /// Where the overlays are laid and the memory is whole already, it does nothing.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="memory">Where the memory goes: a volume that exists. What it held is lost.</param>
    /// <param name="disks">All disks of the domain, as for <see cref="ILiveDisks.OverlayAsync"/>.</param>
    /// <param name="progress">Told the bytes of memory done and to do.</param>
    /// <param name="cancellationToken">Gives up before the overlays are laid; never after it.</param>
    /// <exception cref="WrongStateException">The domain does not run, or its memory cannot be kept.</exception>
    /// <exception cref="InvalidFieldException">A replacement does not fit its disk.</exception>
    /// <exception cref="HypervisorException">It failed. The guest goes on; whether the overlays are laid,
    /// <see cref="ILiveDisks.ReadAsync"/> tells.</exception>
    Task SaveAsync(DomainId id, DiskLocation memory, IReadOnlyList<DiskReplacement> disks, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>Starts a domain from kept memory instead of booting it, and returns when its guest goes on. The stored configuration's
    /// disks must show exactly what they did at that instant: that is the caller's to see to. Otherwise as
    /// <see cref="IDomainOperations.StartAsync"/>, whose errors it has, too.</summary>
    /// <param name="id">The domain that the memory was kept of.</param>
    /// <param name="memory">Where it was kept.</param>
    /// <param name="cancellationToken">Gives the start up.</param>
    /// <exception cref="WrongStateException">The memory does not fit what the domain, or the host, is now; the message says why.</exception>
    /// <exception cref="HypervisorException">The memory is not whole, or cannot be taken in. Nothing runs.</exception>
    Task StartAsync(DomainId id, DiskLocation memory, CancellationToken cancellationToken = default);
}
