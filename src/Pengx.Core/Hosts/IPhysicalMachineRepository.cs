namespace Pengx;

/// <summary>The physical machines in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IPhysicalMachineRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its identifier.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<PhysicalMachine?> FindAsync(PmId id, CancellationToken cancellationToken = default);

    /// <summary>All of them, by name.</summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<PhysicalMachine> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(PhysicalMachine row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(PhysicalMachine row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(PhysicalMachine row);
}
