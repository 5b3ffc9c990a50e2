using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Pengx.Testing;

/// <summary>Storage in memory: volumes with a content that copies carry along, and overlays that have of their own what was written to
/// them. It serves every storage link, and outlives a simulated restart of the service. <see cref="InMemoryDiskChains"/> works on its
/// chains.</summary>
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

    /// <summary>The content of a volume as a guest sees it: equal for a volume, its copies and an overlay that nothing was written to.</summary>
    /// <param name="disk">The disk.</param>
    /// <exception cref="StorageException">A volume beneath it is missing.</exception>
    public string? ContentOf(DiskId disk)
    {
        lock (_gate)
        {
            return _volumes.FirstOrDefault(volume => volume.Key.Disk == disk).Value is { } volume ? Seen(volume).ToString() : null;
        }
    }

    /// <summary>Writes to a volume, as a guest that runs on it does.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="place">Where: what is written to one place replaces what was there.</param>
    /// <param name="text">What.</param>
    /// <exception cref="StorageException">There is no such volume.</exception>
    public void Write(DiskId disk, int place, string text)
    {
        lock (_gate)
        {
            var (key, volume) = _volumes.FirstOrDefault(volume => volume.Key.Disk == disk);
            if (volume is null)
            {
                throw new StorageException($"There is no image {disk} to write to.");
            }

            _volumes[key] = volume with { Written = volume.Written.SetItem(place, text) };
        }
    }

    /// <summary>Undoes <see cref="Write(DiskId, int, string)"/> to a place that nothing was written to before.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="place">Where.</param>
    /// <exception cref="StorageException">There is no such volume.</exception>
    public void Unwrite(DiskId disk, int place)
    {
        lock (_gate)
        {
            var (key, volume) = _volumes.FirstOrDefault(volume => volume.Key.Disk == disk);
            if (volume is null)
            {
                throw new StorageException($"There is no image {disk}.");
            }

            _volumes[key] = volume with { Written = volume.Written.Remove(place) };
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
            return At(layer).Value.Backing;
        }
    }

    /// <summary>Writes to all of an image, as a guest does; the images that it is backed by stay as they are.</summary>
    /// <param name="layer">The image.</param>
    /// <param name="content">What it then shows.</param>
    public void Write(DiskLayer layer, string content)
    {
        ArgumentNullException.ThrowIfNull(layer);
        lock (_gate)
        {
            var (key, volume) = At(layer);
            _volumes[key] = volume with { Content = content, Written = volume.Written.Clear() };
        }
    }

    internal DataSize SizeOf(DiskLayer layer)
    {
        lock (_gate)
        {
            return At(layer).Value.Size;
        }
    }

    /// <summary>What an image shows with all beneath it, to tell later what was changed.</summary>
    internal Shown See(DiskLayer layer)
    {
        lock (_gate)
        {
            return new(Seen(At(layer).Value));
        }
    }

    /// <summary>Copies what an image shows into another one where it differs from what it showed before.</summary>
    /// <returns>How many places were copied.</returns>
    internal int CopyChanges(DiskLayer from, Shown before, DiskLayer into)
    {
        lock (_gate)
        {
            var (key, target) = At(into);
            (_volumes[key], var places) = target.Differing(Seen(At(from).Value), before.Content);
            return places;
        }
    }

    /// <summary>Merges an image, and what lies between, down into one that it is backed by, while a guest has them open. Where it lies
    /// beneath that one itself, that one shows the same already.</summary>
    internal void Commit(DiskLayer from, DiskLayer into)
    {
        lock (_gate)
        {
            var chain = ReadChain(from).ToList();
            if (chain.IndexOf(into) is >= 0 and var end)
            {
                Merge(chain[..(end + 1)]);
            }
        }
    }

    /// <summary>States what an image is backed by, while a guest has it open; what it shows stays the same, for it takes in what lay
    /// between.</summary>
    internal void Link(DiskLayer layer, DiskLayer? backing)
    {
        lock (_gate)
        {
            var chain = ReadChain(layer).ToList();
            var end = backing is null ? chain.Count : chain.IndexOf(backing);
            Pull(layer, chain.Take(end).Skip(1), backing);
        }
    }

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

                volume = new(spec.Format, spec.Size, $"empty {spec.Disk}", Complete: true);
                if (spec.Backing is { } backing)
                {
                    var beneath = Seen(At(backing).Value);
                    volume = volume with { Content = null, Backing = backing };
                    volume = spec.Source is { } shown ? volume.Differing(Seen(At(shown).Value), beneath).Volume : volume;
                }
                else if (spec.Source is { } source)
                {
                    volume = volume.Showing(Seen(At(source).Value));
                }

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
        var key = (storlink.Id, disk);
        StoredVolume? volume;
        lock (_gate)
        {
            volume = _volumes.GetValueOrDefault(key);
        }

        // Asked without the lock: whoever knows may be asking this storage at the same moment.
        if (volume is not null && IsOpen?.Invoke(Location(key, volume.Format)) == true)
        {
            throw new InUseException($"Disk {disk} is open.");
        }

        lock (_gate)
        {
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
                ? new Volume(disk, format, volume.Size, volume.Backing is null ? volume.Size : DataSize.FromMiB(volume.Written.Count))
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

    internal bool IsWritten(DiskLayer layer)
    {
        lock (_gate)
        {
            return At(layer).Value is { Backing: null } or { Content: not null } or { Written.Count: > 0 };
        }
    }

    internal IReadOnlyList<DiskLayer> ReadChain(DiskLayer top)
    {
        lock (_gate)
        {
            List<DiskLayer> layers = [top];
            while (At(layers[^1]).Value.Backing is { } backing)
            {
                layers.Add(backing);
            }

            return layers;
        }
    }

    internal void Commit(IReadOnlyList<DiskLayer> layers)
    {
        DemandClosed(layers);
        lock (_gate)
        {
            var real = ReadChain(layers[0]);
            if (!real.Take(layers.Count).SequenceEqual(layers))
            {
                throw new StorageException($"The image {layers[0].Location} does not lie on {layers[^1].Location} as was said.");
            }

            Merge(layers);
        }
    }

    internal void Stream(DiskLayer layer, DiskLayer? backing)
    {
        DemandClosed([layer]);
        lock (_gate)
        {
            var real = ReadChain(layer);
            var end = backing is null ? real.Count : real.ToList().IndexOf(backing);
            if (end < 1)
            {
                throw new StorageException($"The image {layer.Location} does not lie on {backing?.Location}.");
            }

            Pull(layer, real.Take(end).Skip(1), backing);
        }
    }

    internal void Relink(DiskLayer layer, DiskLayer? backing)
    {
        if (BackingOf(layer) == backing)
        {
            return;
        }

        DemandClosed([layer]);
        lock (_gate)
        {
            if (backing is not null && ReadChain(backing).Contains(layer))
            {
                throw new StorageException($"The image {layer.Location} cannot lie on {backing.Location}, which lies on it.");
            }

            var (key, volume) = At(layer);
            _volumes[key] = volume with { Backing = backing };
        }
    }

    private void DemandClosed(IReadOnlyList<DiskLayer> layers)
    {
        if (layers.FirstOrDefault(layer => IsOpen?.Invoke(layer.Location) == true) is { } open)
        {
            throw new InUseException($"The image {open.Location} is open.");
        }
    }

    private KeyValuePair<(StorlinkId Storlink, DiskId Disk), StoredVolume> At(DiskLayer layer)
    {
        var found = _volumes.FirstOrDefault(volume => volume.Value.Format == layer.Format && Location(volume.Key, volume.Value.Format) == layer.Location);
        return found.Value is null ? throw new StorageException($"Could not open '{layer.Location}': No such file or directory") : found;
    }

    private Content Seen(StoredVolume volume)
    {
        // Even what no longer counts must be there: a tool that opens a chain opens all of it.
        var beneath = volume.Backing is { } backing ? Seen(At(backing).Value) : null;
        return volume.Over(beneath);
    }

    private void Merge(IReadOnlyList<DiskLayer> layers)
    {
        foreach (var layer in layers.Reverse().Skip(1))
        {
            var upper = At(layer).Value;
            var (key, lowest) = At(layers[^1]);
            var merged = upper.Content is null ? lowest with { Written = lowest.Written.SetItems(upper.Written) } : lowest with { Content = upper.Content, Written = upper.Written };
            _volumes[key] = merged with { Size = upper.Size > lowest.Size ? upper.Size : lowest.Size };
        }
    }

    private void Pull(DiskLayer layer, IEnumerable<DiskLayer> between, DiskLayer? backing)
    {
        var (key, volume) = At(layer);
        foreach (var beneath in between.Select(one => At(one).Value))
        {
            volume = volume.Content is null ? volume with { Content = beneath.Content, Written = beneath.Written.SetItems(volume.Written) } : volume;
        }

        _volumes[key] = volume with { Backing = backing };
    }

    private StoredVolume Demand(Storlink storlink, DiskId disk) =>
        _volumes.TryGetValue((storlink.Id, disk), out var volume) && volume.Complete
            ? volume
            : throw new StorageException($"There is no image {disk} on storlink '{storlink.Name}'.");

    internal void Enter(string verb, CancellationToken cancellationToken)
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

    private sealed record StoredVolume(DiskFormat Format, DataSize Size, string? Content, bool Complete)
    {
        public ImmutableSortedDictionary<int, string> Written { get; init; } = ImmutableSortedDictionary<int, string>.Empty;

        public DiskLayer? Backing { get; init; }

        public StoredVolume Showing(Content content) => this with { Content = content.Origin, Written = content.Written };

        /// <summary>With what an image shows now where it differs from what it showed before, and in how many places.</summary>
        public (StoredVolume Volume, int Places) Differing(Content now, Content before)
        {
            if (now.Origin != before.Origin || before.Written.Keys.Except(now.Written.Keys).Any())
            {
                return (Showing(now), now.Written.Count + 1);
            }

            var changed = now.Written.Where(one => before.Written.GetValueOrDefault(one.Key) != one.Value).ToList();
            return (this with { Written = Written.SetItems(changed) }, changed.Count);
        }

        public Content Over(Content? beneath) => Content is not null || beneath is null
            ? new(Content ?? "", Written)
            : beneath with { Written = beneath.Written.SetItems(Written) };
    }

    internal sealed class Shown
    {
        private readonly Content _content;

        internal Shown(Content content) => _content = content;

        internal Content Content => _content;
    }

    internal sealed record Content(string Origin, ImmutableSortedDictionary<int, string> Written)
    {
        public override string ToString() => string.Join(", ", Written.Select(one => $"{one.Key}: {one.Value}").Prepend(Origin));
    }
}
