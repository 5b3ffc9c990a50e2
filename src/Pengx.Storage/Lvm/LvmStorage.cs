using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx.Storage;

/// <summary>Disks as logical volumes: storage links of level BL, whose link is <c>/dev/VG</c>.</summary>
/// <remarks>
/// <para>A volume is named by its disk's UUID. It is made as <c>part-{uuid}</c> and renamed when it is whole; it is removed by way of
/// <c>del-{uuid}</c>; what an interrupted call left is taken up by the next one for the disk. Tags record the format and size.</para>
/// <para>A volume group with exactly one thin pool that is tagged <c>pengx</c> gets thin volumes from it, any other thick ones.
/// Thick space is zeroed when it is given out, grown and given back; that it reads as zeros is verified. A qcow2 volume is as
/// large as it can ever become.</para>
/// <para>A raw volume is as large as LVM makes it: its size rounded up to whole extents (4 MiB by default). Safe to use from
/// many threads and from several processes of one host; see <see cref="LvmOptions.HostName"/> for shared volume groups.</para>
/// </remarks>
public sealed class LvmStorage : IStorageBackend, IImageImport, IVolumeClone
{
    private const int MaxChain = 64;

    private readonly LvmOptions _options;
    private readonly LvmHost _host;
    private readonly ImageTool _images;
    private readonly TimeSpan _flushTimeout;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    /// <summary>Makes a backend.</summary>
    /// <param name="runner">Runs LVM and <c>qemu-img</c>.</param>
    /// <param name="options">How LVM is used; the defaults when not given.</param>
    /// <param name="imageOptions">How <c>qemu-img</c> is run; the defaults when not given.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of volumes made and removed.</param>
    public LvmStorage(IProcessRunner runner, LvmOptions? options = null, ImageToolOptions? imageOptions = null, TimeProvider? timeProvider = null, ILogger<LvmStorage>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _options = options ?? new();
        _host = new(runner, _options);
        _images = new(runner, imageOptions);
        _flushTimeout = (imageOptions ?? new()).StallTimeout;
        _time = timeProvider ?? TimeProvider.System;
        _logger = logger ?? NullLogger<LvmStorage>.Instance;
    }

    /// <inheritdoc/>
    public bool Serves(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        return storlink.Level == StorlinkLevel.Block;
    }

    /// <inheritdoc/>
    public async Task CheckAsync(Storlink storlink, CancellationToken cancellationToken = default)
    {
        var group = await GroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        if (group.Partial)
        {
            _host.DemandWritable(group, shared: false);
        }

        if (PoolOf(group) is { } pool)
        {
            if (pool.WhenFull == "queue")
            {
                throw new StorageException($"Storlink {storlink.Id}: when the thin pool {group.Name}/{pool.Name} is full, writes hang instead of failing. Set it with 'lvchange --errorwhenfull y {group.Name}/{pool.Name}'.");
            }

            DemandHealthy(group, pool);
            LvmHost.DemandZeroing(group, pool);
        }
    }

    /// <inheritdoc/>
    public async Task<StorlinkCapacity> MeasureAsync(Storlink storlink, CancellationToken cancellationToken = default)
    {
        var group = await GroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        return PoolOf(group) is { } pool ? new(new(pool.Size), FreeOf(pool)) : new(new(group.Size), new(group.Free));
    }

