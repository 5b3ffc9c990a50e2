namespace Pengx;

/// <summary>The name servers of physical machines in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IDnsRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<DnsServers?> FindAsync(int id, CancellationToken cancellationToken = default);

    /// <summary>Those of one physical machine, by number.</summary>
    /// <param name="pm">The physical machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<DnsServers>> ListByPmAsync(PmId pm, CancellationToken cancellationToken = default);

    /// <summary>Takes the next free number, for good and at once: it is never given again, whatever becomes of the session.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<int> NextIdAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(DnsServers row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(DnsServers row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(DnsServers row);
}
