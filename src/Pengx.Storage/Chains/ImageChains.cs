namespace Pengx.Storage;

/// <summary>Changes chains of images in files, on block devices and in Ceph through <c>qemu-img</c>. Before a tool opens anything, the chain
/// is read from the headers, must be the one that is named, and is then given to the tool layer by layer with each layer's format.</summary>
/// <remarks>The tools take QEMU's locks: an image that a guest runs on, or that lies beneath one, is not written to. Safe to use
/// from many threads; two calls at once for one chain are refused by those locks.</remarks>
/// <param name="runner">Runs <c>qemu-img</c>.</param>
/// <param name="options">How it is run; the defaults when not given.</param>
/// <param name="timeProvider">The clock; the system's when not given.</param>
public sealed class ImageChains(IProcessRunner runner, ImageToolOptions? options = null, TimeProvider? timeProvider = null) : IDiskChains, IDiskUse
{
    private readonly ImageToolOptions _options = options ?? new();
    private readonly ImageTool _images = new(runner, options);
    private readonly TimeProvider _time = timeProvider ?? TimeProvider.System;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<DiskLayer>> ReadAsync(DiskLayer top, CancellationToken cancellationToken = default) =>
        [.. (await ReadChainAsync(top, cancellationToken).ConfigureAwait(false)).Layers.Select(layer => layer.Image)];

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has one of the layers open.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left for what the last layer takes in.</exception>
    public async Task CommitAsync(IReadOnlyList<DiskLayer> layers, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layers);
        if (layers.Count < 2)
        {
            throw new ArgumentException("A merge needs the layer that takes in and at least one above it.", nameof(layers));
        }

        var chain = await ReadChainAsync(layers[0], cancellationToken).ConfigureAwait(false);
        IReadOnlyList<DiskLayer> real = [.. chain.Layers.Select(layer => layer.Image)];
        if (!real.Take(layers.Count).SequenceEqual(layers))
        {
            throw new StorageException($"The image {layers[0].Location} lies on {Listed(real.Skip(1))}, and was to be merged through {Listed(layers.Skip(1))}; nothing was changed.");
        }

        using var written = WriteBack.Of(layers[^1]);
        await _images.CommitAsync(real, layers.Count, ByteShare.Of(progress, chain.Size), cancellationToken).ConfigureAwait(false);
        await FlushAsync(written).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the image open, or writes to one beneath it.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left for what the image takes in.</exception>
    public async Task StreamAsync(DiskLayer layer, DiskLayer? backing, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        var chain = await ReadChainAsync(layer, cancellationToken).ConfigureAwait(false);
        using var written = WriteBack.Of(layer);
        var beneath = chain.Layers.Skip(1).Select(one => one.Image).ToList();
        if (backing is null ? beneath.Count > 0 : beneath.FirstOrDefault() != backing)
        {
            if (backing is not null && !beneath.Contains(backing))
            {
                throw new StorageException($"The image {layer.Location} lies on {Listed(beneath)}, and not on {backing.Location}; nothing was changed.");
            }

            await _images.RebaseAsync(layer, backing, ByteShare.Of(progress, chain.Size), cancellationToken).ConfigureAwait(false);
            await DemandBackingAsync(layer, backing).ConfigureAwait(false);
        }

        // An earlier call may have ended between its change and this.
        await FlushAsync(written).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the image open.</exception>
    public async Task RelinkAsync(DiskLayer layer, DiskLayer? backing, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        if (layer.Format != DiskFormat.Qcow2)
        {
            throw new StorageException($"The image {layer.Location} is raw, and cannot lie on another one.");
        }

        if (backing is not null && (await ReadAsync(backing, cancellationToken).ConfigureAwait(false)).Contains(layer))
        {
            throw new StorageException($"The image {layer.Location} cannot lie on {backing.Location}, which lies on it.");
        }

        using var written = WriteBack.Of(layer);
        if (await StatedBackingAsync(layer).ConfigureAwait(false) != backing)
        {
            await _images.SetBackingAsync(layer, backing, cancellationToken).ConfigureAwait(false);
            await DemandBackingAsync(layer, backing).ConfigureAwait(false);
        }

        await FlushAsync(written).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the image open for writing.</exception>
    public async Task<bool> IsWrittenAsync(DiskLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        return await StatedBackingAsync(layer).ConfigureAwait(false) is null || await _images.HasOwnDataAsync(layer, cancellationToken).ConfigureAwait(false);
    }

    private async Task<ImageChain> ReadChainAsync(DiskLayer top, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(top);
        return await GuardedAsync(() => ImageChain.ReadAsync(top, _images, null, cancellationToken)).ConfigureAwait(false);
    }

    /// <summary>What an image's own header names beneath it; whether that is there is not asked.</summary>
    private Task<DiskLayer?> StatedBackingAsync(DiskLayer layer) => GuardedAsync(async () => layer switch
    {
        { Format: not DiskFormat.Qcow2 } => null,
        { Location: RbdLocation } => ImageChain.BeneathOf(layer, await _images.HeaderOfAsync(layer, CancellationToken.None).ConfigureAwait(false)),
        _ => await Task.Run(() => ImageChain.BeneathOf(layer, ImageChain.HeaderOf(ImageTool.PathOf(layer)))).ConfigureAwait(false),
    });

    private async Task DemandBackingAsync(DiskLayer layer, DiskLayer? backing)
    {
        var stated = await StatedBackingAsync(layer).ConfigureAwait(false);
        if (stated != backing)
        {
            throw new StorageException($"The image {layer.Location} was to lie on {backing?.Location.ToString() ?? "nothing"}, and its header names {stated?.Location.ToString() ?? "nothing"}.");
        }
    }

    // What was begun is finished.
    private Task FlushAsync(WriteBack? written) => written?.FlushAsync(_options.StallTimeout, _time, CancellationToken.None) ?? Task.CompletedTask;

    private static async Task<T> GuardedAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StorageException(exception.Message, exception);
        }
        catch (ProcessFailedException exception) when (exception is { ExitCode: null, InnerException: null })
        {
            throw new UnavailableException($"The storage did not answer: {exception.Message}", exception);
        }
    }

    private static string Listed(IEnumerable<DiskLayer> layers) => string.Join(", ", layers.Select(layer => layer.Location)) is { Length: > 0 } list ? list : "nothing";
}
