namespace Pengx;

/// <summary>The cards with virtual functions in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface ISriovRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<SriovCard?> FindAsync(int id, CancellationToken cancellationToken = default);

    /// <summary>Those of one physical machine, by the name of their physical function.</summary>
    /// <param name="pm">The physical machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<SriovCard>> ListByPmAsync(PmId pm, CancellationToken cancellationToken = default);

    /// <summary>Takes the next free number, for good and at once: it is never given again, whatever becomes of the session.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<int> NextIdAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(SriovCard row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(SriovCard row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(SriovCard row);
}
