namespace Pengx.Client;

/// <summary>The disks of virtual machines: <c>/vms/{id}/disks/</c>.</summary>
public interface IDiskClient
{
    /// <summary>Lists a VM's current disks while the answer arrives.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The disks.</returns>
    IAsyncEnumerable<DiskResource> ListAsync(Guid machineId, CancellationToken cancellationToken = default);

    /// <summary>Reads one disk: an addition to the reference.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="diskId">The disk.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The disk.</returns>
    Task<DiskResource> GetAsync(Guid machineId, Guid diskId, CancellationToken cancellationToken = default);

    /// <summary>Creates an empty disk and attaches it, also to a VM that runs.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="request">What to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new disk's id.</returns>
    Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, DiskCreateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Detaches a disk and deletes it.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="diskId">The disk.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(
        Guid machineId, Guid diskId, ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
