namespace Pengx.Storage;

/// <summary>Copies images into RBD images, with every wait on the cluster bounded, and says when it is the cluster that fails.</summary>
internal sealed class RbdCopy(IProcessRunner runner, CephOptions options, CephConfiguration configuration, TimeProvider time)
{
    private readonly ImageTool _images = new(runner, ToolOptions(options), time);
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

    /// <summary>Copies an image with all beneath it into a fresh raw RBD image that is at least as large; durable when this returns.</summary>
    /// <param name="source">What to copy.</param>
    /// <param name="pool">The pool to copy to.</param>
    /// <param name="image">The image to copy to; nothing has been written to it.</param>
    /// <param name="progress">Told of the bytes of the source that are done.</param>
    /// <param name="cancellationToken">Ends the copy.</param>
    public Task CopyAsync(DiskLayer source, string pool, string image, IProgress<ByteProgress>? progress, CancellationToken cancellationToken) => ReachingAsync(() => _copier.CopyAsync(
        new()
        {
            Source = Bounded(source, configuration),
            Target = new(new RbdLocation(pool, image) { ConfigurationFile = configuration.ToolFile, User = options.User }, DiskFormat.Raw),
            TargetContent = CopyTargetContent.Zero,
        },
        progress,
        cancellationToken));

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
