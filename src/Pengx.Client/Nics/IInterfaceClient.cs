namespace Pengx.Client;

/// <summary>The network interfaces of virtual machines: <c>/vms/{id}/interfaces/</c>.</summary>
public interface IInterfaceClient
{
    /// <summary>Lists a VM's interfaces while the answer arrives.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The interfaces.</returns>
    IAsyncEnumerable<InterfaceResource> ListAsync(Guid machineId, CancellationToken cancellationToken = default);

    /// <summary>Reads one interface: an addition to the reference.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="interfaceId">The interface's number.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The interface.</returns>
    Task<InterfaceResource> GetAsync(Guid machineId, int interfaceId, CancellationToken cancellationToken = default);

    /// <summary>Adds an interface with a fresh MAC address, also to a VM that runs.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="request">The switch to plug it into.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new interface's number.</returns>
    Task<CreatedResult<int>> CreateAsync(
        Guid machineId, InterfaceCreateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Changes an interface's address (version 2); a running guest's interface is left alone until its next power-off.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="interfaceId">The interface's number.</param>
    /// <param name="request">The new address.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> UpdateAsync(
        Guid machineId,
        int interfaceId,
        InterfaceUpdateRequest request,
        ChangeOptions? options = null,
        CancellationToken cancellationToken = default);

    /// <summary>Deletes an interface; a running guest's interface is left alone until its next power-off.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="interfaceId">The interface's number.</param>
    /// <param name="request">The body that the reference shows, for a server that wants one; null sends none.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(
        Guid machineId,
        int interfaceId,
        InterfaceDeleteRequest? request = null,
        ChangeOptions? options = null,
        CancellationToken cancellationToken = default);
}
