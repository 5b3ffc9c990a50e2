namespace Pengx;

/// <summary>The disks in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IDiskRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its identifier.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Disk?> FindAsync(DiskId id, CancellationToken cancellationToken = default);

    /// <summary>Those of one owner, in boot order.</summary>
    /// <param name="owner">The owner.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<Disk>> ListByOwnerAsync(DiskOwner owner, CancellationToken cancellationToken = default);

    /// <summary>Those that lie on a storage link.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<Disk>> ListByStorlinkAsync(StorlinkId storlink, CancellationToken cancellationToken = default);

    /// <summary>Those whose image is an overlay of a disk.</summary>
    /// <param name="backing">The disk beneath.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<Disk>> ListByBackingAsync(DiskId backing, CancellationToken cancellationToken = default);

    /// <summary>All of one kind of owner, ordered by owner.</summary>
    /// <param name="kind">The kind of owner.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<Disk> ListAsync(DiskOwnerKind kind, CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(Disk row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(Disk row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(Disk row);
}
