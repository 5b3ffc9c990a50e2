namespace Pengx;

/// <summary>The storage links in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IStorlinkRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its identifier.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Storlink?> FindAsync(StorlinkId id, CancellationToken cancellationToken = default);

    /// <summary>All of them, by number.</summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<Storlink> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>The one of that name on a physical machine; <see langword="null"/> when there is none.</summary>
    /// <param name="pm">The physical machine.</param>
    /// <param name="name">The name, compared exactly.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Storlink?> FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken = default);

    /// <summary>Takes the next free number, for good and at once: it is never given again, whatever becomes of the session.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<StorlinkId> NextIdAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(Storlink row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(Storlink row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(Storlink row);
}
