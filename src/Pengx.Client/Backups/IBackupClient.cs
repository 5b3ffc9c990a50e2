namespace Pengx.Client;

/// <summary>The backups of virtual machines: <c>/vms/{id}/backups/</c>.</summary>
public interface IBackupClient
{
    /// <summary>Lists a VM's backups while the answer arrives.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The backups.</returns>
    IAsyncEnumerable<BackupResource> ListAsync(Guid machineId, CancellationToken cancellationToken = default);

    /// <summary>Reads one backup: an addition to the reference.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="backupId">The backup.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The backup.</returns>
    Task<BackupResource> GetAsync(Guid machineId, Guid backupId, CancellationToken cancellationToken = default);

    /// <summary>Lists the disks of a backup while the answer arrives.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="backupId">The backup.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The disks.</returns>
    IAsyncEnumerable<DiskResource> ListDisksAsync(Guid machineId, Guid backupId, CancellationToken cancellationToken = default);

    /// <summary>Backs a VM up, also one that runs: all its disks as they are at one instant. It may take long: ask with
    /// <see cref="ChangeOptions.RespondAsync"/> to follow or cancel it.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="request">The backup's name, and where it lies.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new backup's id.</returns>
    Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, BackupCreateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Gives a VM that is shut down its disks back as a backup has them. A damaged backup is refused, naming the file.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="backupId">The backup.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> RestoreAsync(
        Guid machineId, Guid backupId, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes a backup with its files.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="backupId">The backup.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(
        Guid machineId, Guid backupId, ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
