using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Storage;

/// <summary>Works on disk images through <c>qemu-img</c>. Every image comes with its format, and every call states it: the
/// tool never probes, because a guest can write any header into a raw disk.</summary>
/// <remarks>
/// What it writes is durable only when the caller has flushed it. An image that a QEMU program has open for writing is
/// refused, unless a call is told to read it while it is in use. The tool opens what an image names beneath itself: read an
/// image that is not your own with <see cref="ImageChain.Read"/> first. Safe to use from many threads.
/// </remarks>
/// <param name="runner">Runs the tool.</param>
/// <param name="options">How the tool is run; the defaults when not given.</param>
public sealed class ImageTool(IProcessRunner runner, ImageToolOptions? options = null)
{
    private const int Differs = 1;
    private const int FoundErrors = 2;
    private const int FoundLeaks = 3;
    private const int MaxBitmapName = 1023;

    // An extent takes about 100 bytes, so this is the map of an image with half a million of them.
    private const int MaxMapBytes = 64 * 1024 * 1024;

    private static readonly char[] s_mapFrame = ['[', ']', ',', ' '];

    private readonly ImageToolOptions _options = options ?? new();

    /// <summary>Makes an empty image, over whatever the file holds.</summary>
    /// <param name="image">Where it shall lie, and its format.</param>
    /// <param name="size">The size that the guest shall see.</param>
    /// <param name="backing">The image to lay it on; for qcow2 only.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public Task CreateAsync(DiskLayer image, DataSize size, DiskLayer? backing = null, CancellationToken cancellationToken = default) =>
        CreateAsync(image, size, backing, new(), cancellationToken);

    /// <summary>Makes an empty image of a certain layout, over whatever the file holds.</summary>
    /// <param name="image">Where it shall lie, and its format.</param>
    /// <param name="size">The size that the guest shall see.</param>
    /// <param name="backing">The image to lay it on; for qcow2 only.</param>
    /// <param name="creation">Its layout.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="ArgumentException">The layout is not one that the format can have.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task CreateAsync(DiskLayer image, DataSize size, DiskLayer? backing, ImageCreation creation, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        List<string> arguments = ["create", "-q", "-f", image.Format.Name];
        if (LayoutOf(image.Format, creation) is { Length: > 0 } layout)
        {
            arguments.AddRange(["-o", layout]);
        }

        if (backing is not null)
        {
            arguments.AddRange(["-F", backing.Format.Name, "-b", creation.IsBackingBeside ? Path.GetFileName(PathOf(backing)) : NameOf(backing)]);
        }

        arguments.AddRange([NameOf(image), Number(size)]);
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
    /// <exception cref="UnavailableException">The copy stood still for longer than <see cref="ImageToolOptions.StallTimeout"/>.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public Task ConvertAsync(DiskLayer source, DiskLayer target, bool direct, IProgress<double>? progress = null, CancellationToken cancellationToken = default) =>
        ConvertAsync(source, target, new ImageConversion { Caching = direct ? ImageCaching.None : ImageCaching.WriteBack }, progress, cancellationToken);

