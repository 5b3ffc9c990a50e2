using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>Disks as files in a directory: storage links of level FL. Type LO may be any directory; one of another type must
/// lie on a file system that somebody has mounted there.</summary>
/// <remarks>
/// A volume is made under a hidden name in the same directory, flushed, and given its own name only when whole; whatever
/// interrupts that leaves one hidden file, which the next call for the same disk removes. Raw volumes are sparse, qcow2 ones
/// grow as they are written. The directory may be reached through symbolic links, for its operator chose it; an image
/// may not be one. Safe to use from many threads and from several processes.
/// </remarks>
/// <param name="runner">Runs <c>qemu-img</c>.</param>
/// <param name="options">How it is run; the defaults when not given.</param>
/// <param name="timeProvider">The clock; the system's when not given.</param>
/// <param name="logger">Told of volumes made and removed.</param>
public sealed partial class LocalStorage(IProcessRunner runner, ImageToolOptions? options = null, TimeProvider? timeProvider = null, ILogger<LocalStorage>? logger = null)
    : IStorageBackend, IImageImport, IBackupFiles
{
    private const int SectorSize = 512;
    private const string ProbePrefix = ".pengx-probe-";

    private const int OwnerAttempts = 100;

    // Of a directory that is known not to have answered.
    private static readonly TimeSpan s_hangingPatience = TimeSpan.FromSeconds(2);

    private readonly ImageToolOptions _options = options ?? new();
    private readonly ImageTool _images = new(runner, options);
    private readonly ImageCopier _copier = new(runner, options, timeProvider);
    private readonly TimeProvider _time = timeProvider ?? TimeProvider.System;
    private readonly ILogger _logger = logger ?? NullLogger<LocalStorage>.Instance;
    private readonly KeyedLock _locks = new();
    private readonly ConcurrentDictionary<string, Task> _hanging = new(StringComparer.Ordinal);

    /// <summary>How copies are made; tests take the slow ways.</summary>
    internal ImageCopier Copier
    {
        get => _copier;
        init => _copier = value;
    }

    /// <summary>How long a directory's file system may take to answer.</summary>
    internal TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(60);

    /// <inheritdoc/>
    public bool Serves(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        return storlink.Level == StorlinkLevel.File;
    }

    /// <inheritdoc/>
    public Task CheckAsync(Storlink storlink, CancellationToken cancellationToken = default) => AskAsync(storlink, () =>
    {
        var directory = DirectoryOf(storlink);
        var probe = Path.Combine(directory, $"{ProbePrefix}{Guid.NewGuid():N}");
        try
        {
            using var handle = Posix.CreateNew(probe);
        }
        catch (PengxException exception) when (exception is StorageException or InsufficientResourceException)
        {
            throw new StorageException($"Storlink {storlink.Id} cannot be used: nothing can be written to {directory}. {exception.Message}", exception);
        }

        // A check that was killed in between left its probe.
        foreach (var path in Directory.EnumerateFiles(directory, ProbePrefix + "*"))
        {
            File.Delete(path);
        }

        return true;
    }, cancellationToken);

    /// <inheritdoc/>
    public Task<StorlinkCapacity> MeasureAsync(Storlink storlink, CancellationToken cancellationToken = default) =>
        AskAsync(storlink, () => Measure(DirectoryOf(storlink)), cancellationToken);

    /// <inheritdoc/>
    public async Task<Volume> CreateAsync(Storlink storlink, VolumeSpec spec, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        Validate(spec);
        using var held = await HoldAsync(storlink, spec.Disk, cancellationToken).ConfigureAwait(false);
        return await Guarded(storlink, () => CreateHeldAsync(storlink, spec, progress, cancellationToken)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        using var held = await HoldAsync(storlink, disk, cancellationToken).ConfigureAwait(false);
        var clean = await AskAsync(storlink, () => Delete(storlink, disk), cancellationToken).ConfigureAwait(false);
        for (var attempt = 1; !clean; attempt++)
        {
            await Task.Delay(Posix.OwnerPause, TimeProvider.System, cancellationToken).ConfigureAwait(false);
            var isLast = attempt == OwnerAttempts;
            clean = await AskAsync(
                storlink,
                () =>
                {
                    var directory = DirectoryOf(storlink);
                    var removed = RemoveLeftovers(storlink, directory, disk);

                    // A maker that lived has finished its work: that is not ours to take away.
                    return isLast || (removed && VolumeName.Finals(disk).Any(name => Posix.Status(Path.Combine(directory, name)) is not null))
                        ? throw new InUseException($"Disk {disk} is being made on storlink {storlink.Id} by another process.")
                        : removed;
                },
                cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public Task<Volume?> FindAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default) =>
        AskAsync(storlink, () => Find(DirectoryOf(storlink), disk, format), cancellationToken);

    /// <inheritdoc/>
    public async IAsyncEnumerable<VolumeEntry> ListAsync(Storlink storlink, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var entries = await AskAsync(storlink, () => Entries(DirectoryOf(storlink)).ToList(), cancellationToken).ConfigureAwait(false);
        foreach (var entry in entries)
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return entry;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">A QEMU program has the volume open.</exception>
    public async Task GrowAsync(Storlink storlink, DiskId disk, DiskFormat format, DataSize size, CancellationToken cancellationToken = default)
    {
        DemandSectors(size, nameof(size));
        using var held = await HoldAsync(storlink, disk, cancellationToken).ConfigureAwait(false);
        using var written = await AskAsync(
            storlink,
            () =>
            {
                var path = PathOf(storlink, disk, format);
                if (ImageChain.SizeOf(path, format) >= size)
                {
                    return null;
                }

                DemandCapacity(storlink, size);
                DemandNotOpen(path, disk);
                return new WriteBack(path);
            },
            cancellationToken).ConfigureAwait(false);
        if (written is null)
        {
            return;
        }

        await ResizeAsync(storlink, written.Path, format, size, cancellationToken).ConfigureAwait(false);
        await written.FlushAsync(_options.StallTimeout, _time, cancellationToken).ConfigureAwait(false);
        _logger.VolumeGrown(disk, storlink.Id, size);
    }

    /// <inheritdoc/>
    public Task<DiskLocation> AttachAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default) =>
        AskAsync(storlink, DiskLocation () => new FileLocation(PathOf(storlink, disk, format)), cancellationToken);

    /// <inheritdoc/>
    public Task DetachAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    /// <exception cref="InUseException">A QEMU program has the image open for writing.</exception>
    public Task<Volume> InspectImportAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default) =>
        AskAsync(storlink, () =>
        {
            var path = PathOf(storlink, disk, format);
            var allocated = Posix.Status(path)?.Allocated ?? 0;
            using (var handle = Posix.OpenRead(path))
            {
                if (Posix.IsOpenForWritingElsewhere(handle, path))
                {
                    throw new InUseException($"The image {path} is open for writing; close it first.");
                }
            }

            if (format == DiskFormat.Qcow2)
            {
                var header = ImageChain.HeaderOf(path);
                ImageChain.DemandReadable(path, header);
                if (header.BackingFile is not null)
                {
                    throw new StorageException($"The image {path} is refused: it is an overlay of another file. Flatten it with 'qemu-img convert' first.");
                }
            }

            var size = ImageChain.SizeOf(path, format);
            return size.Bytes > 0 && size.Bytes % SectorSize == 0
                ? new Volume(disk, format, size, new(allocated))
                : throw new StorageException($"The image {path} is refused: its size of {size.Bytes} bytes is not a multiple of {SectorSize} bytes above zero. Round it up with 'qemu-img resize'.");
        }, cancellationToken);

    /// <inheritdoc/>
    public bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class
    {
        feature = this as TFeature;
        return feature is not null;
    }

    internal static void Validate(VolumeSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        DemandSectors(spec.Size, nameof(spec));
        if (spec is { Source: not null, Backing: not null, IsBackingBeside: false })
        {
            throw new ArgumentException("A volume is either a copy or an overlay, unless its backing image lies beside it.", nameof(spec));
        }

        if (spec is { Backing: not null, Format: not DiskFormat.Qcow2 })
        {
            throw new ArgumentException("Only a qcow2 volume can be an overlay.", nameof(spec));
        }

        if (spec is { IsBackingBeside: true, Backing: null })
        {
            throw new ArgumentException("Only an overlay has an image beside it.", nameof(spec));
        }
    }

    internal static void DemandSectors(DataSize size, string parameter)
    {
        if (size.Bytes <= 0 || size.Bytes % SectorSize != 0)
        {
            throw new ArgumentException($"The size of a disk is a multiple of {SectorSize} bytes above zero; {size.Bytes} is not.", parameter);
        }
    }

    private static string DirectoryOf(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        var link = storlink.Link;
        if (storlink.Level != StorlinkLevel.File)
        {
            throw new StorageException($"Storlink {storlink.Id} is not of level FL.");
        }

        if (!link.StartsWith('/') || link.Contains('\0', StringComparison.Ordinal) || link.Split('/').Any(part => part is "." or ".."))
        {
            throw new StorageException($"The link of storlink {storlink.Id} is not an absolute path without '.' and '..'.");
        }

        var directory = link.Length > 1 ? link.TrimEnd('/') : link;
        var mount = MountTable.FindOf(directory, File.ReadLines("/proc/self/mountinfo"));
        if (storlink.Type != StorlinkType.Local && mount is not { Point: not "/" })
        {
            throw NotMounted();
        }

        if (storlink.Type == StorlinkType.Nfs && mount is not { Type: "nfs" or "nfs4" })
        {
            throw new StorageException($"Storlink {storlink.Id}: no NFS is mounted at {directory}; it lies on {mount!.Point} ({mount.Type}).");
        }

        if (!Directory.Exists(directory))
        {
            throw new StorageException(File.Exists(directory)
                ? $"The link of storlink {storlink.Id}, {directory}, is not a directory."
                : $"The directory {directory} of storlink {storlink.Id} does not exist.");
        }

        // So layers leave what they mount on.
        return File.GetUnixFileMode(directory) == UnixFileMode.None ? throw NotMounted() : directory;

        StorageException NotMounted() => new($"Storlink {storlink.Id}: nothing is mounted at {directory}.");
    }

    private static StorlinkCapacity Measure(string directory)
    {
        DriveInfo drive = new(directory);
        return new(new(drive.TotalSize), new(drive.AvailableFreeSpace));
    }

    private static IEnumerable<VolumeEntry> Entries(string directory) =>
        Directory.EnumerateFiles(directory).Select(path => VolumeName.Parse(Path.GetFileName(path))).OfType<VolumeEntry>();

    /// <summary>Where a whole volume lies; <see langword="null"/> when there is none.</summary>
    private static string? FindPath(string directory, DiskId disk, DiskFormat format)
    {
        foreach (var name in new[] { VolumeName.Final(disk, format), disk.ToString() })
        {
            var path = Path.Combine(directory, name);
            if (Posix.Status(path) is { } status)
            {
                return status.IsRegular ? path : throw new StorageException($"{path} is not a plain file, and is not used as an image.");
            }
        }

        return null;
    }

    private static string PathOf(Storlink storlink, DiskId disk, DiskFormat format)
    {
        var directory = DirectoryOf(storlink);
        return FindPath(directory, disk, format)
            ?? throw new StorageException($"There is no {format.Name} image of disk {disk} on storlink {storlink.Id} ({directory}).");
    }

    private static Volume? Find(string directory, DiskId disk, DiskFormat format)
    {
        if (FindPath(directory, disk, format) is not { } path || Posix.Status(path) is not { } status)
        {
            return null;
        }

        return new(disk, format, ImageChain.SizeOf(path, format), new(status.Allocated));
    }

    private static void DemandCapacity(Storlink storlink, DataSize size)
    {
        var capacity = Measure(DirectoryOf(storlink));
        if (size > capacity.Size)
        {
            throw new InsufficientResourceException($"A disk of {size} is larger than all of storlink {storlink.Id}, which has {capacity.Size.MiB} MiB.");
        }
    }

    private static void DemandFree(Storlink storlink, DataSize required)
    {
        var free = Measure(DirectoryOf(storlink)).Free;
        if (required > free)
        {
            throw new InsufficientResourceException($"Storlink {storlink.Id} has {free.MiB} MiB free, and {required.MiBCeiling} MiB are needed.");
        }
    }

    private async Task DemandFreeAsync(Storlink storlink, CopyPlan plan, OwnedFile? begun, CancellationToken cancellationToken)
    {
        var (request, needed) = (plan.Request, plan.ExpectedBytes);
        if (plan.Method == CopyMethod.Convert)
        {
            // Measured as qcow2 for raw copies, too: as raw, holes would count.
            needed = (await _images.MeasureAsync(request.Source, DiskFormat.Qcow2, cancellationToken).ConfigureAwait(false)).Required;
        }

        await AskAsync(
            storlink,
            () =>
            {
                // What an earlier attempt wrote is taken over, or makes room.
                DataSize written = new(begun is null ? 0 : Posix.Status(begun.Path)?.Allocated ?? 0);
                DemandFree(storlink, needed > written ? needed - written : DataSize.Zero);
            },
            cancellationToken).ConfigureAwait(false);
    }

    private static void DemandNotOpen(string path, DiskId disk)
    {
        using var handle = Posix.OpenRead(path);
        if (Posix.IsOpenElsewhere(handle, path))
        {
            throw new InUseException(Posix.IsOpenForWritingElsewhere(handle, path)
                ? $"Disk {disk} is in use: something writes to {path}."
                : $"Disk {disk} is in use: something has {path}, or an overlay of it, open.");
        }
    }

    private async Task<Volume> CreateHeldAsync(Storlink storlink, VolumeSpec spec, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        var directory = await AskAsync(storlink, () => DirectoryOf(storlink), cancellationToken).ConfigureAwait(false);
        if (await AskAsync(storlink, () => FindMade(storlink, directory, spec), cancellationToken).ConfigureAwait(false) is { } existing)
        {
            return existing;
        }

        using var begun = spec is { Source: not null, Backing: null } ? await AskAsync(storlink, () => OwnBegun(directory, spec), cancellationToken).ConfigureAwait(false) : null;
        await AskAsync(
            storlink,
            () =>
            {
                RemoveLeftovers(storlink, directory, spec.Disk);
                DemandCapacity(storlink, spec.Size);
            },
            cancellationToken).ConfigureAwait(false);
        CopyPlan? plan = null;
        if (spec is { Source: { } source, Backing: null })
        {
            plan = await _copier.PlanAsync(
                new() { Source = source, Target = new(new FileLocation(Path.Combine(directory, VolumeName.Final(spec.Disk, spec.Format))), spec.Format), Size = spec.Size, RateLimit = spec.RateLimit },
                cancellationToken).ConfigureAwait(false);
            await DemandFreeAsync(storlink, plan, begun, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            foreach (var shown in new[] { spec.Source, spec.Backing }.OfType<DiskLayer>())
            {
                if (await _images.SizeOfAsync(shown, cancellationToken).ConfigureAwait(false) is var least && spec.Size < least)
                {
                    throw new StorageException($"A disk of {spec.Size} cannot hold the image {shown.Location}, which has {least}.");
                }
            }

            if (spec.Format == DiskFormat.Qcow2)
            {
                var required = (await _images.MeasureAsync(spec.Size, DiskFormat.Qcow2, cancellationToken).ConfigureAwait(false)).Required;
                await AskAsync(storlink, () => DemandFree(storlink, required), cancellationToken).ConfigureAwait(false);
            }
        }

        // Not to be cancelled: what is made after that would be nobody's to remove.
        var part = begun ?? await AskAsync(storlink, () => NewPart(directory, spec), CancellationToken.None).ConfigureAwait(false);
        try
        {
            using (part)
            {
                await FillAsync(storlink, part, spec, plan, progress, cancellationToken).ConfigureAwait(false);
                cancellationToken.ThrowIfCancellationRequested();
                await WriteBack.FlushAsync(part.Handle, part.Path, _options.StallTimeout, _time, cancellationToken).ConfigureAwait(false);
                cancellationToken.ThrowIfCancellationRequested();

                // It is whole: for want of its name alone it is given up as late as its content would be.
                var made = await AskAsync(storlink, () => Finish(part, directory, spec), _options.StallTimeout, CancellationToken.None).ConfigureAwait(false);
                _logger.VolumeCreated(spec.Disk, storlink.Id, spec.Format, spec.Size, _time.GetElapsedTime(started));
                return made;
            }
        }
        catch
        {
            await Leftovers.TryRemoveAsync(_logger, CopyPart.JournalOf(part.Path), part.Path).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The volume, when an earlier call has made it.</summary>
    private Volume? FindMade(Storlink storlink, string directory, VolumeSpec spec)
    {
        if (Find(directory, spec.Disk, spec.Format) is not { } existing)
        {
            return null;
        }

        RemoveLeftovers(storlink, directory, spec.Disk);

        // A call that ended right behind its renaming has not flushed the name.
        Posix.SyncDirectory(directory);
        return existing;
    }

    /// <summary>Gives what is whole its name.</summary>
    private static Volume Finish(OwnedFile part, string directory, VolumeSpec spec)
    {
        File.Delete(CopyPart.JournalOf(part.Path));

        // Whoever else made the same volume meanwhile was given the same orders: theirs is as good.
        if (!Posix.TryRename(part.Path, Path.Combine(directory, VolumeName.Final(spec.Disk, spec.Format))))
        {
            File.Delete(part.Path);
        }

        Posix.SyncDirectory(directory);
        return Find(directory, spec.Disk, spec.Format)
            ?? throw new StorageException($"The image of disk {spec.Disk} disappeared from {directory} while it was made.");
    }

    private static OwnedFile NewPart(string directory, VolumeSpec spec)
    {
        while (true)
        {
            var path = Path.Combine(directory, VolumeName.NewPart(spec.Disk, spec.Format));
            var handle = Posix.CreateNew(path);
            try
            {
                // A cleaner may have met the file before it was ours.
                if (Posix.TryOwn(handle, path) && Posix.Status(path) is not null)
                {
                    return new(path, handle);
                }
            }
            catch
            {
                handle.Dispose();
                File.Delete(path);
                throw;
            }

            handle.Dispose();
        }
    }

    private async Task FillAsync(Storlink storlink, OwnedFile part, VolumeSpec spec, CopyPlan? plan, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        if (plan is not null)
        {
            await _copier.FillAsync(plan, part.Path, part.Handle, progress, cancellationToken).ConfigureAwait(false);
            progress?.Report(new(plan.Size.Bytes, plan.Size.Bytes));
        }
        else if (spec.Format == DiskFormat.Raw)
        {
            await AskAsync(storlink, () => RandomAccess.SetLength(part.Handle, spec.Size.Bytes), cancellationToken).ConfigureAwait(false);
        }
        else if (spec is { Source: { } source, Backing: { } backing })
        {
            DiskLayer overlay = new(new FileLocation(part.Path), spec.Format);
            await _images.CreateAsync(overlay, spec.Size, null, cancellationToken).ConfigureAwait(false);
            await _images.DifferAsync(overlay, source, backing, spec.IsBackingBeside, spec.RateLimit, ByteShare.Of(progress, spec.Size), cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await _images.CreateAsync(new(new FileLocation(part.Path), spec.Format), spec.Size, spec.Backing, new() { IsBackingBeside = spec.IsBackingBeside }, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>What a killed call left of a copy, when it wrote down how far it was.</summary>
    private static OwnedFile? OwnBegun(string directory, VolumeSpec spec)
    {
        foreach (var journal in Directory.EnumerateFiles(directory, $".{spec.Disk}.{spec.Format.Name}.part-*").ToList())
        {
            if (CopyPart.PartOf(journal) is not { } part || Posix.Status(part) is not { IsRegular: true })
            {
                continue;
            }

            var handle = Posix.OpenWrite(part);
            if (Posix.TryOwn(handle, part) && Posix.IsStill(part, Posix.IdentityOf(handle, part)))
            {
                return new(part, handle);
            }

            handle.Dispose();
        }

        return null;
    }

    private Task ResizeAsync(Storlink storlink, string path, DiskFormat format, DataSize size, CancellationToken cancellationToken) => format != DiskFormat.Raw
        ? _images.ResizeAsync(new(new FileLocation(path), format), size, cancellationToken)
        : AskAsync(
            storlink,
            () =>
            {
                using var handle = Posix.OpenWrite(path);
                RandomAccess.SetLength(handle, size.Bytes);
            },
            cancellationToken);

    /// <returns>Whether nothing is left; what another process is making stays.</returns>
    private bool Delete(Storlink storlink, DiskId disk)
    {
        var directory = DirectoryOf(storlink);
        List<string> present = [.. VolumeName.Finals(disk).Where(name => Posix.Status(Path.Combine(directory, name)) is { IsDirectory: false })];

        // All or none: nothing is removed while one is in use.
        foreach (var path in present.Select(name => Path.Combine(directory, name)))
        {
            if (Posix.Status(path) is { IsRegular: true })
            {
                DemandNotOpen(path, disk);
            }
        }

        foreach (var name in present)
        {
            Posix.TryRename(Path.Combine(directory, name), Path.Combine(directory, VolumeName.NewTrash(name)));
        }

        if (present.Count > 0)
        {
            Posix.SyncDirectory(directory);
            _logger.VolumeDeleted(disk, storlink.Id);
        }

        return RemoveLeftovers(storlink, directory, disk);
    }

    /// <summary>Removes what interrupted calls left of a disk.</summary>
    /// <returns>Whether nothing is left; what another process is making stays.</returns>
    private bool RemoveLeftovers(Storlink storlink, string directory, DiskId disk)
    {
        var clean = true;
        foreach (var path in Directory.EnumerateFiles(directory, $".{disk}.*").ToList())
        {
            // Goes with its copy.
            if (CopyPart.PartOf(path) is { } part && Posix.Status(part) is not null)
            {
                continue;
            }

            if (VolumeName.Parse(Path.GetFileName(path)) is not { Complete: false } entry || Posix.Status(path) is not { } status)
            {
                continue;
            }

            if (!status.IsRegular)
            {
                File.Delete(path);
                continue;
            }

            using var handle = Posix.OpenWrite(path);
            if (!Posix.TryOwn(handle, path))
            {
                clean = false;
                continue;
            }

            File.Delete(CopyPart.JournalOf(path));
            File.Delete(path);
            if (entry.Name.Contains(".part-", StringComparison.Ordinal))
            {
                _logger.LeftoverRemoved(entry.Name, storlink.Id);
            }
        }

        return clean;
    }

    private static string KeyOf(Storlink storlink)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        return storlink.Link.TrimEnd('/');
    }

    private Task<IDisposable> HoldAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken) =>
        _locks.EnterAsync($"{KeyOf(storlink)}/{disk}", cancellationToken);

    private Task<T> AskAsync<T>(Storlink storlink, Func<T> work, CancellationToken cancellationToken) => AskAsync(storlink, work, Patience, cancellationToken);

    private Task<bool> AskAsync(Storlink storlink, Action work, CancellationToken cancellationToken) => AskAsync(storlink, work, Patience, cancellationToken);

    private Task<bool> AskAsync(Storlink storlink, Action work, TimeSpan patience, CancellationToken cancellationToken) => AskAsync(
        storlink,
        () =>
        {
            work();
            return true;
        },
        patience,
        cancellationToken);

    /// <summary>Works on a directory's file system, for a time: on a server that is away a call takes until the server is back. Its thread
    /// is left to that, and whoever comes next waits for it first, so that what ends late meets nobody's work.</summary>
    private Task<T> AskAsync<T>(Storlink storlink, Func<T> work, TimeSpan patience, CancellationToken cancellationToken) => Guarded(storlink, async () =>
    {
        var key = KeyOf(storlink);
        if (_hanging.TryGetValue(key, out var before))
        {
            // Whoever looks at one disk after the other shall not wait as long for each.
            if (!await EndsAsync(before, patience < s_hangingPatience ? patience : s_hangingPatience).ConfigureAwait(false))
            {
                throw NoAnswer();
            }

            _hanging.TryRemove(new(key, before));
        }

        cancellationToken.ThrowIfCancellationRequested();
        var asked = Task.Run(work, CancellationToken.None);
        if (!await EndsAsync(asked, patience).ConfigureAwait(false))
        {
            var late = DropAsync(asked);
            _ = _hanging.AddOrUpdate(key, late, (_, others) => Task.WhenAll(others, late));
            throw NoAnswer();
        }

        return await asked.ConfigureAwait(false);

        async Task<bool> EndsAsync(Task task, TimeSpan time)
        {
            await task.WaitAsync(time, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return task.IsCompleted;
        }

        Exception NoAnswer() => cancellationToken.IsCancellationRequested
            ? new OperationCanceledException(cancellationToken)
            : new UnavailableException($"Storlink {storlink.Id}: {storlink.Link} does not answer within {patience.TotalSeconds} s.");

        // What comes late is nobody's: open, it would keep its owner's lock.
        static async Task DropAsync(Task<T> late) => ((await late.ConfigureAwait(false)) as IDisposable)?.Dispose();
    });

    private static async Task<T> Guarded<T>(Storlink storlink, Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"Storlink {storlink.Id} ({storlink.Link}): {exception.Message}", exception);
        }
    }

    /// <summary>An open file, this process's own while it is being made.</summary>
    private sealed record OwnedFile(string Path, SafeFileHandle Handle) : IDisposable
    {
        public void Dispose() => Handle.Dispose();
    }
}
