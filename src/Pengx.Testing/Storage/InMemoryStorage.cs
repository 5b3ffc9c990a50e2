using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Pengx.Testing;

/// <summary>Storage in memory: volumes with a content that copies carry along. It serves every storage link, and outlives a simulated
/// restart of the service.</summary>
public sealed partial class InMemoryStorage : IStorageBackend, IImageImport
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(StorlinkId Storlink, DiskId Disk), StoredVolume> _volumes = [];
    private readonly Dictionary<string, Queue<Action>> _faults = [];

    /// <summary>All space of every storage link.</summary>
    public DataSize Capacity { get; set; } = DataSize.FromGiB(1024);

    /// <summary>Tells whether something has an image open, as a running guest does; nothing has when not set.</summary>
    public Func<DiskLocation, bool>? IsOpen { get; set; }

    /// <summary>How often a storage link was measured.</summary>
    public int Measurements { get; private set; }

    /// <summary>What lies on a storage link: each volume's disk.</summary>
    /// <param name="storlink">The storage link.</param>
    public IReadOnlyList<DiskId> Volumes(StorlinkId storlink)
    {
        lock (_gate)
        {
            return [.. _volumes.Keys.Where(key => key.Storlink == storlink).Select(key => key.Disk)];
        }
    }

    /// <summary>The content of a volume: equal for a volume and its copies.</summary>
    /// <param name="disk">The disk.</param>
    public string? ContentOf(DiskId disk)
    {
        lock (_gate)
        {
            return _volumes.FirstOrDefault(volume => volume.Key.Disk == disk).Value?.Content;
        }
    }

    /// <summary>Lays an image onto a storage link by hand, as an operator does before a template is added.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The UUID that names it.</param>
    /// <param name="format">Its format.</param>
    /// <param name="size">Its size.</param>
    /// <param name="complete">Whether it is whole.</param>
    public void Lay(Storlink storlink, DiskId disk, DiskFormat format, DataSize size, bool complete = true)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        lock (_gate)
        {
            _volumes[(storlink.Id, disk)] = new(format, size, $"laid {disk}", complete);
        }
    }

    /// <summary>Lets the next call of a verb fail before it does anything.</summary>
    /// <param name="verb">The method's name, such as <c>nameof(IStorageBackend.CreateAsync)</c>.</param>
    /// <param name="error">What it throws.</param>
    public void FailNext(string verb, Exception error)
    {
        ArgumentNullException.ThrowIfNull(error);
        BeforeNext(verb, () => throw error);
    }

    /// <summary>Runs something before the next calls of a verb that nothing was said of yet, which may fail them by throwing.</summary>
    /// <param name="verb">The method's name, such as <c>nameof(IStorageBackend.CreateAsync)</c>.</param>
    /// <param name="act">What to run.</param>
    /// <param name="times">Before how many calls.</param>
    public void BeforeNext(string verb, Action act, int times = 1)
    {
        ArgumentNullException.ThrowIfNull(act);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(times);
        lock (_gate)
        {
            var queue = _faults.TryGetValue(verb, out var found) ? found : _faults[verb] = new();
            for (var time = 0; time < times; time++)
            {
                queue.Enqueue(act);
            }
        }
    }

    /// <summary>Whether an image exists, for a simulated host's <see cref="SimulatedHost.ImageExists"/>.</summary>
    /// <param name="layer">The image.</param>
    public bool Exists(DiskLayer layer)
    {
        ArgumentNullException.ThrowIfNull(layer);
        lock (_gate)
        {
            return _volumes.Any(volume => volume.Value.Format == layer.Format && layer.Location.ToString() == Location(volume.Key, volume.Value.Format).ToString());
        }
    }

    /// <summary>What an image is backed by.</summary>
    /// <param name="layer">The image.</param>
    public DiskLayer? BackingOf(DiskLayer layer)
    {
        ArgumentNullException.ThrowIfNull(layer);
        lock (_gate)
        {
            return At(layer).Backing;
        }
    }

    /// <summary>Writes to an image, as a guest does; the images that it is backed by stay as they are.</summary>
    /// <param name="layer">The image.</param>
    /// <param name="content">What it then shows.</param>
    public void Write(DiskLayer layer, string content)
    {
        ArgumentNullException.ThrowIfNull(layer);
        Change(layer, volume => volume with { Content = content });
    }

    /// <summary>Merges an image down into one that it is backed by.</summary>
    internal void Commit(DiskLayer from, DiskLayer into)
    {
        lock (_gate)
        {
            var (content, size) = (At(from).Content, At(from).Size);
            Change(into, volume => volume with { Content = content, Size = volume.Size < size ? size : volume.Size });
        }
    }

    /// <summary>States what an image is backed by; what it shows stays the same.</summary>
    internal void Link(DiskLayer layer, DiskLayer? backing) => Change(layer, volume => volume with { Backing = backing });

    /// <inheritdoc/>
    public bool Serves(Storlink storlink) => true;

    /// <inheritdoc/>
    public Task CheckAsync(Storlink storlink, CancellationToken cancellationToken = default)
    {
        Enter(nameof(CheckAsync), cancellationToken);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<StorlinkCapacity> MeasureAsync(Storlink storlink, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(MeasureAsync), cancellationToken);
        lock (_gate)
        {
            Measurements++;
            return Task.FromResult(new StorlinkCapacity(Capacity, Capacity - Used(storlink.Id)));
        }
    }

    /// <inheritdoc/>
    public Task<Volume> CreateAsync(Storlink storlink, VolumeSpec spec, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        ArgumentNullException.ThrowIfNull(spec);
        Enter(nameof(CreateAsync), cancellationToken);
        lock (_gate)
        {
            var key = (storlink.Id, spec.Disk);
            if (!_volumes.TryGetValue(key, out var volume) || !volume.Complete)
            {
                if (spec.Size > Capacity - Used(storlink.Id))
                {
                    throw new InsufficientResourceException($"Disk {spec.Disk} needs {spec.Size.MiBCeiling} MiB; {(Capacity - Used(storlink.Id)).MiB} MiB are free on storlink '{storlink.Name}'.");
                }

                var content = (spec.Source ?? spec.Backing) is { } origin ? At(origin).Content : $"empty {spec.Disk}";
                volume = new(spec.Format, spec.Size, content, Complete: true) { Backing = spec.Backing };
                _volumes[key] = volume;
            }

            progress?.Report(new(spec.Size.Bytes, spec.Size.Bytes));
            return Task.FromResult(new Volume(spec.Disk, volume.Format, volume.Size, volume.Size));
        }
    }

    /// <inheritdoc/>
    public Task DeleteAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(DeleteAsync), cancellationToken);
        lock (_gate)
        {
            var key = (storlink.Id, disk);
            if (_volumes.TryGetValue(key, out var volume) && IsOpen?.Invoke(Location(key, volume.Format)) == true)
            {
                throw new InUseException($"Disk {disk} is open.");
            }

            _volumes.Remove(key);
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public Task<Volume?> FindAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(FindAsync), cancellationToken);
        lock (_gate)
        {
            return Task.FromResult(_volumes.TryGetValue((storlink.Id, disk), out var volume) && volume.Complete && volume.Format == format
                ? new Volume(disk, format, volume.Size, volume.Size)
                : null);
        }
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<VolumeEntry> ListAsync(Storlink storlink, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(ListAsync), cancellationToken);
        List<VolumeEntry> entries;
        lock (_gate)
        {
            entries = [.. _volumes.Where(volume => volume.Key.Storlink == storlink.Id).Select(volume => new VolumeEntry(volume.Key.Disk, $"{volume.Key.Disk}.{volume.Value.Format.Name}", volume.Value.Complete))];
        }

        foreach (var entry in entries)
        {
            await Task.CompletedTask;
            yield return entry;
        }
    }

    /// <inheritdoc/>
    public Task GrowAsync(Storlink storlink, DiskId disk, DiskFormat format, DataSize size, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(GrowAsync), cancellationToken);
        lock (_gate)
        {
            var volume = Demand(storlink, disk);
            _volumes[(storlink.Id, disk)] = volume with { Size = volume.Size < size ? size : volume.Size };
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public Task<DiskLocation> AttachAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(AttachAsync), cancellationToken);
        lock (_gate)
        {
            Demand(storlink, disk);
            return Task.FromResult<DiskLocation>(Location((storlink.Id, disk), format));
        }
    }

    /// <inheritdoc/>
    public Task DetachAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken = default)
    {
        Enter(nameof(DetachAsync), cancellationToken);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<Volume> InspectImportAsync(Storlink storlink, DiskId disk, DiskFormat format, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(InspectImportAsync), cancellationToken);
        lock (_gate)
        {
            var volume = Demand(storlink, disk);
            return volume.Format == format
                ? Task.FromResult(new Volume(disk, format, volume.Size, volume.Size))
                : throw new StorageException($"Image {disk} on storlink '{storlink.Name}' is not {format.Name}.");
        }
    }

    /// <inheritdoc/>
    public bool TryGetFeature<TFeature>([NotNullWhen(true)] out TFeature? feature)
        where TFeature : class
    {
        feature = this as TFeature;
        return feature is not null;
    }

    private static FileLocation Location((StorlinkId Storlink, DiskId Disk) key, DiskFormat format) => new FileLocation($"/memory/{key.Storlink}/{key.Disk}.{format.Name}");

    private DataSize Used(StorlinkId storlink) => new(_volumes.Where(volume => volume.Key.Storlink == storlink).Sum(volume => volume.Value.Size.Bytes));

    private void Change(DiskLayer layer, Func<StoredVolume, StoredVolume> change)
    {
        lock (_gate)
        {
            _ = At(layer);
            var key = _volumes.First(volume => Location(volume.Key, volume.Value.Format) == layer.Location).Key;
            _volumes[key] = change(_volumes[key]);
        }
    }

    private StoredVolume At(DiskLayer layer) =>
        _volumes.FirstOrDefault(volume => Location(volume.Key, volume.Value.Format) == layer.Location).Value
        ?? throw new StorageException($"Could not open '{layer.Location}': No such file or directory");

    private StoredVolume Demand(Storlink storlink, DiskId disk) =>
        _volumes.TryGetValue((storlink.Id, disk), out var volume) && volume.Complete
            ? volume
            : throw new StorageException($"There is no image {disk} on storlink '{storlink.Name}'.");

    private void Enter(string verb, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Action? act = null;
        lock (_gate)
        {
            if (_faults.TryGetValue(verb, out var queue))
            {
                queue.TryDequeue(out act);
            }
        }

        act?.Invoke();
    }

    private sealed record StoredVolume(DiskFormat Format, DataSize Size, string Content, bool Complete)
    {
        public DiskLayer? Backing { get; init; }
    }
}
