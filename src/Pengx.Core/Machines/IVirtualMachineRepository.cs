namespace Pengx;

/// <summary>The virtual machines in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IVirtualMachineRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its identifier.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<VirtualMachine?> FindAsync(VmId id, CancellationToken cancellationToken = default);

    /// <summary>All of them, by creation, read as they are consumed.</summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<VirtualMachine> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>All of them, by creation, each with the disks that it runs on now and its interfaces: from a constant number of queries,
    /// read as they are consumed, in memory that does not grow with their number.</summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<VirtualMachineDevices> ListWithDevicesAsync(CancellationToken cancellationToken = default);

    /// <summary>The one of that name on a physical machine; <see langword="null"/> when there is none.</summary>
    /// <param name="pm">The physical machine.</param>
    /// <param name="name">The name, compared exactly.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<VirtualMachine?> FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken = default);

    /// <summary>Those made from a template.</summary>
    /// <param name="template">The template.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<VirtualMachine>> ListByTemplateAsync(TemplateId template, CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(VirtualMachine row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(VirtualMachine row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(VirtualMachine row);
}