    /// <summary>Copies an image with all beneath it into one image, in a certain way.</summary>
    /// <param name="source">The image to copy.</param>
    /// <param name="target">Where the copy shall lie, and its format.</param>
    /// <param name="conversion">How.</param>
    /// <param name="progress">Told how much of the source's size is done.</param>
    /// <param name="cancellationToken">Ends the tool; what it wrote is left for the caller to remove.</param>
    /// <exception cref="InUseException">Something else has one of the images open.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left.</exception>
    /// <exception cref="UnavailableException">The copy stood still for longer than <see cref="ImageToolOptions.StallTimeout"/>.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task ConvertAsync(DiskLayer source, DiskLayer target, ImageConversion conversion, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        await RunLongAsync(ConversionArguments(source, target, conversion), $"The copy of {source.Location}", progress, cancellationToken).ConfigureAwait(false);
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
        await RunAsync(["resize", "-q", "-f", image.Format.Name, NameOf(image), Number(size)], cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Cuts an image off. What the guest has beyond the size is lost.</summary>
    /// <param name="image">The image.</param>
    /// <param name="size">The size that the guest shall see.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool failed.</exception>
    public async Task ShrinkAsync(DiskLayer image, DataSize size, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        await RunAsync(["resize", "-q", "--shrink", "-f", image.Format.Name, NameOf(image), Number(size)], cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Says what an image is.</summary>
    /// <param name="image">The image.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public Task<ImageInfo> InfoAsync(DiskLayer image, CancellationToken cancellationToken = default) => InfoAsync(image, whileInUse: false, cancellationToken);

    /// <summary>Says what an image is, even while something writes to it.</summary>
    /// <param name="image">The image.</param>
    /// <param name="whileInUse">Whether to read it even then; the answer may be of no one moment.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing, and that was not allowed.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<ImageInfo> InfoAsync(DiskLayer image, bool whileInUse, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        var result = await RunAsync(["info", .. Sharing(whileInUse), "--output=json", "-f", image.Format.Name, NameOf(image)], cancellationToken).ConfigureAwait(false);
        return InfoOf(Read(result, ImageJson.Default.InfoReport), image.Format);
    }

    /// <summary>Says what an image and all beneath it are, the top one first.</summary>
    /// <param name="image">The image.</param>
    /// <param name="roots">Where the files of the chain must lie; anywhere when not given.</param>
    /// <param name="whileInUse">Whether to read it even while something writes to it; the answer may be of no one moment.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing, and that was not allowed.</exception>
    /// <exception cref="StorageException">A layer is refused before the tool is run, as <see cref="ImageChain.Read"/> says.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<IReadOnlyList<ImageInfo>> InfoChainAsync(DiskLayer image, ImageRoots? roots = null, bool whileInUse = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        var chain = await ImageChain.ReadAsync(image, this, roots, cancellationToken).ConfigureAwait(false);
        var result = await RunAsync(
            ["info", .. Sharing(whileInUse), "--backing-chain", "--output=json", "-f", image.Format.Name, NameOf(image)], cancellationToken).ConfigureAwait(false);
        var reports = Read(result, ImageJson.Default.IReadOnlyListInfoReport);
        if (reports.Count != chain.Layers.Count)
        {
            throw new StorageException($"The image {image.Location} changed while it was looked at: it had {chain.Layers.Count} layers, and then {reports.Count}.");
        }

        return [.. reports.Select((report, layer) => InfoOf(report, chain.Layers[layer].Image.Format))];
    }

    /// <summary>Says which ranges of an image are stored, and in which layer.</summary>
    /// <param name="image">The image.</param>
    /// <param name="whileInUse">Whether to read it even while something writes to it; the answer may be of no one moment.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing, and that was not allowed.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<IReadOnlyList<ImageExtent>> MapAsync(DiskLayer image, bool whileInUse = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        var command = Command(["map", .. Sharing(whileInUse), "--output=json", "-f", image.Format.Name, NameOf(image)]) with { MaxOutputBytes = MaxMapBytes };
        var result = await runner.RunAsync(command, cancellationToken).ConfigureAwait(false);
        Check(result);
        return [.. Read(result, ImageJson.Default.IReadOnlyListExtentReport)
            .Select(extent => new ImageExtent(extent.Start, extent.Length, extent.Depth, extent.Present, extent.Zero, extent.Data, extent.Offset))];
    }

    /// <summary>Says what a copy of an image would take.</summary>
    /// <param name="source">The image.</param>
    /// <param name="target">The copy's format.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public Task<ImageMeasure> MeasureAsync(DiskLayer source, DiskFormat target, CancellationToken cancellationToken = default) =>
        MeasureAsync(source, target, whileInUse: false, cancellationToken);

    /// <summary>Says what a copy of an image would take, even while something writes to it.</summary>
    /// <param name="source">The image.</param>
    /// <param name="target">The copy's format.</param>
    /// <param name="whileInUse">Whether to read it even then; the answer may be of no one moment.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open for writing, and that was not allowed.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<ImageMeasure> MeasureAsync(DiskLayer source, DiskFormat target, bool whileInUse, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(source);
        return Measured(await RunAsync(
            ["measure", .. Sharing(whileInUse), "--output=json", "-f", source.Format.Name, "-O", target.Name, NameOf(source)], cancellationToken).ConfigureAwait(false));
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
    public Task<ImageCheck> CheckAsync(DiskLayer image, CancellationToken cancellationToken = default) => CheckAsync(image, [], cancellationToken);

