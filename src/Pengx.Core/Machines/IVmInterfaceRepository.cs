namespace Pengx;

/// <summary>The network interfaces of virtual machines in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IVmInterfaceRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its identifier.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<VmInterface?> FindAsync(VmInterfaceId id, CancellationToken cancellationToken = default);

    /// <summary>Those of one machine, retired ones included, by number.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<VmInterface>> ListByVmAsync(VmId vm, CancellationToken cancellationToken = default);

    /// <summary>All of them, ordered by machine.</summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<VmInterface> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>The one with that hardware address; <see langword="null"/> when it is free.</summary>
    /// <param name="mac">The address.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<VmInterface?> FindByMacAsync(MacAddress mac, CancellationToken cancellationToken = default);

    /// <summary>Takes the next free number, for good and at once: it is never given again, whatever becomes of the session.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<VmInterfaceId> NextIdAsync(CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(VmInterface row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(VmInterface row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(VmInterface row);
}