    /// <inheritdoc/>
    public async Task<Volume> CreateAsync(Storlink storlink, VolumeSpec spec, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        Validate(spec);
        using var lease = await LeaseAsync(spec.Disk, cancellationToken).ConfigureAwait(false);
        var started = _time.GetTimestamp();
        var group = await WritableGroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        await RemoveLeftoversAsync(storlink, group, spec.Disk, cancellationToken).ConfigureAwait(false);
        if (group.Find(LogicalVolumeName.Final(spec.Disk)) is { } existing)
        {
            return await ToVolumeAsync(group, existing, spec.Disk, spec.Format, cancellationToken).ConfigureAwait(false);
        }

        DemandCapacity(storlink, group, spec.Size);
        if ((spec.Source ?? spec.Backing) is { } beneath
            && await _images.SizeOfAsync(beneath, cancellationToken).ConfigureAwait(false) is var least && spec.Size < least)
        {
            throw new StorageException($"A disk of {spec.Size} cannot hold the image {beneath.Location}, which has {least}.");
        }

        var bytes = group.RoundUp(await NeededAsync(spec.Format, spec.Size, cancellationToken).ConfigureAwait(false));
        await MakeAsync(
            storlink, spec, started,
            async current =>
            {
                if (PoolOf(current) is not { } pool)
                {
                    DemandFree(storlink, new(current.Free), new(bytes));
                    return _host.MakeThick(current, LogicalVolumeName.Part(spec.Disk), bytes, LogicalVolumeName.Tags(spec));
                }

                DemandBelowWatermark(current, pool);
                if (spec.Source is { } source)
                {
                    DemandFree(storlink, FreeOf(pool), (await _images.MeasureAsync(source, DiskFormat.Qcow2, cancellationToken).ConfigureAwait(false)).Required);
                }

                return _host.MakeThin(current, pool, LogicalVolumeName.Part(spec.Disk), bytes, LogicalVolumeName.Tags(spec));
            },
            (path, volume) => FillAsync(path, volume, spec, progress, cancellationToken),
            cancellationToken).ConfigureAwait(false);
        return await GetAsync(storlink, spec.Disk, spec.Format, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        using var lease = await LeaseAsync(disk, cancellationToken).ConfigureAwait(false);
        var group = await WritableGroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        await RemoveLeftoversAsync(storlink, group, disk, cancellationToken).ConfigureAwait(false);
        if (group.Find(LogicalVolumeName.Final(disk)) is { } volume)
        {
            await DemandUnusedAsync(group, volume, disk, cancellationToken).ConfigureAwait(false);
            await DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
            await ChangeAsync(group, _host.Rename(group, volume.Name, LogicalVolumeName.Trash(disk)), cancellationToken).ConfigureAwait(false);
            await RemoveAsync(group, volume with { Name = LogicalVolumeName.Trash(disk) }, cancellationToken).ConfigureAwait(false);
            _logger.VolumeDeleted(disk, storlink.Id);
        }
    }

    /// <inheritdoc/>
    public async Task<Volume?> FindAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        var group = await GroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        return group.Find(LogicalVolumeName.Final(disk)) is { } volume ? await ToVolumeAsync(group, volume, disk, format, cancellationToken).ConfigureAwait(false) : null;
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<VolumeEntry> ListAsync(Storlink storlink, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        foreach (var volume in (await GroupAsync(storlink, cancellationToken).ConfigureAwait(false)).LogicalVolumes)
        {
            if (LogicalVolumeName.Parse(volume.Name) is { } entry)
            {
                yield return entry;
            }
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the volume open.</exception>
    public async Task GrowAsync(Storlink storlink, DiskId disk, DiskFormat format, DataSize size, CancellationToken cancellationToken = default)
    {
        LocalStorage.DemandSectors(size, nameof(size));
        using var lease = await LeaseAsync(disk, cancellationToken).ConfigureAwait(false);
        var group = await WritableGroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        var volume = VolumeOf(storlink, group, disk, format);
        if (LogicalVolumeName.GrowingFrom(volume) is null && (await ToVolumeAsync(group, volume, disk, format, cancellationToken).ConfigureAwait(false)).Size >= size)
        {
            return;
        }

        DemandCapacity(storlink, group, size);
        await DemandUnusedAsync(group, volume, disk, cancellationToken).ConfigureAwait(false);
        var active = _host.Activation.FindPath(group, volume) is not null;
        await DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        (group, volume) = await FinishGrowingAsync(group, volume, cancellationToken).ConfigureAwait(false);

        var bytes = group.RoundUp(await NeededAsync(format, size, cancellationToken).ConfigureAwait(false));
        if (bytes > volume.Size)
        {
            if (PoolOf(group) is { } pool && volume.Pool == pool.Name)
            {
                DemandBelowWatermark(group, pool);
            }
            else
            {
                DemandFree(storlink, new(group.Free), new(bytes - volume.Size));
            }

            await ChangeAsync(group, _host.Tool.Action("lvchange", ["--addtag", LogicalVolumeName.Growing(volume.Size), $"{group.Name}/{volume.Name}"]), cancellationToken).ConfigureAwait(false);
            await ChangeAsync(group, _host.Extend(group, volume.Name, bytes), cancellationToken).ConfigureAwait(false);
            (group, volume) = await AgainAsync(group, volume, cancellationToken).ConfigureAwait(false);
            (group, volume) = await FinishGrowingAsync(group, volume, cancellationToken).ConfigureAwait(false);
        }

        if (format == DiskFormat.Qcow2)
        {
            var path = await _host.Activation.ActivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
            await WriteAsync(path, () => _images.ResizeAsync(new(new BlockLocation(path), format), size, cancellationToken), cancellationToken).ConfigureAwait(false);
            await DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        }

        List<string> tags = [.. volume.Tags.Where(tag => tag.StartsWith("pengx.size.", StringComparison.Ordinal)).SelectMany(tag => new[] { "--deltag", tag }), "--addtag", LogicalVolumeName.Size(size)];
        await ChangeAsync(group, _host.Tool.Action("lvchange", [.. tags, $"{group.Name}/{volume.Name}"]), cancellationToken).ConfigureAwait(false);
        if (active)
        {
            await _host.Activation.ActivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        }

        _logger.VolumeGrown(disk, storlink.Id, size);
    }

    /// <inheritdoc/>
    /// <remarks>The volumes beneath an overlay on the same storage link are attached with it.</remarks>
    public async Task<DiskLocation> AttachAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        var path = await AttachOneAsync(storlink, disk, format, cancellationToken).ConfigureAwait(false);
        var layer = (Path: path, Format: format);
        for (var depth = 0; layer.Format == DiskFormat.Qcow2; depth++)
        {
            if (depth == MaxChain)
            {
                throw new StorageException($"The image of disk {disk} lies on more than {MaxChain} layers; merge some of its snapshots first.");
            }

            var header = await Task.Run(() => ImageChain.HeaderOf(layer.Path), cancellationToken).ConfigureAwait(false);
            if (header.BackingFile is not { } backing || Path.GetDirectoryName(backing) != Path.GetDirectoryName(path)
                || LogicalVolumeName.Parse(Path.GetFileName(backing)) is not { Complete: true } beneath || !DiskFormatNames.TryParse(header.BackingFormat, out var beneathFormat))
            {
                break;
            }

            layer = (await AttachOneAsync(storlink, beneath.Disk, beneathFormat, cancellationToken).ConfigureAwait(false), beneathFormat);
        }

        return new BlockLocation(path);
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the volume open.</exception>
    public async Task DetachAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        var name = NameOf(storlink);
        using var lease = await LeaseAsync(disk, cancellationToken).ConfigureAwait(false);
        if ((await _host.Tool.ReportAsync(name, cancellationToken).ConfigureAwait(false)).Find(name) is { } group
            && group.Find(LogicalVolumeName.Final(disk)) is { } volume && _host.Activation.FindPath(group, volume) is not null)
        {
            await DemandUnusedAsync(group, volume, disk, cancellationToken).ConfigureAwait(false);
            await DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the volume open.</exception>
    public async Task<Volume> InspectImportAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        using var lease = await LeaseAsync(disk, cancellationToken).ConfigureAwait(false);
        var group = await GroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        var volume = VolumeOf(storlink, group, disk, format);
        await DemandUnusedAsync(group, volume, disk, cancellationToken).ConfigureAwait(false);
        return await WhileActiveAsync(
            group, volume,
            path =>
            {
                if (format == DiskFormat.Raw)
                {
                    return new Volume(disk, format, new(volume.Size), AllocatedOf(volume));
                }

                var header = ImageChain.HeaderOf(path);
                ImageChain.DemandReadable(path, header);
                return header switch
                {
                    { BackingFile: not null } => throw new StorageException($"The image {path} is refused: it is an overlay of another file. Flatten it with 'qemu-img convert' first."),
                    { Size.Bytes: var size } when size <= 0 || size % VolumeWipe.SectorSize != 0 => throw new StorageException($"The image {path} is refused: its size of {size} bytes is not a multiple of {VolumeWipe.SectorSize} bytes above zero."),
                    _ => new Volume(disk, format, header.Size, AllocatedOf(volume)),
                };
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task<bool> CanCloneAsync(Storlink storlink, DiskId source, CancellationToken cancellationToken = default) =>
        (await GroupAsync(storlink, cancellationToken).ConfigureAwait(false)).Find(LogicalVolumeName.Final(source)) is { IsThin: true };

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the source open.</exception>
    public async Task<Volume> CloneAsync(Storlink storlink, DiskId source, VolumeSpec spec, CancellationToken cancellationToken = default)
    {
        Validate(spec);
        using var lease = await LeaseAsync(spec.Disk, cancellationToken).ConfigureAwait(false);
        var started = _time.GetTimestamp();
        var group = await WritableGroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        await RemoveLeftoversAsync(storlink, group, spec.Disk, cancellationToken).ConfigureAwait(false);
        if (group.Find(LogicalVolumeName.Final(spec.Disk)) is not null)
        {
            return await GetAsync(storlink, spec.Disk, spec.Format, cancellationToken).ConfigureAwait(false);
        }

        var origin = VolumeOf(storlink, group, source, spec.Format);
        if (!origin.IsThin || group.Find(origin.Pool ?? "") is not { } pool)
        {
            throw new StorageException($"Disk {source} on storlink {storlink.Id} is no thin volume, and cannot be cloned; copy it.");
        }

        await DemandUnusedAsync(group, origin, source, cancellationToken).ConfigureAwait(false);
        var least = (await ToVolumeAsync(group, origin, source, spec.Format, cancellationToken).ConfigureAwait(false)).Size;
        if (spec.Size < least)
        {
            throw new StorageException($"A disk of {spec.Size} cannot hold disk {source}, which has {least}.");
        }

        DemandBelowWatermark(group, pool);
        var bytes = group.RoundUp(await NeededAsync(spec.Format, spec.Size, cancellationToken).ConfigureAwait(false));
        var name = LogicalVolumeName.Part(spec.Disk);
        await MakeAsync(
            storlink, spec, started,
            current => Task.FromResult(_host.Snapshot(current, origin.Name, name, LogicalVolumeName.Tags(spec))),
            async (path, volume) =>
            {
                if (bytes > volume.Size)
                {
                    await ChangeAsync(group, _host.Extend(group, name, bytes), cancellationToken).ConfigureAwait(false);
                }

                if (spec.Format == DiskFormat.Qcow2 && spec.Size > least)
                {
                    await _images.ResizeAsync(new(new BlockLocation(path), spec.Format), spec.Size, cancellationToken).ConfigureAwait(false);
                }
            },
            cancellationToken).ConfigureAwait(false);
        return await GetAsync(storlink, spec.Disk, spec.Format, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class
    {
        feature = this as TFeature;
        return feature is not null;
    }

    /// <summary>Makes a volume under its interim name, fills it, and gives it its own name.</summary>
    private async Task MakeAsync(
        Storlink storlink, VolumeSpec spec, long started, Func<LvmVolumeGroup, Task<ToolAction>> make, Func<string, LvmLogicalVolume, Task> fillAsync, CancellationToken cancellationToken)
    {
        var group = await WritableGroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        var name = LogicalVolumeName.Part(spec.Disk);
        try
        {
            using (await _host.LockAsync(group.Name, cancellationToken).ConfigureAwait(false))
            {
                // What is free is looked at where nobody else can take it.
                group = await WritableGroupAsync(storlink, cancellationToken).ConfigureAwait(false);
                await _host.Tool.RunAsync(await make(group).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
                group = await WritableGroupAsync(storlink, cancellationToken).ConfigureAwait(false);
            }

            var volume = group.Find(name) ?? throw new StorageException($"LVM reported success, but there is no logical volume {group.Name}/{name}.");
            var path = await _host.Activation.ActivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
            await WriteAsync(path, () => fillAsync(path, volume), cancellationToken).ConfigureAwait(false);
            (group, volume) = await AgainAsync(group, volume, cancellationToken).ConfigureAwait(false);
            await DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            await ChangeAsync(group, _host.Rename(group, name, LogicalVolumeName.Final(spec.Disk)), cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await TryRemoveAsync(storlink, spec.Disk).ConfigureAwait(false);
            throw;
        }

        _logger.VolumeCreated(spec.Disk, storlink.Id, spec.Format, spec.Size, _time.GetElapsedTime(started));
    }

    private async Task FillAsync(string path, LvmLogicalVolume volume, VolumeSpec spec, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        DiskLayer target = new(new BlockLocation(path), spec.Format);
        var zeroedFrom = 0L;
        if (spec.Source is { } source)
        {
            var total = await _images.SizeOfAsync(source, cancellationToken).ConfigureAwait(false);
            ImageConversion conversion = new()
            {
                Caching = Posix.TakesDirectWrites(path) ? ImageCaching.None : ImageCaching.WriteBack,
                RateLimit = spec.RateLimit,

                // A thin volume is zero where it was never written, and zeros that are written take space of the pool as all else does.
                IntoExisting = volume.IsThin && spec.Format == DiskFormat.Raw,
                TargetIsZero = volume.IsThin,
            };
            await _images.ConvertAsync(source, target, conversion, ByteShare.Of(progress, total), cancellationToken).ConfigureAwait(false);
            progress?.Report(new(total.Bytes, total.Bytes));
            if (spec.Format == DiskFormat.Qcow2 && total < spec.Size)
            {
                await _images.ResizeAsync(target, spec.Size, cancellationToken).ConfigureAwait(false);
            }

            // The copy covers its last sector whole.
            zeroedFrom = (total.Bytes + VolumeWipe.SectorSize - 1) / VolumeWipe.SectorSize * VolumeWipe.SectorSize;
        }
        else if (spec.Format == DiskFormat.Qcow2)
        {
            await _images.CreateAsync(target, spec.Size, spec.Backing, cancellationToken).ConfigureAwait(false);
        }

        // Of a qcow2 image a guest sees only what was written into it.
        if (spec.Format == DiskFormat.Raw && !volume.IsThin && zeroedFrom < volume.Size)
        {
            await _host.Wipe.WipeAsync(path, zeroedFrom, volume.Size - zeroedFrom, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Zeroes what an interrupted growing left unzeroed, before anybody can read it.</summary>
    private async Task<(LvmVolumeGroup Group, LvmLogicalVolume Volume)> FinishGrowingAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        if (LogicalVolumeName.GrowingFrom(volume) is not { } from)
        {
            return (group, volume);
        }

        if (!volume.IsThin && LogicalVolumeName.FormatOf(volume) != DiskFormat.Qcow2 && from < volume.Size)
        {
            var path = await _host.Activation.ActivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
            await WriteAsync(path, () => _host.Wipe.WipeAsync(path, from, volume.Size - from, cancellationToken), cancellationToken).ConfigureAwait(false);
            await DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        }

        await ChangeAsync(group, _host.Tool.Action("lvchange", ["--deltag", LogicalVolumeName.Growing(from), $"{group.Name}/{volume.Name}"]), cancellationToken).ConfigureAwait(false);
        return await AgainAsync(group, volume, cancellationToken).ConfigureAwait(false);
    }

    private async Task<string> AttachOneAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken)
    {
        using var lease = await LeaseAsync(disk, cancellationToken).ConfigureAwait(false);
        var group = await GroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        var volume = VolumeOf(storlink, group, disk, format);
        DemandHealthy(group, volume);
        if (LogicalVolumeName.GrowingFrom(volume) is not null)
        {
            _host.DemandWritable(group, storlink.Shared);
            (group, volume) = await FinishGrowingAsync(group, volume, cancellationToken).ConfigureAwait(false);
        }

        return _host.Activation.FindPath(group, volume) ?? await _host.Activation.ActivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
    }

    private async Task RemoveLeftoversAsync(Storlink storlink, LvmVolumeGroup group, DiskId disk, CancellationToken cancellationToken)
    {
        foreach (var name in new[] { LogicalVolumeName.Part(disk), LogicalVolumeName.Trash(disk) })
        {
            if (group.Find(name) is { } leftover)
            {
                await DemandUnusedAsync(group, leftover, disk, cancellationToken).ConfigureAwait(false);
                await RemoveAsync(group, leftover, cancellationToken).ConfigureAwait(false);
                _logger.LeftoverRemoved($"{group.Name}/{name}", storlink.Id);
            }
        }
    }

    private async Task RemoveAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        if (!volume.IsThin)
        {
            var path = await _host.Activation.ActivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
            await WriteAsync(path, () => _host.Wipe.WipeAsync(path, 0, volume.Size, cancellationToken), cancellationToken).ConfigureAwait(false);
        }

        await DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        await ChangeAsync(group, _host.Remove(group, volume.Name), cancellationToken).ConfigureAwait(false);
        if ((await _host.Tool.ReportAsync(group.Name, cancellationToken).ConfigureAwait(false)).Find(group.Name)?.Find(volume.Name) is not null)
        {
            throw new StorageException($"LVM reported success, but the logical volume {group.Name}/{volume.Name} is still there.");
        }
    }

    private async Task TryRemoveAsync(Storlink storlink, DiskId disk)
    {
        try
        {
            var group = await WritableGroupAsync(storlink, CancellationToken.None).ConfigureAwait(false);
            if (group.Find(LogicalVolumeName.Part(disk)) is { } part)
            {
                await RemoveAsync(group, part, CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (exception is PengxException or IOException or UnauthorizedAccessException)
        {
            // The failure that brought us here is the one to tell.
            _logger.LeftoverStays($"{storlink.Link}/{LogicalVolumeName.Part(disk)}", exception);
        }
    }

    private async Task<Volume> GetAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken) =>
        await FindAsync(storlink, disk, format, cancellationToken).ConfigureAwait(false)
            ?? throw new StorageException($"The logical volume of disk {disk} disappeared from storlink {storlink.Id} while it was made.");

    private async Task<Volume> ToVolumeAsync(LvmVolumeGroup group, LvmLogicalVolume volume, DiskId disk, DiskFormat format, CancellationToken cancellationToken)
    {
        DemandFormat(volume, disk, format);
        var size = format == DiskFormat.Raw ? new(volume.Size)
            : _host.Activation.FindPath(group, volume) is null && LogicalVolumeName.SizeOf(volume) is { } recorded ? recorded
            : await WhileActiveAsync(group, volume, path => ImageChain.HeaderOf(path).Size, cancellationToken).ConfigureAwait(false);
        return new(disk, format, size, AllocatedOf(volume));
    }

    private async Task<T> WhileActiveAsync<T>(LvmVolumeGroup group, LvmLogicalVolume volume, Func<string, T> read, CancellationToken cancellationToken)
    {
        var active = _host.Activation.FindPath(group, volume);
        var path = active ?? await _host.Activation.ActivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        try
        {
            return await Task.Run(() => read(path), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (active is null)
            {
                await _host.Activation.DeactivateAsync(group, volume, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    private async Task<(LvmVolumeGroup Group, LvmLogicalVolume Volume)> AgainAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        var again = await _host.GroupAsync(group.Name, cancellationToken).ConfigureAwait(false);
        return (again, again.LogicalVolumes.FirstOrDefault(candidate => candidate.Uuid == volume.Uuid)
            ?? throw new StorageException($"The logical volume {group.Name}/{volume.Name} ({volume.Uuid}) disappeared."));
    }

    private Task DemandUnusedAsync(LvmVolumeGroup group, LvmLogicalVolume volume, DiskId disk, CancellationToken cancellationToken) =>
        _host.DemandUnusedAsync(group, volume, $"Disk {disk}", cancellationToken);

    private async Task DeactivateAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        if (_host.Activation.FindPath(group, volume) is not null)
        {
            await _host.Activation.DeactivateAsync(group, volume, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task ChangeAsync(LvmVolumeGroup group, ToolAction action, CancellationToken cancellationToken)
    {
        using var held = await _host.LockAsync(group.Name, cancellationToken).ConfigureAwait(false);
        await _host.Tool.RunAsync(action, cancellationToken).ConfigureAwait(false);
    }

    private Task<IDisposable> LeaseAsync(DiskId disk, CancellationToken cancellationToken) => _host.Leases.AcquireAsync(disk.ToString(), _options.LockTimeout, cancellationToken);

    private async Task<long> NeededAsync(DiskFormat format, DataSize size, CancellationToken cancellationToken) =>
        format == DiskFormat.Raw ? size.Bytes : (await _images.MeasureAsync(size, format, cancellationToken).ConfigureAwait(false)).FullyAllocated.Bytes;

    private async Task<LvmVolumeGroup> GroupAsync(Storlink storlink, CancellationToken cancellationToken) => await _host.GroupAsync(NameOf(storlink), cancellationToken).ConfigureAwait(false);

    private async Task<LvmVolumeGroup> WritableGroupAsync(Storlink storlink, CancellationToken cancellationToken)
    {
        var group = await GroupAsync(storlink, cancellationToken).ConfigureAwait(false);
        _host.DemandWritable(group, storlink.Shared);
        return group;
    }

    private static string NameOf(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        if (storlink.Level != StorlinkLevel.Block)
        {
            throw new StorageException($"Storlink {storlink.Id} is not of level BL.");
        }

        var link = storlink.Link.TrimEnd('/');
        try
        {
            return LogicalVolumeName.Demand("link", link.StartsWith("/dev/", StringComparison.Ordinal) ? link["/dev/".Length..] : null);
        }
        catch (InvalidFieldException exception)
        {
            throw new StorageException($"The link of storlink {storlink.Id}, '{storlink.Link}', is not /dev/ and the name of a volume group.", exception);
        }
    }

    private static LvmLogicalVolume VolumeOf(Storlink storlink, LvmVolumeGroup group, DiskId disk, DiskFormat format)
    {
        var volume = group.Find(LogicalVolumeName.Final(disk)) ?? throw new StorageException($"There is no logical volume of disk {disk} on storlink {storlink.Id} (volume group {group.Name}).");
        DemandFormat(volume, disk, format);
        return volume;
    }

    private static void Validate(VolumeSpec spec)
    {
        LocalStorage.Validate(spec);
        if (spec.IsBackingBeside)
        {
            throw new ArgumentException("Only a volume of level FL has an image beside it.", nameof(spec));
        }
    }

    private static void DemandFormat(LvmLogicalVolume volume, DiskId disk, DiskFormat format)
    {
        if (LogicalVolumeName.FormatOf(volume) is { } tagged && tagged != format)
        {
            throw new StorageException($"Disk {disk} is recorded as {format.Name}, but its logical volume is tagged as {tagged.Name}; neither is guessed.");
        }
    }

    private static LvmLogicalVolume? PoolOf(LvmVolumeGroup group)
    {
        LvmLogicalVolume[] pools = [.. group.LogicalVolumes.Where(volume => volume.IsThinPool && volume.Tags.Contains(LogicalVolumeName.Tag))];
        return pools.Length > 1
            ? throw new StorageException($"The volume group {group.Name} has several thin pools tagged '{LogicalVolumeName.Tag}' ({string.Join(", ", pools.Select(pool => pool.Name))}); leave the tag on the one for disks.")
            : pools.FirstOrDefault();
    }

    private static DataSize FreeOf(LvmLogicalVolume pool) => new((long)(pool.Size * (100 - (pool.DataPercent ?? 0)) / 100));

    private static DataSize AllocatedOf(LvmLogicalVolume volume) => new(volume.IsThin ? (long)(volume.Size * (volume.DataPercent ?? 0) / 100) : volume.Size);

    private static void DemandHealthy(LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        if (volume.Health.Length > 0)
        {
            throw new UnavailableException($"The logical volume {group.Name}/{volume.Name} is not well: LVM says '{volume.Health}'.");
        }
    }

    private static void DemandCapacity(Storlink storlink, LvmVolumeGroup group, DataSize size)
    {
        DataSize all = new(PoolOf(group)?.Size ?? group.Size);
        if (size > all)
        {
            throw new InsufficientResourceException($"A disk of {size} is larger than all of storlink {storlink.Id}, which has {all.MiB} MiB.");
        }
    }

    private static void DemandFree(Storlink storlink, DataSize free, DataSize required)
    {
        if (required > free)
        {
            throw new InsufficientResourceException($"Storlink {storlink.Id} has {free.MiB} MiB free, and {required.MiBCeiling} MiB are needed.");
        }
    }

    // A pool that runs full fails every guest in it at once.
    private void DemandBelowWatermark(LvmVolumeGroup group, LvmLogicalVolume pool)
    {
        DemandHealthy(group, pool);
        LvmHost.DemandZeroing(group, pool);
        foreach (var (what, percent) in new[] { ("data", pool.DataPercent), ("metadata", pool.MetadataPercent) })
        {
            if (percent is null || percent >= _options.ThinWatermark)
            {
                throw new InsufficientResourceException($"The thin pool {group.Name}/{pool.Name} has {percent?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "an unknown part"} % of its {what} in use, and takes nothing new from {_options.ThinWatermark} % on; its size is {new DataSize(pool.Size).MiB} MiB. Extend it first.");
            }
        }
    }

    private async Task WriteAsync(string path, Func<Task> work, CancellationToken cancellationToken)
    {
        using WriteBack written = new(path);
        await work().ConfigureAwait(false);
        await written.FlushAsync(_flushTimeout, _time, cancellationToken).ConfigureAwait(false);
    }
}
