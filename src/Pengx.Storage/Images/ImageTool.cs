using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Storage;

/// <summary>Works on disk images through <c>qemu-img</c>. Every image comes with its format, and every call states it: the
/// tool never probes, because a guest can write any header into a raw disk.</summary>
/// <remarks>What it writes is durable only when the caller has flushed it. Safe to use from many threads.</remarks>
/// <param name="runner">Runs the tool.</param>
/// <param name="options">How the tool is run; the defaults when not given.</param>
/// <param name="timeProvider">The clock; the system's when not given.</param>
public sealed class ImageTool(IProcessRunner runner, ImageToolOptions? options = null, TimeProvider? timeProvider = null)
{
    private const int FoundErrors = 2;
    private const int FoundLeaks = 3;

    private readonly ImageToolOptions _options = options ?? new();
    private readonly TimeProvider _time = timeProvider ?? TimeProvider.System;

    /// <summary>Makes an empty image, over whatever the file holds.</summary>
    /// <param name="image">Where it shall lie, and its format.</param>
    /// <param name="size">The size that the guest shall see.</param>
    /// <param name="backing">The image to lay it on; for qcow2 only.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task CreateAsync(DiskLayer image, DataSize size, DiskLayer? backing = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        List<string> arguments = ["create", "-q", "-f", image.Format.Name];
        if (backing is not null)
        {
            arguments.AddRange(["-F", backing.Format.Name, "-b", PathOf(backing)]);
        }