    /// <summary>Looks for damage in a qcow2 image and repairs it.</summary>
    /// <param name="image">The image.</param>
    /// <param name="repair">What may be repaired.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <returns>What was found and what of it was repaired.</returns>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool could not repair; a raw image has nothing to check.</exception>
    public Task<ImageCheck> RepairAsync(DiskLayer image, ImageRepair repair, CancellationToken cancellationToken = default) =>
        CheckAsync(image, ["-r", repair == ImageRepair.All ? "all" : "leaks"], cancellationToken);

    /// <summary>Whether two images have the same content, as guests see them; past the end of the shorter one there may be
    /// zeros.</summary>
    /// <param name="one">An image.</param>
    /// <param name="other">Another.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has one of them open for writing.</exception>
    /// <exception cref="UnavailableException">It stood still for longer than <see cref="ImageToolOptions.StallTimeout"/>.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<bool> CompareAsync(DiskLayer one, DiskLayer other, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(one);
        ArgumentNullException.ThrowIfNull(other);

        var command = Command(["compare", "-q", "-f", one.Format.Name, "-F", other.Format.Name, NameOf(one), NameOf(other)]);
        var result = await RunLongAsync(command, $"The comparison of {one.Location} with {other.Location}", cancellationToken).ConfigureAwait(false);
        if (result.ExitCode == Differs)
        {
            return false;
        }

