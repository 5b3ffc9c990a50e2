using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx.Storage;

/// <summary>Disks as RBD images in a pool of a Ceph cluster: storage links of level OB. An overlay of a raw format is a native clone;
/// one of format qcow2 is a qcow2 image inside an RBD image.</summary>
/// <remarks>
/// A volume is made under a hidden name in the same pool and given its own name only when whole; one that is removed goes to the
/// pool's trash first. Whatever interrupts either, the next call for the same disk finishes it. Every tool's waits are bounded
/// by a configuration of their own and by a deadline. An image that another host has open for writing is not attached here;
/// who has it is told by name. Which RBD images hold a qcow2 image is noted in their metadata, and never guessed; such an RBD image is as large
/// as the qcow2 image can ever become, of which only what is written takes space. Safe to use from many threads and from several processes: those of one host wait for each other by
/// leases (<see cref="DiskLeases"/>).
/// </remarks>
public sealed partial class RbdStorage : IStorageBackend, IVolumeUsers, IVolumeClone, IImageImport, IVolumeSnapshots
{
    private const int SectorSize = 512;
    private const int MaxChain = 64;
    private const string FormatNote = "pengx.format";

    // Said, rather than left to the cluster's default: without the exclusive lock nothing fences a crashed writer, without the
    // object map every measuring would read all of the image.
    private const string Features = "layering,exclusive-lock,object-map,fast-diff,deep-flatten";

    private static readonly TimeSpan s_watchPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_capacityAge = TimeSpan.FromSeconds(5);

    private readonly CephOptions _options;
    private readonly CephConfiguration _configuration;
    private readonly CephTools _tools;
    private readonly RbdCopy _copy;
    private readonly KernelMapping _kernel;
    private readonly UserSpaceAttachment _userSpace;
    private readonly RbdDeviceName _devices = new();
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly DiskLeases _leases;

    // An image's format never changes, and it is asked for at every attaching.
    private readonly ConcurrentDictionary<(string Pool, DiskId Disk), DiskFormat> _formats = new();

    // Asking takes half a second, and making a disk needs a rough answer only.
    private readonly ConcurrentDictionary<string, (long At, StorlinkCapacity Capacity)> _capacities = new(StringComparer.Ordinal);

    /// <summary>Makes the backend; nothing is read or run yet.</summary>
    /// <param name="runner">Runs Ceph's and QEMU's tools.</param>
    /// <param name="options">How the cluster is reached; the defaults when not given.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of volumes made and removed.</param>
    /// <exception cref="InvalidFieldException">An option breaks its rule.</exception>
    public RbdStorage(IProcessRunner runner, CephOptions? options = null, TimeProvider? timeProvider = null, ILogger<RbdStorage>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _options = (options ?? new()).Validate();
        _time = timeProvider ?? TimeProvider.System;
        _logger = logger ?? NullLogger<RbdStorage>.Instance;
        _configuration = new(_options);
        _leases = new(_options.LeaseDirectory);
        _tools = new(runner, _options, _configuration);
        _copy = new(runner, _options, _configuration, _time);
        _kernel = new(_tools, _options);
        _userSpace = new(runner, _options, _configuration, _time);
    }

    /// <summary>Whether an address is this host's; tests make theirs another's.</summary>
    internal Func<IPAddress, bool> IsOwnAddress { get; init; } = static address =>
        NetworkInterface.GetAllNetworkInterfaces().Any(card => card.GetIPProperties().UnicastAddresses.Any(own => own.Address.Equals(address)));

