namespace Pengx;

/// <summary>An optional ability of a driver: changing the images beneath the disks of a running or paused domain while its guest
/// goes on (found with <see cref="IHypervisorDriver.TryGetFeature{TFeature}"/>).
/// <para>Every verb takes disks as they are and as they shall be. When it returns, the running domain and its stored definition
/// both have them as they shall be; when it throws, both have them as they were, unless it says otherwise. A verb that is asked
/// for what is so already does nothing, and one whose first caller is gone takes up the work that he left: so a caller that was
/// ended halfway simply asks again, or undoes it by asking for something else, which ends that work first. Images are the
/// caller's: he makes them before, and deletes them after.</para>
/// <para>Whenever the hypervisor or the host dies, the stored definition names images that hold every flushed byte: of a verb whose
/// domain ended before it could answer, that definition is the truth.</para></summary>
public interface ILiveDisks
{
    /// <summary>Tells the images that a running domain really uses, by its disks. The paths and formats are what the hypervisor
    /// says, not what the stored definition does.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    Task<IReadOnlyList<DomainDisk>> ReadAsync(DomainId id, CancellationToken cancellationToken = default);

    /// <summary>Puts an overlay upon each of some disks, all at one instant: what the guest wrote before stays in the layers
    /// beneath, frozen, and what it writes afterwards goes to the overlays. All happen or none.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="disks">For each disk its new self: one more layer on top, an empty image that exists and is backed by the
    /// layer beneath it, and the same vdev.</param>
    /// <param name="quiesce">Whether to ask an agent in the guest to flush and freeze its file systems for the instant.</param>
    /// <param name="cancellationToken">Gives up before the instant; never after it.</param>
    /// <returns>Whether the guest's file systems were frozen: false where none was asked or no agent answered.</returns>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    /// <exception cref="InvalidFieldException">A replacement does not fit its disk.</exception>
    /// <exception cref="HypervisorException">The hypervisor refused; nothing changed.</exception>
    Task<bool> OverlayAsync(DomainId id, IReadOnlyList<DiskReplacement> disks, bool quiesce = false, CancellationToken cancellationToken = default);

    /// <summary>Merges some neighbouring layers of a disk downwards, into the lowest of them: those above it are no longer used
    /// afterwards, and what they held is in it, flushed.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="disk">The disk, and itself without the layers that are merged down. The lowest of them stays; where the top
    /// layer is merged, too, the guest writes to the layer that took it in.</param>
    /// <param name="limits">How fast.</param>
    /// <param name="progress">Told the bytes done and to do.</param>
    /// <param name="cancellationToken">Gives the merge up: the disk keeps its layers.</param>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    /// <exception cref="InvalidFieldException">The replacement does not fit the disk.</exception>
    /// <exception cref="HypervisorException">The merge failed; the guest goes on with the layers it had, which hold every byte.</exception>
    Task CommitAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits = null, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>Pulls the content of some neighbouring layers of a disk upwards, into the layer above them: they are no longer
    /// used by it afterwards. Pulling everything makes the layer an image that stands alone.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="disk">The disk, and itself without the layers that are pulled up.</param>
    /// <param name="limits">How fast.</param>
    /// <param name="progress">Told the bytes done and to do.</param>
    /// <param name="cancellationToken">Gives the pull up: the disk keeps its layers.</param>
    /// <exception cref="WrongStateException">The domain does not run.</exception>
    /// <exception cref="InvalidFieldException">The replacement does not fit the disk.</exception>
    /// <exception cref="HypervisorException">The pull failed; the guest goes on with the layers it had, which hold every byte.</exception>
    Task StreamAsync(DomainId id, DiskReplacement disk, LiveDiskLimits? limits = null, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default);
}

/// <summary>A disk of a domain, and what it becomes.</summary>
/// <param name="Before">The disk as it is.</param>
/// <param name="After">The disk as it shall be: the same vdev, other layers, and the id of its new top layer.</param>
public sealed record DiskReplacement(DomainDisk Before, DomainDisk After);

/// <summary>How fast live work on disks may go.</summary>
public sealed record LiveDiskLimits
{
    /// <summary>Bytes per second at most; null for as fast as it goes.</summary>
    public long? BytesPerSecond { get; init; }
}
