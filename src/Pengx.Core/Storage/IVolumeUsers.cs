namespace Pengx;

/// <summary>One that has a volume open for writing.</summary>
/// <param name="Name">Who it is, in the words of the storage: an address and a client's number, as a rule.</param>
/// <param name="IsLocal">Whether it is on this host.</param>
public sealed record VolumeUser(string Name, bool IsLocal);

/// <summary>An optional ability of a storage backend whose volumes several hosts can open: who does, and the one exception to
/// the rule that one host at a time has a volume. Found by <see cref="IStorageBackend.TryGetFeature{TFeature}"/>.</summary>
public interface IVolumeUsers
{
    /// <summary>Who has a volume open for writing, on any host; one that crashed may be told for a short while after. No volume:
    /// nobody.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<VolumeUser>> ListUsersAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default);

    /// <summary>As <see cref="IStorageBackend.AttachAsync"/>, while another host has the volume open: for live migration only, in
    /// which the hypervisors see to it that one of the two guests writes.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="format">The format recorded for it.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="StorageException">There is no such volume.</exception>
    Task<DiskLocation> AttachForMigrationAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default);
}
