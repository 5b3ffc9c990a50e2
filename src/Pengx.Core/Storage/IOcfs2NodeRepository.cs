namespace Pengx;

/// <summary>The nodes of OCFS2 clusters in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IOcfs2NodeRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Ocfs2Node?> FindAsync(int id, CancellationToken cancellationToken = default);

    /// <summary>Those of one OCFS2 layer, by slot.</summary>
    /// <param name="storage">The layer's number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<Ocfs2Node>> ListByStorageAsync(int storage, CancellationToken cancellationToken = default);

    /// <summary>Takes the next free number, for good and at once: it is never given again, whatever becomes of the session.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<int> NextIdAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(Ocfs2Node row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(Ocfs2Node row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(Ocfs2Node row);
}