        Check(result);
        return true;
    }

    /// <summary>Lays an overlay on another image without changing what the guest sees: what differs is copied into it.</summary>
    /// <param name="image">The overlay, a qcow2 image.</param>
    /// <param name="backing">The image to lay it on; <see langword="null"/> to copy all that lies beneath it into it.</param>
    /// <param name="progress">Told how much is done.</param>
    /// <param name="cancellationToken">Ends the tool; the overlay still shows the same then.</param>
    /// <exception cref="InUseException">Something else has one of the images open.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task RebaseAsync(DiskLayer image, DiskLayer? backing, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);

        // Written through: the tool writes the header, which lets go of what was beneath, before it closes the image, and what it
        // copied must not be in its cache alone by then.
        await RunLongAsync(
            ["rebase", "-p", "-t", "writethrough", "-f", image.Format.Name, .. On(backing), NameOf(image)], $"The work on {image.Location}", progress, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes into an empty overlay what one image shows otherwise than another, and lays it upon that other one: it then shows
    /// the same as the first. Both are read whole, and neither is changed.</summary>
    /// <param name="overlay">The overlay: a qcow2 image of at least their size that holds nothing and names nothing beneath it.</param>
    /// <param name="source">The image that it shall show.</param>
    /// <param name="backing">The image that it shall lie on.</param>
    /// <param name="isBackingBeside">Whether that is a file in the same directory, to be named by its file name alone.</param>
    /// <param name="rateLimit">How many bytes of the source are read in a second at most; 0 for no limit.</param>
    /// <param name="progress">Told how much is done.</param>
    /// <param name="cancellationToken">Ends the tool; the overlay is of no use then.</param>
    /// <exception cref="InUseException">Something writes to one of the images.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left.</exception>
    /// <exception cref="StorageException">A layer is refused before the tool is run, as <see cref="ImageChain.Read"/> says.</exception>
    /// <exception cref="UnavailableException">The work stood still for longer than <see cref="ImageToolOptions.StallTimeout"/>.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    internal async Task DifferAsync(
        DiskLayer overlay, DiskLayer source, DiskLayer backing, bool isBackingBeside, DataSize rateLimit, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        var shown = await ImageChain.ReadAsync(source, this, null, cancellationToken).ConfigureAwait(false);
        await ImageChain.ReadAsync(backing, this, null, cancellationToken).ConfigureAwait(false);

        // The tool moves an overlay from one image beneath it to another, and keeps what the two have apart. That it lies on the source
        // is said to the tool alone: no header ever names it.
        var limit = rateLimit.Bytes > 0 ? "limit" : null;
        string[] throttle = limit is null ? [] : ["--object", $"throttle-group,id={limit},x-bps-total={Number(rateLimit)}"];
        await RunLongAsync(
            ["rebase", "-p", .. throttle, .. On(backing), NameOfOverlay(overlay, [.. shown.Layers.Select(layer => layer.Image)], limit)],
            $"The comparison of {source.Location} with {backing.Location}", progress, cancellationToken).ConfigureAwait(false);
        if (isBackingBeside)
        {
            await RunAsync(["rebase", "-u", "-f", overlay.Format.Name, "-F", backing.Format.Name, "-b", Path.GetFileName(PathOf(backing)), NameOf(overlay)], cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Writes another backing file into an overlay's header and nothing else: for a backing file that was moved or
    /// has the same content. The whole chain is read before and after.</summary>
    /// <param name="image">The overlay, a qcow2 image.</param>
    /// <param name="backing">The image beneath it from now on.</param>
    /// <param name="roots">Where the files of the chain must lie; anywhere when not given.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the overlay open.</exception>
    /// <exception cref="StorageException">A layer of the new chain is refused, as <see cref="ImageChain.Read"/> says.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task RenameBackingAsync(DiskLayer image, DiskLayer backing, ImageRoots? roots = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(backing);
        await ImageChain.ReadAsync(backing, this, roots, cancellationToken).ConfigureAwait(false);
        await RunAsync(["rebase", "-u", "-f", image.Format.Name, .. On(backing), NameOf(image)], cancellationToken).ConfigureAwait(false);
        await ImageChain.ReadAsync(image, this, roots, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes what an overlay holds into the image beneath it. The overlay stays, and is of no use when anything else
    /// writes to the image beneath.</summary>
    /// <param name="image">The overlay, a qcow2 image.</param>
    /// <param name="progress">Told how much is done.</param>
    /// <param name="cancellationToken">Ends the tool; the overlay still shows the same then.</param>
    /// <exception cref="InUseException">Something else has one of the images open.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task CommitAsync(DiskLayer image, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);

        // -d: emptying the overlay afterwards would only cost time, and lose it should the rest not be durable yet.
        await RunLongAsync(["commit", "-p", "-d", "-f", image.Format.Name, NameOf(image)], $"The work on {image.Location}", progress, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes what the upper images of a chain hold into a lower one of it. The chain is known, and told to the tool with
    /// every layer's format: it reads none of it from the headers.</summary>
    /// <param name="chain">The whole chain, top first.</param>
    /// <param name="count">How many of its layers take part; the last of them takes the others in.</param>
    /// <param name="progress">Told how much is done.</param>
    /// <param name="cancellationToken">Ends the tool; the upper images still show the same then.</param>
    internal async Task CommitAsync(IReadOnlyList<DiskLayer> chain, int count, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        if (chain.Any(layer => layer.Location is RbdLocation))
        {
            // The tool knows the base by a name of its own making alone, unless it lies next beneath: the lowest first, each is merged
            // into it by itself, and shows the same as before to those above.
            for (var index = count - 2; index >= 0; index--)
            {
                await RunLongAsync(
                    ["commit", "-p", "-d", NameOfChain([chain[index], .. chain.Skip(count - 1)])], $"The work on {chain[index].Location}", progress, cancellationToken).ConfigureAwait(false);
            }

            return;
        }

        await RunLongAsync(["commit", "-p", "-d", "-b", PathOf(chain[count - 1]), NameOfChain(chain)], $"The work on {chain[0].Location}", progress, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Whether an overlay holds anything of its own; what lies beneath it is not opened.</summary>
    internal async Task<bool> HasOwnDataAsync(DiskLayer image, CancellationToken cancellationToken)
    {
        // The map of a large overlay is long, and one of its lines is enough: each has one extent. The format is in the name, and so must
        // not be given beside it.
        var (has, unread) = (false, default(string));
        var command = Command(["map", "--output=json", NameOfChain([image])]) with
        {
            OnOutputLine = line =>
            {
                if (!has && line.Trim(s_mapFrame) is { Length: > 0 } text)
                {
                    var extent = TryReadExtent(text);
                    has = extent is { Present: true };
                    unread ??= extent is null ? text : null;
                }
            },
        };
        Check(await RunLongAsync(command, $"The reading of {image.Location}", cancellationToken).ConfigureAwait(false));
        return has || (unread is null ? false : throw new StorageException($"The answer of qemu-img map cannot be understood: {unread}"));
    }

    private static ExtentReport? TryReadExtent(string text)
    {
        try
        {
            return JsonSerializer.Deserialize(text, ImageJson.Default.ExtentReport);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Writes what lies beneath an overlay into its header, and nothing else; nothing beneath is opened.</summary>
    internal async Task SetBackingAsync(DiskLayer image, DiskLayer? backing, CancellationToken cancellationToken) =>
        await RunAsync(["rebase", "-u", "-t", "writethrough", "-f", image.Format.Name, .. On(backing), NameOf(image)], cancellationToken).ConfigureAwait(false);

    /// <summary>Adds a bitmap that records from now on what is written to a qcow2 image.</summary>
    /// <param name="image">The image.</param>
    /// <param name="name">The bitmap's name.</param>
    /// <param name="granularity">How many bytes one bit stands for, a power of two from 512; the tool's own when not given.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool failed, as when there is one of that name.</exception>
    public Task AddBitmapAsync(DiskLayer image, string name, int? granularity = null, CancellationToken cancellationToken = default) =>
        ChangeBitmapAsync(image, name, granularity is { } bytes ? ["--add", "-g", bytes.ToString(CultureInfo.InvariantCulture)] : ["--add"], cancellationToken);

    /// <summary>Removes a bitmap.</summary>
    /// <param name="image">The image.</param>
    /// <param name="name">The bitmap's name.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool failed, as when there is none of that name.</exception>
    public Task RemoveBitmapAsync(DiskLayer image, string name, CancellationToken cancellationToken = default) => ChangeBitmapAsync(image, name, ["--remove"], cancellationToken);

    /// <summary>Lets a bitmap record, or stop recording.</summary>
    /// <param name="image">The image.</param>
    /// <param name="name">The bitmap's name.</param>
    /// <param name="recording">Whether it shall record.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool failed, as when there is none of that name.</exception>
    public Task SetBitmapRecordingAsync(DiskLayer image, string name, bool recording, CancellationToken cancellationToken = default) =>
        ChangeBitmapAsync(image, name, [recording ? "--enable" : "--disable"], cancellationToken);

    /// <summary>Lets a bitmap begin anew.</summary>
    /// <param name="image">The image.</param>
    /// <param name="name">The bitmap's name.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool failed, as when there is none of that name.</exception>
    public Task ClearBitmapAsync(DiskLayer image, string name, CancellationToken cancellationToken = default) => ChangeBitmapAsync(image, name, ["--clear"], cancellationToken);

    /// <summary>Adds what one bitmap recorded to another of the same image.</summary>
    /// <param name="image">The image.</param>
    /// <param name="from">The bitmap to add; it stays as it is.</param>
    /// <param name="into">The bitmap to add it to.</param>
    /// <param name="cancellationToken">Ends the tool.</param>
    /// <exception cref="InUseException">Something else has the image open.</exception>
    /// <exception cref="ProcessFailedException">The tool failed, as when there is none of a name.</exception>
    public Task MergeBitmapAsync(DiskLayer image, string from, string into, CancellationToken cancellationToken = default)
    {
        DemandBitmapName(from);
        return ChangeBitmapAsync(image, into, ["--merge", from], cancellationToken);
    }

    /// <summary>The arguments of a conversion.</summary>
    internal static List<string> ConversionArguments(DiskLayer source, DiskLayer target, ImageConversion conversion)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(conversion);
        ArgumentOutOfRangeException.ThrowIfNegative(conversion.RateLimit.Bytes);
        if (conversion.Parallel is < 1 or > 16)
        {
            throw new ArgumentOutOfRangeException(nameof(conversion), conversion.Parallel, "1 to 16 requests can be under way at once.");
        }

        List<string> arguments = ["convert", "-p"];
        void Add(bool wanted, params ReadOnlySpan<string> words)
        {
            if (wanted)
            {
                arguments.AddRange(words);
            }
        }

        Add(conversion.WhileInUse, "-U");
        Add(conversion.Offload, "-C");
        Add(true, "-m", conversion.Parallel.ToString(CultureInfo.InvariantCulture));
        Add(conversion.OutOfOrder, "-W");
        Add(conversion.RateLimit.Bytes > 0, "-r", Number(conversion.RateLimit));
        Add(conversion.Bitmaps, "--bitmaps");
        Add(conversion.IntoExisting, "-n");
        Add(conversion is { IntoExisting: true, TargetIsZero: true }, "--target-is-zero");
        Add(true, "-f", source.Format.Name, "-O", target.Format.Name);
        Add(true, "-t", conversion.Caching switch { ImageCaching.None => "none", ImageCaching.Unsafe => "unsafe", _ => "writeback" });
        Add(true, NameOf(source), NameOf(target));
        return arguments;
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

    // An RBD image in the form of "rbd:pool/image@…" could not have every name; JSON can. The format beside it is the layer's
    // own, as for a path.
    internal static string NameOf(DiskLayer layer) => layer.Location is RbdLocation ? BackingReference.Write(layer.Location) : PathOf(layer);

    /// <summary>A chain, with each layer's format.</summary>
    internal static string NameOfChain(IReadOnlyList<DiskLayer> chain) => NameOf(json => WriteChain(json, chain));

    /// <summary>An overlay upon a chain that its header does not name. Zeros that are written to it take no space.</summary>
    /// <param name="overlay">The overlay.</param>
    /// <param name="chain">What lies beneath it.</param>
    /// <param name="limit">The throttle group that reading the chain belongs to; none when not given.</param>
    private static string NameOfOverlay(DiskLayer overlay, IReadOnlyList<DiskLayer> chain, string? limit) => NameOf(json =>
    {
        json.WriteString("driver", overlay.Format.Name);
        json.WriteString("detect-zeroes", "on");
        WriteFile(json, overlay);
        json.WriteStartObject("backing");
        if (limit is not null)
        {
            json.WriteString("driver", "throttle");
            json.WriteString("throttle-group", limit);
            json.WriteStartObject("file");
        }

        WriteChain(json, chain);
        if (limit is not null)
        {
            json.WriteEndObject();
        }

        json.WriteEndObject();
    });

    private static string NameOf(Action<Utf8JsonWriter> write)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return "json:" + Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void WriteChain(Utf8JsonWriter json, IReadOnlyList<DiskLayer> chain)
    {
        foreach (var (index, layer) in chain.Index())
        {
            if (index > 0)
            {
                json.WriteStartObject("backing");
            }

            json.WriteString("driver", layer.Format.Name);
            WriteFile(json, layer);
        }

        // A lowest qcow2 layer that names something beneath it all the same would be followed.
        if (chain[^1].Format == DiskFormat.Qcow2)
        {
            json.WriteNull("backing");
        }

        for (var index = 1; index < chain.Count; index++)
        {
            json.WriteEndObject();
        }
    }

    private static void WriteFile(Utf8JsonWriter json, DiskLayer layer)
    {
        json.WriteStartObject("file");
        if (layer.Location is RbdLocation rbd)
        {
            // What lies in Ceph only the tool could flush, and it would not tell a failure of that: nothing is cached.
            BackingReference.WriteRbd(json, rbd);
            json.WriteStartObject("cache");
            json.WriteBoolean("direct", true);
            json.WriteEndObject();
        }
        else
        {
            json.WriteString("driver", layer.Location is BlockLocation ? "host_device" : "file");
            json.WriteString("filename", PathOf(layer));
        }

        json.WriteEndObject();
    }

    /// <summary>The size that the guest sees of an image, once every layer beneath it is known to be named by an absolute path and with
    /// its format.</summary>
    internal async Task<DataSize> SizeOfAsync(DiskLayer image, CancellationToken cancellationToken) =>
        (await ImageChain.ReadAsync(image, this, null, cancellationToken).ConfigureAwait(false)).Size;

    /// <summary>Makes an empty qcow2 image in Ceph, in an RBD image that is there already. Its few tables are made in a file, since the tool
    /// makes none where one is already; what it is to lie on is named and not opened.</summary>
    internal async Task FormatAsync(DiskLayer image, DataSize size, DiskLayer? backing, CancellationToken cancellationToken)
    {
        var path = Path.Combine(Path.GetTempPath(), $"pengx-tables-{Guid.NewGuid():N}");
        try
        {
            using (Posix.CreateNew(path))
            {
            }

            string[] beneath = backing is null ? [] : ["-u", "-F", backing.Format.Name, "-b", NameOf(backing)];
            await RunAsync(["create", "-q", "-f", image.Format.Name, .. beneath, path, Number(size)], cancellationToken).ConfigureAwait(false);
            await RunAsync(["convert", "-n", "-t", "none", "-f", "raw", "-O", "raw", path, NameOf(image)], cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>Reads the header of a qcow2 image in Ceph, even while something writes to it. Only bytes are fetched, which the tool does
    /// not look into.</summary>
    internal async Task<Qcow2Header> HeaderOfAsync(DiskLayer image, CancellationToken cancellationToken)
    {
        var path = Path.Combine(Path.GetTempPath(), $"pengx-header-{Guid.NewGuid():N}");
        try
        {
            using var file = Posix.CreateNew(path);
            var count = string.Create(CultureInfo.InvariantCulture, $"bs={Qcow2Header.MaxHeader}");
            await RunAsync(["dd", "-U", "-f", "raw", "-O", "raw", count, "count=1", $"if={NameOf(image)}", $"of={path}"], cancellationToken).ConfigureAwait(false);

            // Where its tables lie is the tool's to check, which reads them.
            return Qcow2Header.Read(file, long.MaxValue);
        }
        catch (InvalidDataException exception)
        {
            throw new StorageException($"The image {image.Location} is recorded as qcow2, but {exception.Message}.", exception);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static string LayoutOf(DiskFormat format, ImageCreation creation)
    {
        ArgumentNullException.ThrowIfNull(creation);
        List<string> layout = [];
        if (creation.ClusterSize is { } bytes)
        {
            if (bytes is < 512 or > 2 * 1024 * 1024 || !int.IsPow2(bytes))
            {
                throw new ArgumentException($"The size of a cluster is a power of two from 512 to 2097152; {bytes} is not.", nameof(creation));
            }

            layout.Add(string.Create(CultureInfo.InvariantCulture, $"cluster_size={bytes}"));
        }

        if (creation.ExtendedL2)
        {
            layout.Add("extended_l2=on");
        }

        if (format == DiskFormat.Raw && (layout.Count > 0 || creation.Preallocation == ImagePreallocation.Metadata))
        {
            throw new ArgumentException("A raw image has no clusters and no tables.", nameof(creation));
        }

        if (creation.Preallocation != ImagePreallocation.None)
        {
            layout.Add("preallocation=" + creation.Preallocation switch
            {
                ImagePreallocation.Metadata => "metadata",
                ImagePreallocation.Reserved => "falloc",
                _ => "full",
            });
        }

        return string.Join(',', layout);
    }

    private static string[] Sharing(bool whileInUse) => whileInUse ? ["-U"] : [];

    private static string[] On(DiskLayer? backing) => backing is null ? ["-b", ""] : ["-F", backing.Format.Name, "-b", NameOf(backing)];

    private static string Number(DataSize size) => size.Bytes.ToString(CultureInfo.InvariantCulture);

    private static ImageInfo InfoOf(InfoReport report, DiskFormat format) =>
        new(format, new(report.VirtualSize), new(report.ActualSize), report.FullBackingFileName ?? report.BackingFileName, report.BackingFormat)
        {
            FileName = report.FileName ?? "",
            ClusterSize = report.ClusterSize,
            IsDirty = report.DirtyFlag,
            CompressionType = report.FormatSpecific?.Data?.CompressionType,
            HasExtendedL2 = report.FormatSpecific?.Data?.ExtendedL2 ?? false,
            Snapshots = [.. (report.Snapshots ?? []).Select(snapshot => snapshot.Name ?? "")],
            Bitmaps =
            [
                .. (report.FormatSpecific?.Data?.Bitmaps ?? []).Select(bitmap =>
                    new ImageBitmap(bitmap.Name ?? "", bitmap.Granularity, bitmap.Flags?.Contains("auto") ?? false, bitmap.Flags?.Contains("in-use") ?? false)),
            ],
        };

    private static ImageMeasure Measured(ProcessResult result)
    {
        var report = Read(result, ImageJson.Default.MeasureReport);
        return new(new(report.Required), new(report.FullyAllocated)) { Bitmaps = new(report.Bitmaps) };
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

        throw result.Error.Contains("No space left on device", StringComparison.Ordinal) || result.Error.Contains("Disk quota exceeded", StringComparison.Ordinal) ? new InsufficientResourceException(failure.Message) : failure;
    }

    private static void DemandBitmapName(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name.StartsWith('-') || Encoding.UTF8.GetByteCount(name) > MaxBitmapName || name.Any(char.IsControl))
        {
            throw new ArgumentException($"The name of a bitmap has 1 to {MaxBitmapName} bytes, none of them a control character, and does not begin with '-'; '{name}' does not fit.", nameof(name));
        }
    }

    private async Task ChangeBitmapAsync(DiskLayer image, string name, string[] change, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        DemandBitmapName(name);
        await RunAsync(["bitmap", .. change, "-f", image.Format.Name, NameOf(image), name], cancellationToken).ConfigureAwait(false);
    }

    private async Task<ImageCheck> CheckAsync(DiskLayer image, string[] repair, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(image);
        var result = await runner.RunAsync(Command(["check", .. repair, "--output=json", "-f", image.Format.Name, NameOf(image)]), cancellationToken).ConfigureAwait(false);
        if (result.ExitCode is not (FoundErrors or FoundLeaks))
        {
            Check(result);
        }

        var report = Read(result, ImageJson.Default.CheckReport);
        return new(report.CheckErrors + report.Corruptions, report.Leaks)
        {
            AllocatedClusters = report.AllocatedClusters,
            TotalClusters = report.TotalClusters,
            FragmentedClusters = report.FragmentedClusters,
            CompressedClusters = report.CompressedClusters,
            EndOffset = report.EndOffset,
            ErrorsFixed = report.CorruptionsFixed,
            LeaksFixed = report.LeaksFixed,
        };
    }

    private async Task RunLongAsync(List<string> arguments, string what, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        var command = Command(arguments) with
        {
            OnOutputLine = line =>
            {
                if (TryReadPercent(line, out var percent))
                {
                    progress?.Report(percent / 100);
                }
            },
        };
        Check(await RunLongAsync(command, what, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Runs what may take any time as long as it moves: one percent of a large copy may well take longer than it may stand still.</summary>
    private async Task<ProcessResult> RunLongAsync(ProcessCommand command, string what, CancellationToken cancellationToken)
    {
        try
        {
            return await runner.RunAsync(command with { Timeout = Timeout.InfiniteTimeSpan, StallTimeout = _options.StallTimeout }, cancellationToken).ConfigureAwait(false);
        }
        catch (ProcessFailedException exception) when (exception.IsStall)
        {
            throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"{what} stood still for {_options.StallTimeout.TotalMinutes:0.#} minutes and was stopped."), exception);
        }
    }

    private async Task<ProcessResult> RunAsync(List<string> arguments, CancellationToken cancellationToken)
    {
        var result = await runner.RunAsync(Command(arguments), cancellationToken).ConfigureAwait(false);
        Check(result);
        return result;
    }

    // Whoever takes up the work of a service that was killed must not find the tool still writing.
    private ProcessCommand Command(List<string> arguments) =>
        new() { FileName = _options.QemuImg, Arguments = arguments, Timeout = _options.Timeout, EndsWithParent = true };
}
