namespace Pengx.Storage;

/// <summary>Copies images into RBD images, with every wait on the cluster bounded, and says when it is the cluster that fails.</summary>
internal sealed class RbdCopy(IProcessRunner runner, CephOptions options, CephConfiguration configuration, TimeProvider time)
{
    private readonly ImageTool _images = new(runner, ToolOptions(options));
    private readonly ImageCopier _copier = new(runner, ToolOptions(options), time);

    /// <summary>The image as tools shall open it: by the configuration with bounds instead of the guests' own.</summary>
    /// <param name="layer">The image.</param>
    /// <param name="configuration">The configurations of the cluster.</param>
    public static DiskLayer Bounded(DiskLayer layer, CephConfiguration configuration) =>
        layer.Location is RbdLocation rbd && rbd.ConfigurationFile == configuration.GuestFile
            ? layer with { Location = rbd with { ConfigurationFile = configuration.ToolFile } }
            : layer;

    /// <summary>What a copy would take.</summary>
    public async Task<DataSize> MeasureAsync(DiskLayer source, CancellationToken cancellationToken) =>

        // As qcow2, for as raw, holes would count.
        (await ReachingAsync(() => _images.MeasureAsync(Bounded(source, configuration), DiskFormat.Qcow2, cancellationToken)).ConfigureAwait(false)).Required;

    /// <summary>The size that a guest sees of an image, once everything beneath it is known to be named in a way that is used here.</summary>
    public Task<DataSize> SizeAsync(DiskLayer image, CancellationToken cancellationToken) =>
        ReachingAsync(() => _images.SizeOfAsync(Bounded(image, configuration), cancellationToken));

    /// <summary>What an RBD image has to have for a qcow2 image of a size in it, however much is written to that.</summary>
    public Task<DataSize> NeededAsync(DataSize size, CancellationToken cancellationToken) =>
        ReachingAsync(async () => (await _images.MeasureAsync(size, DiskFormat.Qcow2, cancellationToken).ConfigureAwait(false)).FullyAllocated);

    /// <summary>The header of the qcow2 image in an RBD image.</summary>
    public Task<Qcow2Header> HeaderAsync(string pool, string image, CancellationToken cancellationToken) =>
        ReachingAsync(() => _images.HeaderOfAsync(LayerOf(pool, image, DiskFormat.Qcow2), cancellationToken));

    /// <summary>Makes an empty qcow2 image in a fresh RBD image; durable when this returns.</summary>
    public Task FormatAsync(string pool, string image, DataSize size, DiskLayer? backing, CancellationToken cancellationToken) => ReachingAsync(async () =>
    {
        await _images.FormatAsync(LayerOf(pool, image, DiskFormat.Qcow2), size, backing, cancellationToken).ConfigureAwait(false);
        return true;
    });

    /// <summary>Grows the qcow2 image in an RBD image that is large enough.</summary>
    public Task ResizeAsync(string pool, string image, DataSize size, CancellationToken cancellationToken) => ReachingAsync(async () =>
    {
        await _images.ResizeAsync(LayerOf(pool, image, DiskFormat.Qcow2), size, cancellationToken).ConfigureAwait(false);
        return true;
    });

    /// <summary>Copies an image with all beneath it into an RBD image that is at least as large; durable when this returns.</summary>
    /// <param name="source">What to copy.</param>
    /// <param name="pool">The pool to copy to.</param>
    /// <param name="image">The image to copy to; nothing has been written to it, or it holds an empty qcow2 image.</param>
    /// <param name="format">Its format.</param>
    /// <param name="rateLimit">How many bytes of the source are copied in a second at most; 0 for no limit.</param>
    /// <param name="progress">Told of the bytes of the source that are done.</param>
    /// <param name="cancellationToken">Ends the copy.</param>
    public Task CopyAsync(
        DiskLayer source, string pool, string image, DiskFormat format, DataSize rateLimit, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) =>
        ReachingAsync(() => _copier.CopyAsync(
            new()
            {
                Source = Bounded(source, configuration),
                Target = LayerOf(pool, image, format),
                TargetContent = CopyTargetContent.Zero,
                RateLimit = rateLimit,
            },
            progress,
            cancellationToken));

    private DiskLayer LayerOf(string pool, string image, DiskFormat format) =>
        new(new RbdLocation(pool, image) { ConfigurationFile = configuration.ToolFile, User = options.User }, format);

    private static ImageToolOptions ToolOptions(CephOptions options) => new() { QemuImg = options.QemuImg, Timeout = options.CommandTimeout, StallTimeout = options.StallTimeout };

    private static async Task<T> ReachingAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch (ProcessFailedException exception) when (exception is { ExitCode: null, InnerException: null })
        {
            throw new UnavailableException($"The storage did not answer: {exception.Message}", exception);
        }
        catch (ProcessFailedException exception) when (Says(exception, "Connection timed out") || Says(exception, "Transport endpoint") || Says(exception, "Connection refused") || Says(exception, "error connecting"))
        {
            throw new UnavailableException($"The Ceph cluster cannot be reached, or does not answer. {exception.Message}", exception);
        }
        catch (ProcessFailedException exception) when (Says(exception, "Unknown driver 'rbd'") || Says(exception, "Unknown protocol 'rbd'"))
        {
            throw new StorageException($"qemu-img has no RBD driver here; install it (Debian: qemu-block-extra). {exception.Message}", exception);
        }
    }

    private static bool Says(ProcessFailedException exception, string text) => exception.Message.Contains(text, StringComparison.Ordinal);
}
