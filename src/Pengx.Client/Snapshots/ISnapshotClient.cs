namespace Pengx.Client;

/// <summary>The snapshots of virtual machines: <c>/vms/{id}/snapshots/</c>.</summary>
public interface ISnapshotClient
{
    /// <summary>Lists a VM's snapshots while the answer arrives.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The snapshots.</returns>
    IAsyncEnumerable<SnapshotResource> ListAsync(Guid machineId, CancellationToken cancellationToken = default);

    /// <summary>Reads one snapshot: an addition to the reference.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The snapshot.</returns>
    Task<SnapshotResource> GetAsync(Guid machineId, Guid snapshotId, CancellationToken cancellationToken = default);

    /// <summary>Lists the frozen disks of a snapshot while the answer arrives.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The disks.</returns>
    IAsyncEnumerable<DiskResource> ListDisksAsync(Guid machineId, Guid snapshotId, CancellationToken cancellationToken = default);

    /// <summary>Takes a snapshot of all disks at one instant, of a VM in any state.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="request">What to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new snapshot's id.</returns>
    Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, SnapshotCreateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes a snapshot; later ones and the VM keep what they need of it.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(
        Guid machineId, Guid snapshotId, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Brings a VM that is shut down back to a snapshot; what it wrote since is lost.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> RestoreAsync(
        Guid machineId, Guid snapshotId, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Starts a VM with a snapshot. This project's server keeps what the VM wrote since as another snapshot, which the message
    /// names.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> StartAsync(
        Guid machineId, Guid snapshotId, ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
