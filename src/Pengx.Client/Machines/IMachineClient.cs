namespace Pengx.Client;

/// <summary>Virtual machines: <c>/vms/</c>.</summary>
public interface IMachineClient
{
    /// <summary>Lists all VMs while the answer arrives; without VNC port and password.</summary>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The VMs.</returns>
    IAsyncEnumerable<MachineResource> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Reads one VM.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The VM.</returns>
    Task<MachineResource> GetAsync(Guid id, CancellationToken cancellationToken = default);

    /// <summary>Creates a VM from a template, or with an empty disk.</summary>
    /// <param name="request">What to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The new VM's id.</returns>
    Task<CreatedResult<Guid>> CreateAsync(
        MachineCreateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes a VM that is shut down, with its disks.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> DeleteAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Changes virtual CPUs and memory, online or offline (the reference's "update").</summary>
    /// <param name="id">The VM.</param>
    /// <param name="request">The new figures.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> ResizeAsync(
        Guid id, MachineUpdateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Changes name and description, online or offline (version 2).</summary>
    /// <param name="id">The VM.</param>
    /// <param name="request">The new texts.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> EditAsync(
        Guid id, MachineEditRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Copies a VM, also one that runs: its disks as they are at one instant, flattened. The copy is shut down and has addresses of its
    /// own. It may take long: ask with <see cref="ChangeOptions.RespondAsync"/> to follow it.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="request">The copy's name, and where its disks lie.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>The copy's id.</returns>
    Task<CreatedResult<Guid>> CopyAsync(
        Guid id, MachineCopyRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Moves all disks of a VM to another storlink, also of one that runs (the reference's "smigrate"). Its snapshots are removed; the
    /// message lists them. It may take long: ask with <see cref="ChangeOptions.RespondAsync"/> to follow or cancel it.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="request">Where the disks shall lie.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> MigrateStorageAsync(
        Guid id, MachineStorageMigrateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Moves a VM to another host that sees its disks, also one that runs (the reference's "migrate").</summary>
    /// <param name="id">The VM.</param>
    /// <param name="request">The host.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> MigrateAsync(
        Guid id, MachineMigrateRequest request, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Starts a VM.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> StartAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Asks the guest to shut down and waits a while; the message tells whether it did.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> ShutdownAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Stops a VM at once, without asking its guest.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> PowerOffAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Asks the guest to reboot.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> RebootAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Stops a VM at once and starts it again.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> ResetAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Pauses a VM in memory.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> SuspendAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);

    /// <summary>Lets a paused VM run on.</summary>
    /// <param name="id">The VM.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellationToken">Stops waiting; what was begun goes on.</param>
    /// <returns>What was done.</returns>
    Task<ChangeResult> ResumeAsync(Guid id, ChangeOptions? options = null, CancellationToken cancellationToken = default);
}
