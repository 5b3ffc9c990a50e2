namespace Pengx.Client;

/// <summary>Templates (golden VMs): <c>/templates/</c>.</summary>
public interface ITemplateClient
{
    /// <summary>Lists all templates while the answer arrives; with their state in version 2.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The templates.</returns>
    IAsyncEnumerable<TemplateResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one template with its state and its console (version 2).</summary>
    /// <param name="id">The template.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The template.</returns>
    Task<TemplateResource> GetAsync(Guid id, CancellationToken cancellationToken = default);

    /// <summary>Lists a template's disks while the answer arrives.</summary>
    /// <param name="id">The template.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The disks.</returns>
    IAsyncEnumerable<DiskResource> ListDisksAsync(Guid id, CancellationToken cancellationToken = default);

    /// <summary>Makes a template from images that already lie on a storlink.</summary>
    /// <param name="request">What to add.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new template's id.</returns>
    Task<CreatedResult<Guid>> AddAsync(
        TemplateAddRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Makes a template with new, empty images, to be installed (version 2).</summary>
    /// <param name="request">What to add.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new template's id.</returns>
    Task<CreatedResult<Guid>> AddWithNewImageAsync(
        TemplateAddNewRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Makes a template from a VM.</summary>
    /// <param name="machineId">The VM.</param>
    /// <param name="request">What to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new template's id.</returns>
    Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, TemplateCreateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Changes a template's name, system or description.</summary>
    /// <param name="id">The template.</param>
    /// <param name="request">What changes.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> UpdateAsync(
        Guid id, TemplateUpdateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes a template from which no VM was made, with its disks.</summary>
    /// <param name="id">The template.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Boots a template to install it: an addition to the reference.</summary>
    /// <param name="id">The template.</param>
    /// <param name="request">With which ISO image, or none.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> StartAsync(
        Guid id, TemplateStartRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Asks a template's guest to shut down: an addition to the reference.</summary>
    /// <param name="id">The template.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> ShutdownAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Stops a template at once: an addition to the reference.</summary>
    /// <param name="id">The template.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> PowerOffAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
