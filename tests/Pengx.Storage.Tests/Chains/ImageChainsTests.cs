using Pengx.Testing;
using static Pengx.Storage.Tests.TestImages;

namespace Pengx.Storage.Tests;

public sealed class ImageChainsTests : IDisposable
{
    private const long MiB = 1024 * 1024;

    private readonly TemporaryStorlink _directory = new();
    private readonly ImageChains _chains = new(new ProcessRunner());

    public ImageChainsTests()
    {
        Requires.Tool("qemu-img", "qemu");
        Requires.Tool("qemu-io", "qemu");
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task A_chain_is_read_from_the_images(DiskFormat lowest)
    {
        var chain = await ChainAsync(lowest, 4);
        Assert.Equal(chain, await _chains.ReadAsync(chain[0], Token));
        Assert.Equal([chain[^1]], await _chains.ReadAsync(chain[^1], Token));
    }

    [Theory]
    [InlineData(DiskFormat.Raw, 4, 0, 3)]
    [InlineData(DiskFormat.Qcow2, 4, 0, 1)]
    [InlineData(DiskFormat.Qcow2, 4, 1, 2)]
    [InlineData(DiskFormat.Raw, 5, 1, 4)]
    [InlineData(DiskFormat.Qcow2, 5, 1, 3)]
    public async Task A_merge_down_shows_every_layer_above_the_same_before_halfway_and_after(DiskFormat lowest, int length, int from, int into)
    {
        var chain = await ChainAsync(lowest, length);
        var seenTop = await SeenAsync(chain[0]);
        var seenMerged = await SeenAsync(chain[from]);
        var merged = chain[from..(into + 1)];
        await _chains.CommitAsync(merged, cancellationToken: Token);

        // Nobody is linked anew yet: everything above still shows the same, and a repetition changes nothing.
        await AssertSameAsync(chain[0], seenTop);
        Assert.Equal(chain, await _chains.ReadAsync(chain[0], Token));
        await _chains.CommitAsync(merged, cancellationToken: Token);
        await AssertSameAsync(chain[into], seenMerged);

        if (from > 0)
        {
            await _chains.RelinkAsync(chain[from - 1], chain[into], Token);
            await _chains.RelinkAsync(chain[from - 1], chain[into], Token);
            DeleteAll(chain[from..into]);
            Assert.Equal([.. chain[..from], .. chain[into..]], await _chains.ReadAsync(chain[0], Token));
            await AssertSameAsync(chain[0], seenTop);
        }
    }

    [Fact]
    public async Task A_merge_into_a_smaller_image_lets_it_grow()
    {
        var below = await CreateRawAsync(_directory.PathOf("below"), 8 * MiB);
        var top = Qcow2(_directory.PathOf("top"));
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", "raw", "-b", PathOf(below), PathOf(top), "12M");
        await WriteAsync(top, 11 * MiB, 4096, 0x44);
        var seen = await SeenAsync(top);
        List<ByteProgress> progress = [];
        await _chains.CommitAsync([top, below], new Reports(progress.Add), Token);

        Assert.Equal(12 * MiB, new FileInfo(PathOf(below)).Length);
        await AssertSameAsync(below, seen);
        Assert.Equal(new ByteProgress(12 * MiB, 12 * MiB), progress[^1]);
    }

    [Theory]
    [InlineData(4, 0, 2)]
    [InlineData(4, 0, null)]
    [InlineData(4, 1, 3)]
    [InlineData(3, 1, null)]
    public async Task A_pull_up_shows_the_same_without_the_layers_between(int length, int layer, int? onto)
    {
        var chain = await ChainAsync(DiskFormat.Raw, length);
        var seen = await SeenAsync(chain[layer]);
        var backing = onto is { } index ? chain[index] : null;
        List<ByteProgress> progress = [];
        await _chains.StreamAsync(chain[layer], backing, new Reports(progress.Add), Token);
        await _chains.StreamAsync(chain[layer], backing, cancellationToken: Token);

        IReadOnlyList<DiskLayer> rest = onto is { } kept ? chain[kept..] : [];
        Assert.Equal([chain[layer], .. rest], await _chains.ReadAsync(chain[layer], Token));
        DeleteAll(chain[(layer + 1)..(onto ?? chain.Length)]);
        await AssertSameAsync(chain[layer], seen);
        Assert.Equal(progress[^1].Total, progress[^1].Done);
    }

    [Fact]
    public async Task A_raw_layer_stays_raw_whatever_a_guest_wrote_into_it()
    {
        // The guest's own bytes are a qcow2 header that names a file of the host.
        var secret = await CreateFullAsync(_directory.PathOf("secret"), DataSize.FromMiB(1));
        var hostile = Qcow2(_directory.PathOf("hostile"));
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", "raw", "-b", PathOf(secret), PathOf(hostile));
        var below = Raw(_directory.PathOf("below"));
        await using (var file = File.Create(PathOf(below)))
        {
            await file.WriteAsync(await File.ReadAllBytesAsync(PathOf(hostile), Token), Token);
            file.SetLength(16 * MiB);
        }

        var middle = await OverlayAsync(below, _directory.PathOf("middle"));
        var top = await OverlayAsync(middle, _directory.PathOf("top"));
        await WriteAsync(top, 12 * MiB, 4096, 0x55);
        var seen = await SeenAsync(top);
        Assert.Equal([top, middle, below], await _chains.ReadAsync(top, Token));
        await _chains.StreamAsync(top, below, cancellationToken: Token);
        await _chains.CommitAsync([top, below], cancellationToken: Token);
        await AssertSameAsync(below, seen);
        Assert.Equal(0, await CountAsync(below, secret));
    }

    [Fact]
    public async Task What_is_not_the_chain_that_was_named_is_refused_and_left_alone()
    {
        var chain = await ChainAsync(DiskFormat.Raw, 4);
        var bytes = await BytesAsync(chain);
        var failure = await Assert.ThrowsAsync<StorageException>(() => _chains.CommitAsync([chain[0], chain[2]], cancellationToken: Token));
        Assert.Contains(PathOf(chain[1]), failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<StorageException>(() => _chains.CommitAsync([chain[0], chain[1] with { Format = DiskFormat.Raw }], cancellationToken: Token));
        await Assert.ThrowsAsync<StorageException>(() => _chains.StreamAsync(chain[1], chain[0], cancellationToken: Token));
        Assert.Contains("lies on it", (await Assert.ThrowsAsync<StorageException>(() => _chains.RelinkAsync(chain[2], chain[0], Token))).Message, StringComparison.Ordinal);
        Assert.Contains("is raw", (await Assert.ThrowsAsync<StorageException>(() => _chains.RelinkAsync(chain[3], null, Token))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ArgumentException>(() => _chains.CommitAsync([chain[0]], cancellationToken: Token));
        Assert.Equal(bytes, await BytesAsync(chain));
    }

    [Fact]
    public async Task A_chain_without_a_format_is_refused()
    {
        var below = await CreateRawAsync(_directory.PathOf("below"));
        var top = Qcow2(_directory.PathOf("top"));
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", "raw", "-b", PathOf(below), PathOf(top));

        // The header's word for the format becomes an extension that nobody knows.
        var bytes = await File.ReadAllBytesAsync(PathOf(top), Token);
        var at = bytes.AsSpan().IndexOf([(byte)0xe2, (byte)0x79, (byte)0x2a, (byte)0xca]);
        Assert.InRange(at, 72, 1024);
        bytes[at] = 0x11;
        await File.WriteAllBytesAsync(PathOf(top), bytes, Token);
        await Assert.ThrowsAsync<StorageException>(() => _chains.ReadAsync(top, Token));
        await Assert.ThrowsAsync<StorageException>(() => _chains.CommitAsync([top, below], cancellationToken: Token));
    }

    [Fact]
    public async Task A_chain_that_a_guest_runs_on_is_not_touched()
    {
        var chain = await ChainAsync(DiskFormat.Raw, 3);
        var bytes = await BytesAsync(chain[1..]);
        await using (await OpenImage.ForWritingAsync(chain[0]))
        {
            var failure = await Assert.ThrowsAsync<InUseException>(() => _chains.CommitAsync([chain[1], chain[2]], cancellationToken: Token));
            Assert.Contains("lock", failure.Message, StringComparison.Ordinal);
            await Assert.ThrowsAsync<InUseException>(() => _chains.CommitAsync([.. chain], cancellationToken: Token));
            await Assert.ThrowsAsync<InUseException>(() => _chains.StreamAsync(chain[0], null, cancellationToken: Token));
            await Assert.ThrowsAsync<InUseException>(() => _chains.StreamAsync(chain[1], null, cancellationToken: Token));
            await Assert.ThrowsAsync<InUseException>(() => _chains.RelinkAsync(chain[0], chain[2], Token));
            Assert.Equal(chain, await _chains.ReadAsync(chain[0], Token));
        }

        Assert.Equal(bytes, await BytesAsync(chain[1..]));
        await _chains.CommitAsync([chain[1], chain[2]], cancellationToken: Token);
    }

    [Fact]
    public async Task A_merge_or_pull_that_is_stopped_loses_nothing_and_can_be_repeated()
    {
        var below = await CreateFullAsync(_directory.PathOf("below"), DataSize.FromMiB(64));
        var middle = await ConvertAsync(below, _directory.PathOf("middle"));
        await QemuImgAsync("rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", PathOf(below), PathOf(middle));
        var top = await OverlayAsync(middle, _directory.PathOf("top"));
        var seen = await SeenAsync(top);
        await StopAsync(progress => _chains.CommitAsync([top, middle, below], progress.Item1, progress.Item2));
        await AssertSameAsync(top, seen);
        await StopAsync(progress => _chains.StreamAsync(top, null, progress.Item1, progress.Item2));
        await AssertSameAsync(top, seen);
        Assert.Equal([top, middle, below], await _chains.ReadAsync(top, Token));

        await _chains.CommitAsync([top, middle, below], cancellationToken: Token);
        await AssertSameAsync(below, seen);

        static async Task StopAsync(Func<(IProgress<ByteProgress>, CancellationToken), Task> work)
        {
            using CancellationTokenSource stop = new();
            Reports progress = new(one =>
            {
                if (one.Done > 0 && one.Done < one.Total)
                {
                    stop.Cancel();
                }
            });
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => work((progress, stop.Token)));
        }
    }

    [Fact]
    public async Task Layers_on_block_devices_are_worked_on_as_files_are()
    {
        await using var lower = await LoopDevice.CreateAsync(32 * MiB, Token);
        await using var upper = await LoopDevice.CreateAsync(32 * MiB, Token);
        DiskLayer below = new(new BlockLocation(lower.Path), DiskFormat.Qcow2);
        DiskLayer middle = new(new BlockLocation(upper.Path), DiskFormat.Qcow2);
        await QemuImgAsync("create", "-q", "-f", "qcow2", lower.Path, "16M");
        await WriteAsync(below, 0, 3 * MiB, 0x11);
        await OverlayAsync(below, upper.Path);
        var top = await OverlayAsync(middle, _directory.PathOf("top"));
        await WriteAsync(top, 5 * MiB, MiB, 0x12);
        var seen = await SeenAsync(top);

        Assert.Equal([top, middle, below], await _chains.ReadAsync(top, Token));
        await _chains.CommitAsync([middle, below], cancellationToken: Token);
        await _chains.RelinkAsync(top, below, Token);
        Assert.Equal([top, below], await _chains.ReadAsync(top, Token));
        await AssertSameAsync(top, seen);
        await _chains.CommitAsync([top, below], cancellationToken: Token);
        await AssertSameAsync(below, seen);
        await _chains.RelinkAsync(middle, null, Token);
        Assert.Equal([middle], await _chains.ReadAsync(middle, Token));
    }

    private static void DeleteAll(IEnumerable<DiskLayer> layers)
    {
        foreach (var layer in layers)
        {
            File.Delete(PathOf(layer));
        }
    }

    private static async Task<List<byte[]>> BytesAsync(IEnumerable<DiskLayer> layers)
    {
        List<byte[]> bytes = [];
        foreach (var layer in layers)
        {
            bytes.Add(System.Security.Cryptography.SHA256.HashData(await File.ReadAllBytesAsync(PathOf(layer), Token)));
        }

        return bytes;
    }

    /// <summary>How often the first 512 bytes of one raw image that are not all zero are found in another.</summary>
    private static async Task<int> CountAsync(DiskLayer where, DiskLayer what)
    {
        var text = await File.ReadAllBytesAsync(PathOf(what), Token);
        var start = text.AsSpan().IndexOfAnyExcept((byte)0);
        Assert.InRange(start, 0, text.Length - 512);
        var wanted = text[start..(start + 512)];
        return (await File.ReadAllBytesAsync(PathOf(where), Token)).AsSpan().Count(wanted);
    }

    private async Task<DiskLayer> SeenAsync(DiskLayer image)
    {
        var seen = Raw(_directory.PathOf($"seen{Guid.NewGuid():N}"));
        await QemuImgAsync("convert", "-f", image.Format.Name, "-O", "raw", PathOf(image), PathOf(seen));
        return seen;
    }

    /// <summary>A chain of some layers, top first, each with something of its own and something over what the others have.</summary>
    private async Task<DiskLayer[]> ChainAsync(DiskFormat lowest, int length)
    {
        var raw = await CreateRawAsync(_directory.PathOf("0"), 16 * MiB);
        List<DiskLayer> chain = [lowest == DiskFormat.Raw ? raw : await ConvertAsync(raw, _directory.PathOf("0q"))];
        for (var index = 1; index < length; index++)
        {
            var layer = await OverlayAsync(chain[0], _directory.PathOf($"{index}"));
            await WriteAsync(layer, index * MiB, 2 * MiB, (byte)(0x20 + index));
            await WriteAsync(layer, (15 * MiB) + (index * 4096), 4096, (byte)(0x30 + index));
            chain.Insert(0, layer);
        }

        return [.. chain];
    }

    private sealed class Reports(Action<ByteProgress> report) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => report(value);
    }
}