        arguments.AddRange([PathOf(image), Number(size)]);
        await RunAsync(arguments, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Copies an image with all beneath it into one image, over whatever the target holds.</summary>
    /// <param name="source">The image to copy.</param>
    /// <param name="target">Where the copy shall lie, and its format.</param>
    /// <param name="direct">Whether to write past the page cache; the target's file system must allow it.</param>
    /// <param name="progress">Told how much of the source's size is done.</param>
    /// <param name="cancellationToken">Ends the tool; what it wrote is left for the caller to remove.</param>
    /// <exception cref="InUseException">Something else has one of the images open.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left.</exception>
    /// <exception cref="StorageException">The copy stood still for longer than <see cref="ImageToolOptions.StallTimeout"/>.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task ConvertAsync(DiskLayer source, DiskLayer target, bool direct, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(target);
        using var stall = new CancellationTokenSource(_options.StallTimeout, _time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(stall.Token, cancellationToken);
        ProcessCommand command = new()
        {
            FileName = _options.QemuImg,
            Arguments =
            [
                "convert", "-p", "-m", "16", "-W", "-f", source.Format.Name, "-O", target.Format.Name,
                "-t", direct ? "none" : "writeback", PathOf(source), PathOf(target),
            ],

            // However long a copy takes, it is well as long as it moves.
            Timeout = Timeout.InfiniteTimeSpan,
            OnOutputLine = line =>
            {
                if (TryReadPercent(line, out var percent))
                {
                    stall.CancelAfter(_options.StallTimeout);
                    progress?.Report(percent / 100);
                }
            },
        };

        try
        {
            Check(await runner.RunAsync(command, stop.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (stall.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new StorageException(string.Create(CultureInfo.InvariantCulture, $"The copy of {source.Location} stood still for {_options.StallTimeout.TotalMinutes:0} minutes and was stopped."));
        }
    }

    /// <summary>Grows an image.</summary>
    /// <param name="image">The image.</param>
    /// <param name="size">The size that the guest shall see.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool failed, or the size is below the present one.</exception>
    public async Task ResizeAsync(DiskLayer image, DataSize size, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        await RunAsync(["resize", "-q", "-f", image.Format.Name, PathOf(image), Number(size)], cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Says what an image is.</summary>
    /// <param name="image">The image.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<ImageInfo> InfoAsync(DiskLayer image, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        var result = await RunAsync(["info", "--output=json", "-f", image.Format.Name, PathOf(image)], cancellationToken).ConfigureAwait(false);
        var report = Read(result, ImageJson.Default.InfoReport);
        return new(image.Format, new(report.VirtualSize), new(report.ActualSize), report.FullBackingFileName ?? report.BackingFileName, report.BackingFormat);
    }

    /// <summary>Says what a copy of an image would take.</summary>
    /// <param name="source">The image.</param>
    /// <param name="target">The copy's format.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<ImageMeasure> MeasureAsync(DiskLayer source, DiskFormat target, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        var result = await RunAsync(["measure", "--output=json", "-f", source.Format.Name, "-O", target.Name, PathOf(source)], cancellationToken).ConfigureAwait(false);
        return Measured(result);
    }

    /// <summary>Says what an empty image would take.</summary>
    /// <param name="size">The size that the guest shall see.</param>
    /// <param name="target">The format.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<ImageMeasure> MeasureAsync(DataSize size, DiskFormat target, CancellationToken cancellationToken = default) =>
        Measured(await RunAsync(["measure", "--output=json", "-O", target.Name, "--size", Number(size)], cancellationToken).ConfigureAwait(false));

    /// <summary>Looks for damage in a qcow2 image; changes nothing.</summary>
    /// <param name="image">The image.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing.</exception>
    /// <exception cref="ProcessFailedException">The tool could not check; a raw image has nothing to check.</exception>
    public async Task<ImageCheck> CheckAsync(DiskLayer image, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        var result = await runner.RunAsync(Command(["check", "--output=json", "-f", image.Format.Name, PathOf(image)]), cancellationToken).ConfigureAwait(false);
        if (result.ExitCode is not (FoundErrors or FoundLeaks))
        {
            Check(result);
        }

        var report = Read(result, ImageJson.Default.CheckReport);
        return new(report.CheckErrors + report.Corruptions, report.Leaks);
    }

    /// <summary>Reads <c>    (62.96/100%)</c>.</summary>
    internal static bool TryReadPercent(string line, out double percent)
    {
        var text = line.AsSpan().Trim();
        percent = 0;
        return text.StartsWith('(') && text.EndsWith("/100%)", StringComparison.Ordinal)
            && double.TryParse(text[1..^6], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out percent);
    }

    /// <summary>An absolute path is never taken for an option or a protocol, whatever it contains.</summary>
    internal static string PathOf(DiskLayer layer)
    {
        var path = layer.Location switch
        {
            FileLocation file => file.Path,
            BlockLocation block => block.Path,
            _ => throw new StorageException($"The image {layer.Location} is neither a file nor a block device, and is not read here."),
        };
        return path.StartsWith('/') ? path : throw new ArgumentException($"'{path}' is not an absolute path.", nameof(layer));
    }

    private static string Number(DataSize size) => size.Bytes.ToString(CultureInfo.InvariantCulture);

    private static ImageMeasure Measured(ProcessResult result)
    {
        var report = Read(result, ImageJson.Default.MeasureReport);
        return new(new(report.Required), new(report.FullyAllocated));
    }

    private static T Read<T>(ProcessResult result, JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(result.Output, type) ?? throw new JsonException("It is empty.");
        }
        catch (JsonException exception)
        {
            throw new StorageException($"The answer of qemu-img {result.Command.Arguments[0]} cannot be understood: {exception.Message}", exception);
        }
    }

    private static void Check(ProcessResult result)
    {
        if (result.ExitCode == 0)
        {
            return;
        }

        var failure = ProcessFailedException.Exited(result);
        if (result.Error.Contains("Failed to get", StringComparison.Ordinal) && result.Error.Contains("lock", StringComparison.Ordinal))
        {
            throw new InUseException($"The image is open elsewhere. {failure.Message}");
        }

        throw result.Error.Contains("No space left on device", StringComparison.Ordinal) ? new InsufficientResourceException(failure.Message) : failure;
    }

    private async Task<ProcessResult> RunAsync(List<string> arguments, CancellationToken cancellationToken)
    {
        var result = await runner.RunAsync(Command(arguments), cancellationToken).ConfigureAwait(false);
        Check(result);
        return result;
    }

    private ProcessCommand Command(List<string> arguments) => new() { FileName = _options.QemuImg, Arguments = arguments, Timeout = _options.Timeout };
}
