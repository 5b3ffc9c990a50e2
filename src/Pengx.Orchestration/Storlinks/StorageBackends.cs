namespace Pengx.Orchestration;

/// <summary>Finds the backend of a storage link, and brings volumes to be and not to be.</summary>
internal sealed class StorageBackends(IEnumerable<IStorageBackend> backends, LocalHost host)
{
    private readonly IReadOnlyList<IStorageBackend> _backends = [.. backends];

    public IStorageBackend? Find(Storlink storlink) =>
        storlink.Pm == host.Id || storlink.Shared ? _backends.FirstOrDefault(backend => backend.Serves(storlink)) : null;

    /// <exception cref="WrongStateException">It is another PM's alone.</exception>
    /// <exception cref="StorageException">Nothing here serves its type and level.</exception>
    public IStorageBackend Get(Storlink storlink) => Find(storlink)
        ?? throw (storlink.Pm == host.Id || storlink.Shared
            ? new StorageException($"Storlink {storlink.Id} '{storlink.Name}' is {storlink.Type} storage at {storlink.Level} level, which this PM cannot use.")
            : new WrongStateException($"Storlink {storlink.Id} '{storlink.Name}' belongs to PM {storlink.Pm} and is not shared; use one of this PM's."));

    public async Task<DiskLayer> LayerAsync(Storlink storlink, Disk disk, CancellationToken cancellationToken) =>
        new(await Get(storlink).AttachAsync(storlink, disk.Id, disk.Format, cancellationToken).ConfigureAwait(false), disk.Format);

    public async Task DeleteAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken)
    {
        var backend = Get(storlink);
        await backend.DetachAsync(storlink, disk, cancellationToken).ConfigureAwait(false);
        await backend.DeleteAsync(storlink, disk, cancellationToken).ConfigureAwait(false);
    }
}
