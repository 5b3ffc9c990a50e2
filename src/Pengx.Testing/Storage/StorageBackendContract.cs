using System.Globalization;
using Xunit;

namespace Pengx.Testing;

/// <summary>What every storage backend must do. A backend's tests inherit it and say where the storage lies; content is
/// written and read through QEMU's own tools, as a guest would.</summary>
public abstract class StorageBackendContract
{
    private static readonly DataSize Small = DataSize.FromMiB(8);
    private static readonly ProcessRunner Runner = new();

    /// <summary>The formats that volumes of the backend can have.</summary>
    protected virtual IReadOnlyList<DiskFormat> Formats => [DiskFormat.Raw, DiskFormat.Qcow2];

    /// <summary>The backend.</summary>
    protected abstract IStorageBackend Backend { get; }

    /// <summary>An empty storage link with at least 100 MiB free.</summary>
    protected abstract Storlink Storlink { get; }

    /// <summary>The running test's token.</summary>
    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>The storage link is served, usable, and has free space.</summary>
    [Fact]
    public async Task A_usable_storage_link_passes_and_is_measured()
    {
        Assert.True(Backend.Serves(Storlink));
        await Backend.CheckAsync(Storlink, Token);
        var capacity = await Backend.MeasureAsync(Storlink, Token);

        Assert.InRange(capacity.Size.Bytes, 1, long.MaxValue);
        Assert.InRange(capacity.Free.Bytes, 1, capacity.Size.Bytes);
        Assert.Empty(await ListAsync());
    }

    /// <summary>A new volume has its size and reads as zeros.</summary>
    [Fact]
    public async Task A_new_volume_has_its_size_and_is_empty()
    {
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            var volume = await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);

