using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>qcow2 images in RBD images, and the chains that they make with each other and with files, on a real cluster.</summary>
public sealed class RbdOverlayTests : IAsyncLifetime
{
    private const long MiB = 1024 * 1024;
    private static readonly DataSize s_size = DataSize.FromMiB(8);

    private readonly CephCluster _cluster;
    private readonly RbdBench _bench;
    private readonly ProcessRunner _runner = new();
    private readonly ImageChains _chains;
    private readonly TemporaryStorlink _files = new();

    public RbdOverlayTests(CephCluster cluster)
    {
        _cluster = cluster;
        _bench = new(cluster, CephCluster.OverlayPool);
        _chains = new(_runner);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private RbdStorage Storage => _bench.Storage;

    private Storlink Storlink => _bench.Storlink;

    public async ValueTask InitializeAsync()
    {
        await _cluster.RequireAsync();
        Requires.Tool("qemu-io", "qemu");
    }

    public async ValueTask DisposeAsync()
    {
        await _bench.DisposeAsync();
        _files.Dispose();
    }

    [Fact]
    public async Task An_overlay_names_what_it_lies_on_in_one_form_without_a_secret_and_is_as_large_as_its_tables_need()
    {
        var (_, below) = await CreateAsync();
        var (spec, overlay) = await CreateAsync(below, s_size);
        var header = await new ImageTool(_runner).HeaderOfAsync(overlay, Token);
        Assert.Equal(BackingReference.Write(below.Location), header.BackingFile);
        Assert.Equal(below.Location, BackingReference.ReadRbd(header.BackingFile!));
        Assert.Equal(("raw", s_size), (header.BackingFormat, header.Size));
        var key = (await File.ReadAllTextAsync(_cluster.Keyring, Token)).Split("key = ")[1].Split('\n')[0].Trim();
        Assert.DoesNotContain(key, header.BackingFile, StringComparison.Ordinal);

        // All of it can be written: with its tables it needs more than the guest sees.
        await WriteAsync(overlay, 0, s_size.Bytes, 0x11);
        await AssertContentAsync(overlay, 0, s_size.Bytes, 0x11);
        var volume = await Storage.FindAsync(Storlink, spec.Disk, DiskFormat.Qcow2, Token);
        Assert.Equal(s_size, volume?.Size);
        Assert.True(volume!.Allocated >= s_size, volume.ToString());
        Assert.Equal(0, (await new ImageTool(_runner).CheckAsync(overlay, Token)).Errors);
    }

    [Fact]
    public async Task A_format_is_noted_and_never_guessed()
    {
        var (raw, below) = await CreateAsync();
        var (overlay, _) = await CreateAsync(below, s_size);

        // A guest that writes a header into its raw disk does not make a qcow2 image of it, whatever a row says.
        foreach (var (disk, wrong) in new[] { (raw.Disk, DiskFormat.Qcow2), (overlay.Disk, DiskFormat.Raw) })
        {
            // Of one that remembers and one that does not.
            foreach (var storage in new[] { Storage, RbdBench.Create(_bench.Options) })
            {
                foreach (var act in new Func<Task>[]
                {
                    () => storage.FindAsync(Storlink, disk, wrong, Token),
                    () => storage.AttachAsync(Storlink, disk, wrong, Token),
                    () => storage.GrowAsync(Storlink, disk, wrong, DataSize.FromMiB(16), Token),
                })
                {
                    Assert.Contains("neither is guessed", (await Assert.ThrowsAsync<StorageException>(act)).Message, StringComparison.Ordinal);
                }
            }
        }

        Assert.True(await Storage.CanCloneAsync(Storlink, raw.Disk, Token));
        Assert.False(await Storage.CanCloneAsync(Storlink, overlay.Disk, Token));
        await Assert.ThrowsAsync<StorageException>(() => Storage.CloneAsync(Storlink, overlay.Disk, Spec(DiskFormat.Raw), Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => Storage.CloneAsync(Storlink, raw.Disk, Spec(DiskFormat.Qcow2), Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => Storage.InspectImportAsync(Storlink, overlay.Disk, DiskFormat.Qcow2, Token));
        Assert.Equal(2, (await _bench.ListAsync(Token)).Count);
    }

    [Fact]
    public async Task A_chain_in_a_pool_and_in_files_is_read_merged_pulled_up_and_linked_anew()
    {
        // From the top: a file, three in the pool, a raw one in the pool. Each has a MiB of its own.
        var (_, lowest) = await CreateAsync();
        await WriteAsync(lowest, 0, 5 * MiB, 1);
        List<DiskLayer> chain = [lowest];
        for (var index = 2; index <= 4; index++)
        {
            chain.Insert(0, (await CreateAsync(chain[0], s_size)).Layer);
            await WriteAsync(chain[0], (index - 1) * MiB, MiB, index);
        }

        LocalStorage local = new(_runner);
        var top = Spec(DiskFormat.Qcow2) with { Backing = chain[0] };
        await local.CreateAsync(_files.Storlink, top, cancellationToken: Token);
        chain.Insert(0, new(await local.AttachAsync(_files.Storlink, top.Disk, DiskFormat.Qcow2, Token), DiskFormat.Qcow2));
        await WriteAsync(chain[0], 4 * MiB, MiB, 5);
        await AssertSeenAsync();
        Assert.Equal(chain, await _chains.ReadAsync(chain[0], Token));
        Assert.True(await _chains.IsWrittenAsync(chain[1], Token));

        // Two at once down into a third: all above show the same before and after they are linked anew, and twice is once.
        await _chains.CommitAsync([chain[1], chain[2], chain[3]], cancellationToken: Token);
        await AssertSeenAsync();
        await _chains.CommitAsync([chain[1], chain[2], chain[3]], cancellationToken: Token);
        await _chains.RelinkAsync(chain[0], chain[3], Token);
        chain.RemoveRange(1, 2);
        Assert.Equal(chain, await _chains.ReadAsync(chain[0], Token));
        await AssertSeenAsync();

        // Down into the raw one, from the pool; then up into the pool's, which stands alone by then.
        await _chains.CommitAsync([chain[1], chain[2]], cancellationToken: Token);
        await _chains.RelinkAsync(chain[0], chain[2], Token);
        chain.RemoveAt(1);
        await AssertSeenAsync();
        var (_, upper) = await CreateAsync(chain[1], s_size);
        Assert.False(await _chains.IsWrittenAsync(upper, Token));
        await Assert.ThrowsAsync<StorageException>(() => _chains.StreamAsync(upper, chain[0], cancellationToken: Token));
        await _chains.StreamAsync(upper, null, cancellationToken: Token);
        await _chains.StreamAsync(upper, null, cancellationToken: Token);
        Assert.Equal([upper], await _chains.ReadAsync(upper, Token));
        await _chains.RelinkAsync(chain[0], upper, Token);
        chain[1] = upper;
        await AssertSeenAsync();
        await Assert.ThrowsAsync<StorageException>(() => _chains.CommitAsync([chain[0], lowest], cancellationToken: Token));
        await Assert.ThrowsAsync<StorageException>(() => _chains.RelinkAsync(upper, chain[0], Token));

        async Task AssertSeenAsync()
        {
            for (var index = 1; index <= 5; index++)
            {
                await AssertContentAsync(chain[0], (index - 1) * MiB, MiB, index);
            }

            await AssertContentAsync(chain[0], 5 * MiB, 3 * MiB, 0);
        }
    }

    [Fact]
    public async Task What_a_guest_of_this_host_has_open_is_copied_once_it_is_vouched_for_and_what_another_host_has_is_not()
    {
        var (_, below) = await CreateAsync();
        await WriteAsync(below, 0, MiB, 0x22);
        var (_, overlay) = await CreateAsync(below, s_size);
        await WriteAsync(overlay, MiB, MiB, 0x33);
        RbdStorage other = new(_runner, _bench.Options) { IsOwnAddress = static _ => false };
        using var close = CancellationTokenSource.CreateLinkedTokenSource(Token);
        TaskCompletionSource opened = new(TaskCreationOptions.RunContinuationsAsynchronously);

        // The dump is larger than the tool's output buffer, so its first lines come while the images stay open.
        var holder = _runner.RunAsync(
            new() { FileName = "qemu-io", Arguments = ["-f", "qcow2", "-c", "read -v 0 16384", "-c", "sleep 50000", ImageTool.NameOf(overlay)], OnOutputLine = _ => opened.TrySetResult() },
            close.Token);
        try
        {
            await Task.WhenAny(opened.Task, holder);
            Assert.False(holder.IsCompleted);

            // An overlay is laid upon what is open; a copy of it would be torn.
            await CreateAsync(overlay, s_size);
            foreach (var format in new[] { DiskFormat.Raw, DiskFormat.Qcow2 })
            {
                var copy = Spec(format) with { Source = overlay };
                await Assert.ThrowsAsync<InUseException>(() => Storage.CreateAsync(Storlink, copy, cancellationToken: Token));
                await Assert.ThrowsAsync<InUseException>(() => other.CreateAsync(Storlink, copy with { IsSourceFrozen = true }, cancellationToken: Token));
                await Storage.CreateAsync(Storlink, copy with { IsSourceFrozen = true }, cancellationToken: Token);
                var made = await LayerAsync(copy);
                await AssertContentAsync(made, 0, MiB, 0x22);
                await AssertContentAsync(made, MiB, MiB, 0x33);
                Assert.Equal([made], await _chains.ReadAsync(made, Token));
            }
        }
        finally
        {
            await close.CancelAsync();
            await ((Task)holder).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }
    }

    [Fact]
    public async Task An_overlay_grows_beyond_what_it_lies_on()
    {
        var (_, below) = await CreateAsync();
        await WriteAsync(below, 0, s_size.Bytes, 0x44);
        var (spec, overlay) = await CreateAsync(below, s_size);
        await Assert.ThrowsAsync<StorageException>(() => Storage.CreateAsync(Storlink, Spec(DiskFormat.Qcow2) with { Backing = below, Size = DataSize.FromMiB(4) }, cancellationToken: Token));
        await Storage.GrowAsync(Storlink, spec.Disk, DiskFormat.Qcow2, DataSize.FromMiB(24), Token);
        Assert.Equal(DataSize.FromMiB(24), (await Storage.FindAsync(Storlink, spec.Disk, DiskFormat.Qcow2, Token))?.Size);
        await AssertContentAsync(overlay, 0, s_size.Bytes, 0x44);
        await AssertContentAsync(overlay, s_size.Bytes, DataSize.FromMiB(16).Bytes, 0);
        await WriteAsync(overlay, 0, DataSize.FromMiB(24).Bytes, 0x55);
        await AssertContentAsync(overlay, 0, DataSize.FromMiB(24).Bytes, 0x55);
    }

    private static VolumeSpec Spec(DiskFormat format) => new() { Disk = DiskId.New(), Format = format, Size = s_size };

    private async Task<(VolumeSpec Spec, DiskLayer Layer)> CreateAsync(DiskLayer? backing = null, DataSize? size = null)
    {
        var spec = Spec(backing is null ? DiskFormat.Raw : DiskFormat.Qcow2) with { Backing = backing, Size = size ?? s_size };
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        return (spec, await LayerAsync(spec));
    }

    private async Task<DiskLayer> LayerAsync(VolumeSpec spec) => new(await Storage.AttachAsync(Storlink, spec.Disk, spec.Format, Token), spec.Format);

    private async Task WriteAsync(DiskLayer layer, long offset, long length, int value) => await RunAsync(layer, $"write -P {value} {offset} {length}");

    private async Task AssertContentAsync(DiskLayer layer, long offset, long length, int value) =>
        Assert.DoesNotContain("verification failed", (await RunAsync(layer, $"read -P {value} {offset} {length}")).Output, StringComparison.OrdinalIgnoreCase);

    private async Task<ProcessResult> RunAsync(DiskLayer layer, string command) => (await _runner.RunAsync(
        new() { FileName = "qemu-io", Arguments = ["-f", layer.Format.Name, "-c", command, ImageTool.NameOf(layer)] }, Token)).EnsureSuccess();
}
