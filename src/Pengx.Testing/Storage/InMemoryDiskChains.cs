namespace Pengx.Testing;

/// <summary>Chains of the images of an <see cref="InMemoryStorage"/>. Its calls fail as the storage's do: by
/// <see cref="InMemoryStorage.FailNext"/> with this class's verbs, and where <see cref="InMemoryStorage.IsOpen"/> says that an image
/// is open.</summary>
/// <param name="storage">The images.</param>
public sealed class InMemoryDiskChains(InMemoryStorage storage) : IDiskChains, IDiskUse
{
    /// <inheritdoc/>
    public Task<IReadOnlyList<DiskLayer>> ReadAsync(DiskLayer top, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(top);
        storage.Enter(nameof(ReadAsync), cancellationToken);
        return Task.FromResult(storage.ReadChain(top));
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">A layer is open.</exception>
    public Task CommitAsync(IReadOnlyList<DiskLayer> layers, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layers);
        ArgumentOutOfRangeException.ThrowIfLessThan(layers.Count, 2);
        storage.Enter(nameof(CommitAsync), cancellationToken);
        storage.Commit(layers);
        progress?.Report(new(1, 1));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">The image is open.</exception>
    public Task StreamAsync(DiskLayer layer, DiskLayer? backing, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        storage.Enter(nameof(StreamAsync), cancellationToken);
        storage.Stream(layer, backing);
        progress?.Report(new(1, 1));
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">The image is open.</exception>
    public Task RelinkAsync(DiskLayer layer, DiskLayer? backing, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        storage.Enter(nameof(RelinkAsync), cancellationToken);
        storage.Relink(layer, backing);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<bool> IsWrittenAsync(DiskLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        storage.Enter(nameof(IsWrittenAsync), cancellationToken);
        return Task.FromResult(storage.IsWritten(layer));
    }
}