            Assert.Equal((spec.Disk, format, Small), (volume.Disk, volume.Format, volume.Size));
            Assert.Equal(volume, await Backend.FindAsync(Storlink, spec.Disk, format, Token));
            await AssertContentAsync(await LayerAsync(spec), 0, Small.Bytes, 0);
        }
    }

    /// <summary>Making a volume again leaves it as it is.</summary>
    [Fact]
    public async Task Creating_again_does_nothing()
    {
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            await WriteAsync(await LayerAsync(spec), 0, 65536, 0x5a);
            var again = await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);

            Assert.Equal(Small, again.Size);
            await AssertContentAsync(await LayerAsync(spec), 0, 65536, 0x5a);
        }
    }

    /// <summary>Two that make the same volume at once both succeed, and there is one.</summary>
    [Fact]
    public async Task Creating_twice_at_once_makes_one()
    {
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            var both = await Task.WhenAll(
                Backend.CreateAsync(Storlink, spec, cancellationToken: Token),
                Backend.CreateAsync(Storlink, spec, cancellationToken: Token));

            Assert.All(both, volume => Assert.Equal(Small, volume.Size));
            Assert.True(Assert.Single(await ListAsync(), entry => entry.Disk == spec.Disk).Complete);
        }
    }

    /// <summary>A copy has the content of its source, in every pair of formats, and may be larger.</summary>
    [Fact]
    public async Task A_copy_has_the_content_and_may_be_larger()
    {
        foreach (var from in Formats)
        {
            var source = Spec(from);
            await Backend.CreateAsync(Storlink, source, cancellationToken: Token);
            var layer = await LayerAsync(source);
            await WriteAsync(layer, 65536, 3 * 65536, 0x11);
            await WriteAsync(layer, Small.Bytes - 65536, 65536, 0x22);
            foreach (var to in Formats)
            {
                Recorder progress = new();
                var copy = Spec(to) with { Source = layer, Size = DataSize.FromMiB(12) };
                var volume = await Backend.CreateAsync(Storlink, copy, progress, Token);

                Assert.Equal(DataSize.FromMiB(12), volume.Size);
                var copied = await LayerAsync(copy);
                await AssertContentAsync(copied, 0, 65536, 0);
                await AssertContentAsync(copied, 65536, 3 * 65536, 0x11);
                await AssertContentAsync(copied, Small.Bytes - 65536, 65536, 0x22);
                await AssertContentAsync(copied, Small.Bytes, DataSize.FromMiB(4).Bytes, 0);
                Assert.Equal(new(Small.Bytes, Small.Bytes), progress.Last);
                Assert.True(progress.IsMonotonic);
            }
        }
    }

    /// <summary>A copy into too small a volume is refused and leaves nothing.</summary>
    [Fact]
    public async Task A_copy_into_too_small_a_volume_is_refused()
    {
        foreach (var format in Formats)
        {
            var source = Spec(format);
            await Backend.CreateAsync(Storlink, source, cancellationToken: Token);
            var copy = Spec(format) with { Source = await LayerAsync(source), Size = DataSize.FromMiB(4) };
            var failure = await Assert.ThrowsAsync<StorageException>(() => Backend.CreateAsync(Storlink, copy, cancellationToken: Token));

            Assert.Contains("8 MiB", failure.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(await ListAsync(), entry => entry.Disk == copy.Disk);
        }
    }

    /// <summary>A volume larger than the storage is refused with the figures and leaves nothing.</summary>
    [Fact]
    public async Task A_volume_larger_than_the_storage_is_refused()
    {
        foreach (var format in Formats)
        {
            var spec = Spec(format) with { Size = DataSize.FromGiB(512 * 1024) };
            var failure = await Assert.ThrowsAsync<InsufficientResourceException>(() => Backend.CreateAsync(Storlink, spec, cancellationToken: Token));

            Assert.Contains("MiB", failure.Message, StringComparison.Ordinal);
            Assert.Empty(await ListAsync());
        }
    }

    /// <summary>A size that no disk can have is refused.</summary>
    [Fact]
    public async Task A_size_that_no_disk_can_have_is_refused()
    {
        foreach (var bytes in new long[] { 0, -512, 511, 1_000_001 })
        {
            await Assert.ThrowsAsync<ArgumentException>(() => Backend.CreateAsync(Storlink, Spec(Formats[0]) with { Size = new(bytes) }, cancellationToken: Token));
        }
    }

    /// <summary>An overlay shows what is beneath it and keeps what is written to it for itself.</summary>
    [Fact]
    public async Task An_overlay_shows_what_is_beneath()
    {
        Assert.SkipUnless(Formats.Contains(DiskFormat.Qcow2), "The backend has no overlays.");
        foreach (var format in Formats)
        {
            var below = Spec(format);
            await Backend.CreateAsync(Storlink, below, cancellationToken: Token);
            var backing = await LayerAsync(below);
            await WriteAsync(backing, 0, 131072, 0x33);
            var spec = Spec(DiskFormat.Qcow2) with { Backing = backing, Size = DataSize.FromMiB(16) };
            var volume = await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            var overlay = await LayerAsync(spec);
            await WriteAsync(overlay, 0, 65536, 0x44);

            Assert.Equal(DataSize.FromMiB(16), volume.Size);
            await AssertContentAsync(overlay, 0, 65536, 0x44);
            await AssertContentAsync(overlay, 65536, 65536, 0x33);
            await AssertContentAsync(backing, 0, 131072, 0x33);

            // A copy of it stands alone.
            var flat = Spec(DiskFormat.Qcow2) with { Source = overlay, Size = DataSize.FromMiB(16) };
            await Backend.CreateAsync(Storlink, flat, cancellationToken: Token);
            await Backend.DeleteAsync(Storlink, spec.Disk, Token);
            await Backend.DeleteAsync(Storlink, below.Disk, Token);
            await AssertContentAsync(await LayerAsync(flat), 0, 65536, 0x44);
            await AssertContentAsync(await LayerAsync(flat), 65536, 65536, 0x33);
        }
    }

    /// <summary>A removed volume is gone; removing it again succeeds.</summary>
    [Fact]
    public async Task Deleting_removes_and_can_be_repeated()
    {
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            await Backend.DeleteAsync(Storlink, spec.Disk, Token);
            await Backend.DeleteAsync(Storlink, spec.Disk, Token);

            Assert.Null(await Backend.FindAsync(Storlink, spec.Disk, format, Token));
            Assert.Empty(await ListAsync());
        }
    }

    /// <summary>A volume that something has open is not removed.</summary>
    [Fact]
    public async Task A_volume_in_use_is_not_deleted()
    {
        Requires.Tool("qemu-io", "qemu");
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            await WhileOpenAsync(await LayerAsync(spec), async () =>
            {
                var failure = await Assert.ThrowsAsync<InUseException>(() => Backend.DeleteAsync(Storlink, spec.Disk, Token));
                Assert.Contains(spec.Disk.ToString(), failure.Message, StringComparison.Ordinal);
                await Assert.ThrowsAsync<InUseException>(() => Backend.GrowAsync(Storlink, spec.Disk, format, DataSize.FromMiB(16), Token));
            });

            Assert.Equal(Small, (await Backend.FindAsync(Storlink, spec.Disk, format, Token))?.Size);
            await Backend.DeleteAsync(Storlink, spec.Disk, Token);
        }
    }

    /// <summary>Every volume is listed by its disk.</summary>
    [Fact]
    public async Task Listing_tells_every_volume()
    {
        List<DiskId> made = [];
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            made.Add(spec.Disk);
        }

        var entries = await ListAsync();
        Assert.All(entries, entry => Assert.True(entry.Complete));
        Assert.Equal(made.OrderBy(disk => disk.Value), entries.Select(entry => entry.Disk).OrderBy(disk => disk.Value));
    }

    /// <summary>Growing keeps the content; a size that is reached already changes nothing.</summary>
    [Fact]
    public async Task Growing_keeps_the_content_and_never_shrinks()
    {
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            await WriteAsync(await LayerAsync(spec), Small.Bytes - 65536, 65536, 0x66);
            await Backend.GrowAsync(Storlink, spec.Disk, format, DataSize.FromMiB(20), Token);
            await Backend.GrowAsync(Storlink, spec.Disk, format, DataSize.FromMiB(20), Token);
            await Backend.GrowAsync(Storlink, spec.Disk, format, DataSize.FromMiB(10), Token);

            Assert.Equal(DataSize.FromMiB(20), (await Backend.FindAsync(Storlink, spec.Disk, format, Token))?.Size);
            await AssertContentAsync(await LayerAsync(spec), Small.Bytes - 65536, 65536, 0x66);
            await AssertContentAsync(await LayerAsync(spec), Small.Bytes, DataSize.FromMiB(12).Bytes, 0);
        }
    }

    /// <summary>Attaching twice gives the same place; what does not exist cannot be attached, but can be detached.</summary>
    [Fact]
    public async Task Attaching_is_repeatable_and_needs_a_volume()
    {
        foreach (var format in Formats)
        {
            var spec = Spec(format);
            await Assert.ThrowsAsync<StorageException>(() => Backend.AttachAsync(Storlink, spec.Disk, format, Token));
            Assert.Null(await Backend.FindAsync(Storlink, spec.Disk, format, Token));
            await Backend.DetachAsync(Storlink, spec.Disk, Token);

            await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            Assert.Equal(await Backend.AttachAsync(Storlink, spec.Disk, format, Token), await Backend.AttachAsync(Storlink, spec.Disk, format, Token));
            await Backend.DetachAsync(Storlink, spec.Disk, Token);
            await Backend.DetachAsync(Storlink, spec.Disk, Token);
        }
    }

    /// <summary>A cancelled creation leaves nothing, and can be done again.</summary>
    [Fact]
    public async Task A_cancelled_creation_leaves_nothing()
    {
        foreach (var format in Formats)
        {
            var source = Spec(format) with { Size = DataSize.FromMiB(64) };
            await Backend.CreateAsync(Storlink, source, cancellationToken: Token);
            await WriteAsync(await LayerAsync(source), 0, DataSize.FromMiB(64).Bytes, 0x77);
            using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
            Recorder progress = new() { OnReport = cancel.Cancel };

            // The last format needs a conversion wherever there are two.
            var copy = Spec(Formats[^1]) with { Source = await LayerAsync(source), Size = DataSize.FromMiB(64) };
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Backend.CreateAsync(Storlink, copy, progress, cancel.Token));

            Assert.DoesNotContain(await ListAsync(), entry => entry.Disk == copy.Disk);
            Assert.Equal(copy.Size, (await Backend.CreateAsync(Storlink, copy, cancellationToken: Token)).Size);
        }
    }

    /// <summary>A qcow2 header that a guest wrote into its raw disk stays the guest's bytes, through every verb.</summary>
    [Fact]
    public async Task A_header_that_a_guest_wrote_into_a_raw_disk_stays_bytes()
    {
        Assert.SkipUnless(Formats.Contains(DiskFormat.Raw), "The backend has no raw volumes.");
        var secret = Path.GetTempFileName();
        var header = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(secret, [.. Enumerable.Repeat((byte)'S', 65536)], Token);
            await RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, header, "8M");
            var spec = Spec(DiskFormat.Raw);
            await Backend.CreateAsync(Storlink, spec, cancellationToken: Token);
            var planted = await LayerAsync(spec);
            await RunAsync("qemu-io", "-f", "raw", "-c", $"write -s {header} 0 65536", PathOf(planted));

            Assert.Equal(Small, (await Backend.FindAsync(Storlink, spec.Disk, DiskFormat.Raw, Token))?.Size);
            foreach (var to in Formats)
            {
                var copy = Spec(to) with { Source = planted };
                var volume = await Backend.CreateAsync(Storlink, copy, cancellationToken: Token);
                Assert.Equal(Small, volume.Size);
                var copied = await LayerAsync(copy);
                await RunAsync("qemu-img", "compare", "-f", "raw", "-F", to.Name, PathOf(planted), PathOf(copied));

                // The header's bytes are there, and the secret's are not.
                await RunAsync("qemu-io", "-f", to.Name, "-c", "read -P 0x51 0 1", PathOf(copied));
            }

            await Backend.GrowAsync(Storlink, spec.Disk, DiskFormat.Raw, DataSize.FromMiB(16), Token);
            Assert.Equal(DataSize.FromMiB(16), (await Backend.FindAsync(Storlink, spec.Disk, DiskFormat.Raw, Token))?.Size);
            await Backend.DeleteAsync(Storlink, spec.Disk, Token);
            Assert.True(File.Exists(secret));
        }
        finally
        {
            File.Delete(secret);
            File.Delete(header);
        }
    }

    /// <summary>A volume to make: a fresh disk of 8 MiB.</summary>
    /// <param name="format">Its format.</param>
    protected static VolumeSpec Spec(DiskFormat format) => new() { Disk = DiskId.New(), Format = format, Size = Small };

    /// <summary>Where a volume lies.</summary>
    /// <param name="spec">What was made.</param>
    protected async Task<DiskLayer> LayerAsync(VolumeSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        return new(await Backend.AttachAsync(Storlink, spec.Disk, spec.Format, Token), spec.Format);
    }

    /// <summary>All entries of the storage link.</summary>
    protected async Task<IReadOnlyList<VolumeEntry>> ListAsync()
    {
        List<VolumeEntry> entries = [];
        await foreach (var entry in Backend.ListAsync(Storlink, Token))
        {
            entries.Add(entry);
        }

        return entries;
    }

    /// <summary>Fills a part of a volume with one byte's value, as a guest would.</summary>
    /// <param name="layer">The volume.</param>
    /// <param name="offset">Where to begin.</param>
    /// <param name="length">How many bytes.</param>
    /// <param name="value">The byte.</param>
    protected static async Task WriteAsync(DiskLayer layer, long offset, long length, byte value)
    {
        ArgumentNullException.ThrowIfNull(layer);
        Requires.Tool("qemu-io", "qemu");
        await RunAsync("qemu-io", "-f", layer.Format.Name, "-c", string.Create(CultureInfo.InvariantCulture, $"write -P {value} {offset} {length}"), PathOf(layer));
    }

    /// <summary>Fails unless a part of a volume is filled with one byte's value, as a guest sees it.</summary>
    /// <param name="layer">The volume.</param>
    /// <param name="offset">Where to begin.</param>
    /// <param name="length">How many bytes.</param>
    /// <param name="value">The byte.</param>
    protected static async Task AssertContentAsync(DiskLayer layer, long offset, long length, byte value)
    {
        ArgumentNullException.ThrowIfNull(layer);
        Requires.Tool("qemu-io", "qemu");
        var result = await RunAsync("qemu-io", "-f", layer.Format.Name, "-c", string.Create(CultureInfo.InvariantCulture, $"read -P {value} {offset} {length}"), PathOf(layer));
        Assert.DoesNotContain("verification failed", result.Output, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Runs something while a program has a volume open for writing.</summary>
    /// <param name="layer">The volume.</param>
    /// <param name="work">What to do meanwhile.</param>
    protected static async Task WhileOpenAsync(DiskLayer layer, Func<Task> work)
    {
        ArgumentNullException.ThrowIfNull(layer);
        ArgumentNullException.ThrowIfNull(work);
        using var close = CancellationTokenSource.CreateLinkedTokenSource(Token);
        TaskCompletionSource opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ProcessCommand hold = new()
        {
            FileName = "qemu-io",

            // The dump is larger than the tool's output buffer, so its first lines come while the image stays open.
            Arguments = ["-f", layer.Format.Name, "-c", "read -v 0 16384", "-c", "sleep 50000", PathOf(layer)],
            OnOutputLine = _ => opened.TrySetResult(),
        };
        var holder = Runner.RunAsync(hold, close.Token);
        try
        {
            await Task.WhenAny(opened.Task, holder);
            Assert.False(holder.IsCompleted);
            await work();
        }
        finally
        {
            await close.CancelAsync();
            await ((Task)holder).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>What QEMU's tools call an image.</summary>
    private static string PathOf(DiskLayer layer) => layer.Location is RbdLocation rbd
        ? $"rbd:{rbd}{(rbd.ConfigurationFile is { } file ? $":conf={file}" : "")}{(rbd.User is { } user ? $":id={user}" : "")}"
        : layer.Location.ToString() ?? "";

    private static async Task<ProcessResult> RunAsync(string program, params string[] arguments)
    {
        Requires.Tool(program, "qemu");
        return (await Runner.RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess();
    }

    private sealed class Recorder : IProgress<ByteProgress>
    {
        private readonly Lock _gate = new();

        public ByteProgress Last { get; private set; }

        public bool IsMonotonic { get; private set; } = true;

        public Action? OnReport { get; init; }

        public void Report(ByteProgress value)
        {
            lock (_gate)
            {
                IsMonotonic &= value.Done >= Last.Done;
                Last = value;
            }

            OnReport?.Invoke();
        }
    }
}