    /// <inheritdoc/>
    public bool Serves(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        return storlink.Level == StorlinkLevel.Object;
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidFieldException">The link is not the name of a pool.</exception>
    public async Task CheckAsync(Storlink storlink, CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        var probe = RbdName.NewProbe();
        try
        {
            await _tools.RbdAsync(what, ["create", "--no-progress", "--size", Bytes(new(SectorSize)), "--image-feature", Features, "--pool", pool, "--image", probe], cancellationToken).ConfigureAwait(false);
        }
        catch (StorageException exception)
        {
            throw new StorageException($"Storlink {storlink.Id} cannot be used: nothing can be made in the pool {pool}. {exception.Message}", exception);
        }

        // A check that was interrupted left its own.
        foreach (var name in (await _tools.NamesAsync(what, pool, cancellationToken).ConfigureAwait(false)).Where(name => name.StartsWith(RbdName.ProbePrefix, StringComparison.Ordinal)))
        {
            var result = await _tools.TryRbdAsync(["rm", "--no-progress", "--pool", pool, "--image", name], cancellationToken).ConfigureAwait(false);
            if (result.ExitCode is not (0 or CephTools.NoEntry))
            {
                throw CephTools.FailureOf(what, result);
            }
        }
    }

    /// <inheritdoc/>
    /// <remarks>Free is what Ceph says can still be written into the pool, with its copies, its fullest disk and its quota counted.</remarks>
    public async Task<StorlinkCapacity> MeasureAsync(Storlink storlink, CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        var usage = await _tools.UsageAsync(what, cancellationToken).ConfigureAwait(false);
        if (usage.Stats.TotalBytes == 0)
        {
            throw new UnavailableException($"{what}: the Ceph cluster does not know its own size yet; is a manager daemon (ceph-mgr) running?");
        }

        var stats = usage.Pools.FirstOrDefault(entry => entry.Name == pool)?.Stats
            ?? throw new StorageException($"{what}: the Ceph cluster has no pool '{pool}'.");
        var (size, free) = (stats.Stored + stats.MaxAvail, stats.MaxAvail);
        StorlinkCapacity capacity = stats.QuotaBytes > 0
            ? new(new(Math.Min(size, stats.QuotaBytes)), new(Math.Max(0, Math.Min(free, stats.QuotaBytes - stats.Stored))))
            : new(new(size), new(free));
        _capacities[pool] = (_time.GetTimestamp(), capacity);
        return capacity;
    }

    /// <inheritdoc/>
    /// <remarks>A raw volume with a backing image is a native clone of that; such one is an RBD image of the same cluster.</remarks>
    public async Task<Volume> CreateAsync(Storlink storlink, VolumeSpec spec, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        Validate(spec);
        var (pool, what) = Enter(storlink);
        using var held = await HoldAsync(spec.Disk, cancellationToken).ConfigureAwait(false);
        var started = _time.GetTimestamp();
        var entries = await EntriesAsync(what, pool, cancellationToken).ConfigureAwait(false);
        await RemoveLeftoversAsync(storlink, what, pool, [.. entries.Where(entry => entry.Entry.Disk == spec.Disk && !entry.Entry.Complete)], cancellationToken).ConfigureAwait(false);
        if (entries.Any(entry => entry.Entry.Disk == spec.Disk && entry.Entry.Complete))
        {
            return await FindAsync(what, pool, spec.Disk, spec.Format, cancellationToken).ConfigureAwait(false)
                ?? throw new StorageException($"{what}: the image of disk {spec.Disk} disappeared while it was looked at.");
        }

        var capacity = await DemandCapacityAsync(storlink, spec.Size, cancellationToken).ConfigureAwait(false);
        var beneath = spec.Source ?? spec.Backing;
        var total = beneath is null ? DataSize.Zero : await SizeOfAsync(what, beneath, spec, cancellationToken).ConfigureAwait(false);
        if (spec.Size < total)
        {
            throw new StorageException($"A disk of {spec.Size} cannot hold the image {beneath?.Location}, which has {total}.");
        }

        if (spec.Source is { } source && await _copy.MeasureAsync(source, cancellationToken).ConfigureAwait(false) is var needed && needed > capacity.Free)
        {
            throw new InsufficientResourceException($"Storlink {storlink.Id} has {capacity.Free.MiB} MiB free, and {needed.MiBCeiling} MiB are needed.");
        }

        var part = RbdName.NewPart(spec.Disk);
        Volume volume;
        try
        {
            await FillAsync(what, pool, part, spec, total, progress, cancellationToken).ConfigureAwait(false);
            volume = await UsageAsync(what, pool, spec.Disk, part, spec.Format, cancellationToken).ConfigureAwait(false) ?? throw Missing(what, pool, spec.Disk);
            if (volume.Size != spec.Size)
            {
                throw new StorageException($"{what}: the image of disk {spec.Disk} was to have {spec.Size.Bytes} bytes, and has {volume.Size.Bytes}.");
            }

            await RenameAsync(what, pool, part, spec.Disk, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await TryRemoveOwnAsync(what, pool, part).ConfigureAwait(false);
            throw;
        }

        _formats[(pool, spec.Disk)] = spec.Format;
        _logger.VolumeCreated(spec.Disk, storlink.Id, spec.Format, spec.Size, _time.GetElapsedTime(started));
        return volume;
    }

    /// <inheritdoc/>
    /// <remarks>Waits for <see cref="CephOptions.WatchExpiry"/> for those who have the image open, since one that crashed is told
    /// for half a minute after.</remarks>
    public async Task DeleteAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        _formats.TryRemove((pool, disk), out _);
        var entries = (await EntriesAsync(what, pool, cancellationToken).ConfigureAwait(false)).Where(entry => entry.Entry.Disk == disk).ToList();
        foreach (var (entry, trashId) in entries)
        {
            if (trashId is null)
            {
                await RemoveAsync(what, pool, disk, entry.Name, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                await EmptyTrashAsync(what, pool, disk, new(trashId, entry.Name), cancellationToken).ConfigureAwait(false);
            }
        }

        if (entries.Exists(entry => entry.Entry.Complete))
        {
            _logger.VolumeDeleted(disk, storlink.Id);
        }
    }

    /// <inheritdoc/>
    public Task<Volume?> FindAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        return FindAsync(what, pool, disk, format, cancellationToken);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<VolumeEntry> ListAsync(Storlink storlink, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        foreach (var (entry, _) in await EntriesAsync(what, pool, cancellationToken).ConfigureAwait(false))
        {
            yield return entry;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">Something has the image open.</exception>
    public async Task GrowAsync(Storlink storlink, DiskId disk, DiskFormat format, DataSize size, CancellationToken cancellationToken = default)
    {
        DemandSectors(size, nameof(size));
        var (pool, what) = Enter(storlink);
        var image = RbdName.Final(disk);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        var before = await InfoAsync(what, pool, disk, cancellationToken).ConfigureAwait(false);
        await DemandFormatAsync(what, pool, disk, format, cancellationToken).ConfigureAwait(false);
        if ((format == DiskFormat.Raw ? before.Size : (await _copy.HeaderAsync(pool, image, cancellationToken).ConfigureAwait(false)).Size.Bytes) >= size.Bytes)
        {
            return;
        }

        await DemandCapacityAsync(storlink, size, cancellationToken).ConfigureAwait(false);
        await DemandUnusedAsync(what, pool, disk, image, wait: false, cancellationToken).ConfigureAwait(false);
        var needed = format == DiskFormat.Raw ? size : await _copy.NeededAsync(size, cancellationToken).ConfigureAwait(false);
        if (needed.Bytes > before.Size)
        {
            await _tools.RbdAsync(what, ["resize", "--no-progress", "--size", Bytes(needed), "--pool", pool, "--image", image], cancellationToken).ConfigureAwait(false);
        }

        if (format == DiskFormat.Qcow2)
        {
            await _copy.ResizeAsync(pool, image, size, cancellationToken).ConfigureAwait(false);
        }

        if ((await FindAsync(what, pool, disk, format, cancellationToken).ConfigureAwait(false))?.Size != size)
        {
            throw new StorageException($"{what}: disk {disk} was grown to {size}, and has another size.");
        }

        _logger.VolumeGrown(disk, storlink.Id, size);
    }

    /// <inheritdoc/>
    /// <remarks>By QEMU's own driver there is nothing to attach, neither of an overlay nor of what it lies on. As a device, an image is
    /// called <c>/dev/rbd/POOL/UUID</c>, and what an overlay lies on in the same pool is attached with it.</remarks>
    /// <exception cref="InUseException">Another host has the image open for writing; the message says who.</exception>
    public Task<DiskLocation> AttachAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default) =>
        AttachAsync(storlink, disk, format, alone: true, cancellationToken);

    /// <inheritdoc/>
    public Task<DiskLocation> AttachForMigrationAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default) =>
        AttachAsync(storlink, disk, format, alone: false, cancellationToken);

    /// <inheritdoc/>
    /// <remarks>Whatever the present <see cref="CephOptions.Attach"/>, what an earlier one attached is taken down, too.</remarks>
    /// <exception cref="InUseException">Something has the device open.</exception>
    public async Task DetachAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        var had = await _kernel.UnmapAsync(what, pool, RbdName.Final(disk), cancellationToken).ConfigureAwait(false);
        if (_userSpace.HasTraces(disk))
        {
            await _userSpace.DetachAsync(what, disk, cancellationToken).ConfigureAwait(false);
            had = true;
        }

        if (had)
        {
            _devices.Remove(pool, RbdName.Final(disk));
            _logger.ImageDetached(disk);
        }
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<VolumeUser>> ListUsersAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        return [.. (await WatchersAsync(what, pool, RbdName.Final(disk), cancellationToken).ConfigureAwait(false) ?? []).Select(watcher => new VolumeUser(Describe(watcher), IsLocal(watcher)))];
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidFieldException">The format is not raw.</exception>
    /// <exception cref="InUseException">Something has the image open for writing.</exception>
    public async Task<Volume> InspectImportAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        if (format != DiskFormat.Raw)
        {
            throw new InvalidFieldException("format", format.Name, "an image that is laid into a pool (level OB) by hand is raw; convert it with 'qemu-img convert' first.");
        }

        var (pool, what) = Enter(storlink);
        var volume = await FindAsync(what, pool, disk, format, cancellationToken).ConfigureAwait(false) ?? throw Missing(what, pool, disk);
        await DemandUnusedAsync(what, pool, disk, RbdName.Final(disk), wait: false, cancellationToken).ConfigureAwait(false);
        return volume.Size.Bytes > 0 && volume.Size.Bytes % SectorSize == 0
            ? volume
            : throw new StorageException($"The image {pool}/{disk} is refused: its size of {volume.Size.Bytes} bytes is not a multiple of {SectorSize} bytes above zero. Round it up with 'rbd resize'.");
    }

    /// <inheritdoc/>
    public bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class
    {
        feature = this as TFeature;
        return feature is not null;
    }

    private static void Validate(VolumeSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        DemandSectors(spec.Size, nameof(spec));
        if (spec is { Source: not null, Backing: not null })
        {
            throw new ArgumentException("A volume is either a copy or an overlay.", nameof(spec));
        }

        if (spec.IsBackingBeside)
        {
            throw new ArgumentException("Only a volume of level FL has an image beside it.", nameof(spec));
        }
    }

    private static void DemandSectors(DataSize size, string parameter)
    {
        if (size.Bytes <= 0 || size.Bytes % SectorSize != 0)
        {
            throw new ArgumentException($"The size of a disk is a multiple of {SectorSize} bytes above zero; {size.Bytes} is not.", parameter);
        }
    }

    /// <summary>Demands that an image is noted as having a format; one of which nothing is noted is raw.</summary>
    private async Task DemandFormatAsync(string what, string pool, DiskId disk, DiskFormat format, CancellationToken cancellationToken)
    {
        if (!_formats.TryGetValue((pool, disk), out var noted))
        {
            if (await NotedFormatAsync(what, pool, RbdName.Final(disk), cancellationToken).ConfigureAwait(false) is not { } read)
            {
                return;
            }

            noted = _formats[(pool, disk)] = read;
        }

        if (noted != format)
        {
            throw new StorageException($"Disk {disk} is recorded as {format.Name}, but its image {pool}/{RbdName.Final(disk)} is noted as {noted.Name}; neither is guessed.");
        }
    }

    /// <returns><see langword="null"/> when there is no such image.</returns>
    private async Task<DiskFormat?> NotedFormatAsync(string what, string pool, string image, CancellationToken cancellationToken) =>
        await _tools.NotesAsync(what, pool, image, cancellationToken).ConfigureAwait(false) is not { } notes ? null
            : !notes.TryGetValue(FormatNote, out var name) ? DiskFormat.Raw
            : DiskFormatNames.TryParse(name, out var format) ? format
            : throw new StorageException($"{what}: the image {pool}/{image} is noted as being of the format '{name}', which is not known here.");

    private (string Pool, string What) Enter(Storlink storlink)
    {
        var pool = RbdName.PoolOf(storlink);
        _configuration.Refresh();
        return (pool, $"Storlink {storlink.Id}");
    }

    // Processes of this host wait for each other; those of other hosts are told apart by who has an image open.
    private Task<IDisposable> HoldAsync(DiskId disk, CancellationToken cancellationToken) => _leases.AcquireAsync(disk.ToString(), _options.LockTimeout, cancellationToken);

    private static string Bytes(DataSize size) => string.Create(CultureInfo.InvariantCulture, $"{size.Bytes}B");

    private static StorageException Missing(string what, string pool, DiskId disk) => new($"{what}: there is no image of disk {disk} in the pool {pool}.");

    private async Task<RbdInfo> InfoAsync(string what, string pool, DiskId disk, CancellationToken cancellationToken) =>
        await _tools.FindAsync(what, "info", pool, RbdName.Final(disk), CephJson.Default.RbdInfo, cancellationToken).ConfigureAwait(false) ?? throw Missing(what, pool, disk);

    private async Task<Volume?> FindAsync(string what, string pool, DiskId disk, DiskFormat format, CancellationToken cancellationToken)
    {
        await DemandFormatAsync(what, pool, disk, format, cancellationToken).ConfigureAwait(false);
        return await UsageAsync(what, pool, disk, RbdName.Final(disk), format, cancellationToken).ConfigureAwait(false);
    }

    private async Task<Volume?> UsageAsync(string what, string pool, DiskId disk, string image, DiskFormat format, CancellationToken cancellationToken)
    {
        var usage = await _tools.FindAsync(what, "du", pool, image, CephJson.Default.RbdUsage, cancellationToken).ConfigureAwait(false);

        // Its snapshots are listed with it, and their space is its, too.
        if (usage?.Images.FirstOrDefault(entry => entry.Snapshot is null) is not { } head)
        {
            return null;
        }

        var size = format == DiskFormat.Raw ? new(head.ProvisionedSize) : (await _copy.HeaderAsync(pool, image, cancellationToken).ConfigureAwait(false)).Size;
        return new(disk, format, size, new(usage.Images.Sum(entry => entry.UsedSize)));
    }

    /// <summary>All that lies in a pool under a disk's UUID; what has a number lies in the trash.</summary>
    private async Task<List<(VolumeEntry Entry, string? TrashId)>> EntriesAsync(string what, string pool, CancellationToken cancellationToken)
    {
        var (names, trash) = (_tools.NamesAsync(what, pool, cancellationToken), _tools.TrashAsync(what, pool, cancellationToken));
        await Task.WhenAll(names, trash).ConfigureAwait(false);
        return
        [
            .. (await names.ConfigureAwait(false)).Select(RbdName.Parse).OfType<VolumeEntry>().Select(entry => (entry, (string?)null)),
            .. (await trash.ConfigureAwait(false)).Select(image => (RbdName.Parse(image.Name), image.Id)).Where(pair => pair.Item1 is not null).Select(pair => (pair.Item1! with { Complete = false }, (string?)pair.Id)),
        ];
    }

    private async Task<StorlinkCapacity> DemandCapacityAsync(Storlink storlink, DataSize size, CancellationToken cancellationToken)
    {
        var capacity = _capacities.TryGetValue(storlink.Link, out var known) && _time.GetElapsedTime(known.At) < s_capacityAge
            ? known.Capacity
            : await MeasureAsync(storlink, cancellationToken).ConfigureAwait(false);
        return size <= capacity.Size
            ? capacity
            : throw new InsufficientResourceException($"A disk of {size} is larger than all of storlink {storlink.Id}, which has {capacity.Size.MiB} MiB.");
    }

    private async Task<DataSize> SizeOfAsync(string what, DiskLayer layer, VolumeSpec spec, CancellationToken cancellationToken)
    {
        if (layer.Location is RbdLocation rbd)
        {
            if (rbd.ConfigurationFile != _configuration.GuestFile || rbd.User != _options.User)
            {
                throw new StorageException($"{what}: the image {rbd} is reached by another configuration, and is not copied from here.");
            }

            if (spec.Backing is not null && spec.Format == DiskFormat.Raw && layer.Format != DiskFormat.Raw)
            {
                throw new InvalidFieldException("format", layer.Format.Name, "only a raw image is cloned; copy it.");
            }

            // Nothing locks out a writer while it is copied, as the locks of files do. The guest whose disk gets an overlay goes on writing
            // to it until it changes over.
            if ((spec.Source is not null || spec.Format == DiskFormat.Raw)
                && (await WatchersAsync(what, rbd.Pool, rbd.Image, cancellationToken).ConfigureAwait(false) ?? throw new StorageException($"{what}: there is no image {rbd}."))
                    .Where(watcher => !spec.IsSourceFrozen || !IsLocal(watcher)).ToList() is { Count: > 0 } watchers)
            {
                throw new InUseException($"{what}: the image {rbd} is open for writing, by {Describe(watchers)}.");
            }
        }

        return await _copy.SizeAsync(layer, cancellationToken).ConfigureAwait(false);
    }

    private async Task FillAsync(string what, string pool, string part, VolumeSpec spec, DataSize total, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        if (spec.Backing is { } parent && spec.Format == DiskFormat.Raw)
        {
            await CloneAsync(what, parent, pool, part, spec.Disk, cancellationToken).ConfigureAwait(false);
            if (spec.Size > total)
            {
                await _tools.RbdAsync(what, ["resize", "--no-progress", "--size", Bytes(spec.Size), "--pool", pool, "--image", part], cancellationToken).ConfigureAwait(false);
            }

            return;
        }

        var size = spec.Format == DiskFormat.Raw ? spec.Size : await _copy.NeededAsync(spec.Size, cancellationToken).ConfigureAwait(false);
        await _tools.RbdAsync(what, ["create", "--no-progress", "--size", Bytes(size), "--image-feature", Features, "--pool", pool, "--image", part], cancellationToken).ConfigureAwait(false);
        if (spec.Format == DiskFormat.Qcow2)
        {
            await _tools.RbdAsync(what, ["image-meta", "set", "--pool", pool, "--image", part, FormatNote, spec.Format.Name], cancellationToken).ConfigureAwait(false);
            await _copy.FormatAsync(pool, part, spec.Size, spec.Backing, cancellationToken).ConfigureAwait(false);
        }

        if (spec.Source is { } source)
        {
            await _copy.CopyAsync(source, pool, part, spec.Format, spec.RateLimit, progress, cancellationToken).ConfigureAwait(false);
        }
    }

    // It takes a moment and is not stopped in the middle, where the cluster would have both names.
    private async Task RenameAsync(string what, string pool, string part, DiskId disk, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var result = await _tools.TryRbdAsync(["rename", "--pool", pool, "--image", part, "--dest-pool", pool, "--dest", RbdName.Final(disk)], CancellationToken.None).ConfigureAwait(false);
        if (result.ExitCode == CephTools.Exists)
        {
            // Whoever else made the same volume meanwhile was given the same orders: theirs is as good.
            await TryRemoveOwnAsync(what, pool, part).ConfigureAwait(false);
        }
        else if (result.ExitCode != 0)
        {
            throw CephTools.FailureOf(what, result);
        }
    }

    private async Task<DiskLocation> AttachAsync(Storlink storlink, DiskId disk, DiskFormat format, bool alone, CancellationToken cancellationToken)
    {
        var (pool, what) = Enter(storlink);
        var location = await AttachOneAsync(what, pool, disk, format, alone, cancellationToken).ConfigureAwait(false);
        if (_options.Attach == CephAttachMode.Qemu)
        {
            return location;
        }

        var (layer, layerFormat) = (disk, format);
        for (var depth = 0; layerFormat == DiskFormat.Qcow2; depth++)
        {
            if (depth == MaxChain)
            {
                throw new StorageException($"The image of disk {disk} lies on more than {MaxChain} layers; merge some of its snapshots first.");
            }

            var header = await _copy.HeaderAsync(pool, RbdName.Final(layer), cancellationToken).ConfigureAwait(false);
            if (header.BackingFile is not { } backing || _devices.Parse(pool, backing) is not { } beneath || !DiskFormatNames.TryParse(header.BackingFormat, out layerFormat))
            {
                break;
            }

            layer = beneath;
            await AttachOneAsync(what, pool, layer, layerFormat, alone, cancellationToken).ConfigureAwait(false);
        }

        return location;
    }

    private async Task<DiskLocation> AttachOneAsync(string what, string pool, DiskId disk, DiskFormat format, bool alone, CancellationToken cancellationToken)
    {
        var image = RbdName.Final(disk);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        await DemandFormatAsync(what, pool, disk, format, cancellationToken).ConfigureAwait(false);
        if (Attached(pool, image, disk) is { } present)
        {
            return new BlockLocation(_devices.Ensure(pool, image, present));
        }

        var broken = _options.Attach == CephAttachMode.UserSpace && _userSpace.HasTraces(disk);
        if (broken)
        {
            _logger.AttachmentBroken(disk);
            await _userSpace.DetachAsync(what, disk, cancellationToken).ConfigureAwait(false);
        }

        var watchers = broken
            ? await WaitUnusedAsync(what, pool, image, cancellationToken).ConfigureAwait(false)
            : await WatchersAsync(what, pool, image, cancellationToken).ConfigureAwait(false);
        if (watchers is null)
        {
            throw Missing(what, pool, disk);
        }

        // Through QEMU's own driver nothing tells a guest of this host from another program of it; the hypervisor does.
        if (alone && watchers.Where(watcher => _options.Attach != CephAttachMode.Qemu || !IsLocal(watcher)).ToList() is { Count: > 0 } others)
        {
            throw new InUseException($"{what}: disk {disk} has a writer already, {Describe(others)}, and never gets a second one. If that host is dead, wait half a minute.");
        }

        if (_options.Attach == CephAttachMode.Qemu)
        {
            return LocationOf(pool, disk);
        }

        var device = _options.Attach == CephAttachMode.Kernel
            ? await _kernel.MapAsync(what, pool, image, cancellationToken).ConfigureAwait(false)
            : await _userSpace.AttachAsync(what, disk, pool, image, cancellationToken).ConfigureAwait(false);
        _logger.ImageAttached(disk, pool, device);
        return new BlockLocation(_devices.Ensure(pool, image, device));
    }

    private RbdLocation LocationOf(string pool, DiskId disk) => new(pool, RbdName.Final(disk)) { ConfigurationFile = _configuration.GuestFile, User = _options.User };

    private string? Attached(string pool, string image, DiskId disk) => _options.Attach switch
    {
        CephAttachMode.Kernel => _kernel.Find(pool, image),
        CephAttachMode.UserSpace => _userSpace.Find(disk),
        _ => null,
    };

    private async Task<IReadOnlyList<RbdWatcher>?> WatchersAsync(string what, string pool, string image, CancellationToken cancellationToken) =>
        (await _tools.FindAsync(what, "status", pool, image, CephJson.Default.RbdStatus, cancellationToken).ConfigureAwait(false))?.Watchers;

    /// <summary>Waits for those who have an image open, for as long as one that crashed is told.</summary>
    /// <returns>Who still has it; <see langword="null"/> when there is no such image.</returns>
    private async Task<IReadOnlyList<RbdWatcher>?> WaitUnusedAsync(string what, string pool, string image, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        while (true)
        {
            var watchers = await WatchersAsync(what, pool, image, cancellationToken).ConfigureAwait(false);
            if (watchers is null or { Count: 0 } || _time.GetElapsedTime(started) >= _options.WatchExpiry)
            {
                return watchers;
            }

            await Task.Delay(s_watchPause, _time, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task DemandUnusedAsync(string what, string pool, DiskId disk, string image, bool wait, CancellationToken cancellationToken)
    {
        var watchers = wait
            ? await WaitUnusedAsync(what, pool, image, cancellationToken).ConfigureAwait(false)
            : await WatchersAsync(what, pool, image, cancellationToken).ConfigureAwait(false);
        if (watchers is { Count: > 0 })
        {
            throw new InUseException(image == RbdName.Final(disk)
                ? $"Disk {disk} is in use: {Describe(watchers)} has the image {pool}/{image} open."
                : $"Disk {disk} is being made: {Describe(watchers)} has the image {pool}/{image} open.");
        }
    }

    private static string Describe(IEnumerable<RbdWatcher> watchers) => string.Join(" and ", watchers.Select(Describe));

    private static string Describe(RbdWatcher watcher) => string.Create(CultureInfo.InvariantCulture, $"client.{watcher.Client} at {watcher.Address}");

    /// <summary>Whether a watcher's address, <c>10.0.0.7:0/3752127130</c> or <c>[fd00::7]:0/3752127130</c>, is this host's.</summary>
    private bool IsLocal(RbdWatcher watcher)
    {
        var text = watcher.Address.AsSpan();
        var end = text.LastIndexOf(':');
        return end > 0 && IPAddress.TryParse(text[..end].Trim("[]"), out var address) && IsOwnAddress(address);
    }
}
