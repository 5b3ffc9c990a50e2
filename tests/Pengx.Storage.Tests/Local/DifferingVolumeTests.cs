using Pengx.Testing;
using static Pengx.Storage.Tests.TestImages;

namespace Pengx.Storage.Tests;

/// <summary>Volumes that hold what an image shows otherwise than the one beside them that they lie upon.</summary>
public sealed class DifferingVolumeTests : IDisposable
{
    private const int MiB = 1024 * 1024;
    private static readonly DataSize s_size = DataSize.FromMiB(32);

    private readonly TemporaryStorlink _disks = new();
    private readonly TemporaryStorlink _vault = new();
    private readonly WatchingRunner _runner = new();
    private readonly LocalStorage _storage;
    private readonly ImageTool _tool = new(new ProcessRunner());

    public DifferingVolumeTests()
    {
        Requires.Tool("qemu-img", "qemu");
        Requires.Tool("qemu-io", "qemu");
        _storage = new(_runner);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _disks.Dispose();
        _vault.Dispose();
    }

    [Theory]
    [InlineData("raw", 0)]
    [InlineData("raw", 32 * MiB)]
    [InlineData("qcow2", 0)]
    [InlineData("chain", 0)]
    [InlineData("chain", 32 * MiB)]
    public async Task It_shows_what_its_source_shows_and_holds_no_more_than_what_differs(string kind, long rateLimit)
    {
        var (disk, image) = await ChangedAsync(kind);
        List<ByteProgress> progress = [];
        var spec = Spec(disk, image) with { RateLimit = new(rateLimit) };
        var volume = await _storage.CreateAsync(_vault.Storlink, spec, new ImageCopierTests.CallbackProgress(progress.Add), Token);
        var made = LayerOf(spec);

        Assert.True(await _tool.CompareAsync(disk, made, Token));
        Assert.Equal([made, image], ImageChain.Read(made).Layers.Select(layer => layer.Image));
        Assert.Equal(Path.GetFileName(PathOf(image)), await HeaderBackingAsync(made));
        Assert.Equal(new(s_size.Bytes, s_size.Bytes), progress[^1]);

        // 192 KiB and 64 KiB were written; a MiB was made zero, which takes no space.
        Assert.Equal([(MiB, 192 * 1024, false), (5 * MiB, MiB, true), (20 * MiB, 64 * 1024, false)], await OwnAsync(made));
        Assert.InRange(volume.Allocated.Bytes, 256 * 1024, 256 * 1024 + 512 * 1024);
        Assert.Equal(rateLimit > 0, _runner.Commands.Any(command => command.Contains($"throttle-group,id=limit,x-bps-total={rateLimit}", StringComparison.Ordinal)));

        // Taken elsewhere with what it lies upon.
        using TemporaryStorlink elsewhere = new();
        foreach (var name in _vault.Names())
        {
            File.Move(_vault.PathOf(name), elsewhere.PathOf(name));
        }

        Assert.True(await _tool.CompareAsync(disk, Qcow2(elsewhere.PathOf(Path.GetFileName(PathOf(made)))), Token));
    }

    [Fact]
    public async Task What_could_not_be_written_back_fails_it_although_the_tool_says_nothing()
    {
        await using var pool = await OverbookedFileSystem.MountAsync(DataSize.FromMiB(96), DataSize.FromMiB(8));
        var vault = TemporaryStorlink.For(pool.Directory);
        var disk = await CreateFullAsync(_disks.PathOf("disk.raw"), s_size);
        VolumeSpec empty = new() { Disk = DiskId.New(), Format = DiskFormat.Qcow2, Size = s_size };
        await _storage.CreateAsync(vault, empty, cancellationToken: Token);
        DiskLayer image = new(await _storage.AttachAsync(vault, empty.Disk, empty.Format, Token), empty.Format);
        await Assert.ThrowsAnyAsync<PengxException>(() => _storage.CreateAsync(vault, Spec(disk, image), cancellationToken: Token));

        Assert.Single(pool.Names());
    }

    [Fact]
    public async Task Where_nothing_differs_it_holds_nothing()
    {
        var (disk, _) = await ChangedAsync("chain");
        var same = Spec(disk, null);
        await _storage.CreateAsync(_vault.Storlink, same, cancellationToken: Token);
        var spec = Spec(disk, LayerOf(same));
        await _storage.CreateAsync(_vault.Storlink, spec, cancellationToken: Token);

        Assert.Empty(await OwnAsync(LayerOf(spec)));
        Assert.True(await _tool.CompareAsync(disk, LayerOf(spec), Token));
    }

    [Fact]
    public async Task One_that_is_larger_than_both_reads_zeros_there()
    {
        var (disk, image) = await ChangedAsync("qcow2");
        var spec = Spec(disk, image) with { Size = DataSize.FromMiB(40) };
        await _storage.CreateAsync(_vault.Storlink, spec, cancellationToken: Token);

        // The tool takes what lies beyond the end of the smaller one for zeros.
        Assert.Equal(DataSize.FromMiB(40), (await _tool.InfoAsync(LayerOf(spec), Token)).Size);
        Assert.True(await _tool.CompareAsync(disk, LayerOf(spec), Token));
    }

    [Fact]
    public async Task What_cannot_be_compared_is_refused_and_nothing_is_left()
    {
        var (disk, image) = await ChangedAsync("qcow2");
        var before = _vault.Names();
        await Assert.ThrowsAsync<ArgumentException>(() => CreateAsync(Spec(disk, image) with { IsBackingBeside = false }));
        await Assert.ThrowsAsync<ArgumentException>(() => CreateAsync(Spec(disk, image) with { Format = DiskFormat.Raw }));
        Assert.Contains("cannot hold", (await Assert.ThrowsAsync<StorageException>(() => CreateAsync(Spec(disk, image) with { Size = DataSize.FromMiB(16) }))).Message, StringComparison.Ordinal);
        await using (await OpenImage.ForWritingAsync(disk))
        {
            await Assert.ThrowsAsync<InUseException>(() => CreateAsync(Spec(disk, image)));
        }

        await using (await OpenImage.ForWritingAsync(image))
        {
            await Assert.ThrowsAsync<InUseException>(() => CreateAsync(Spec(disk, image)));
        }

        Assert.Equal(before, _vault.Names());
        File.Delete(PathOf(image));
        await Assert.ThrowsAsync<StorageException>(() => CreateAsync(Spec(disk, image)));
        Assert.Empty(_vault.Names());

        Task CreateAsync(VolumeSpec spec) => _storage.CreateAsync(_vault.Storlink, spec, cancellationToken: Token);
    }

    [Fact]
    public async Task A_cancelled_or_failed_comparison_leaves_nothing_and_can_be_made_again()
    {
        var (disk, image) = await ChangedAsync("chain");
        var before = _vault.Names();
        var spec = Spec(disk, image);
        using (var stop = CancellationTokenSource.CreateLinkedTokenSource(Token))
        {
            // At 64 KiB a second it would take minutes.
            var slow = spec with { RateLimit = new(64 * 1024) };
            _runner.Before = command =>
            {
                if (command.Arguments is ["rebase", "-p", ..])
                {
                    stop.CancelAfter(TimeSpan.FromMilliseconds(300));
                }

                return null;
            };
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _storage.CreateAsync(_vault.Storlink, slow, cancellationToken: stop.Token));
        }

        Assert.Equal(before, _vault.Names());
        _runner.Before = command => command.Arguments is ["rebase", "-u", ..] ? new(command, 1, "", "qemu-img: it broke") : null;
        Assert.Contains("it broke", (await Assert.ThrowsAsync<ProcessFailedException>(() => _storage.CreateAsync(_vault.Storlink, spec, cancellationToken: Token))).Message, StringComparison.Ordinal);
        Assert.Equal(before, _vault.Names());
        _runner.Before = _ => null;
        await _storage.CreateAsync(_vault.Storlink, spec, cancellationToken: Token);
        Assert.True(await _tool.CompareAsync(disk, LayerOf(spec), Token));
    }

    /// <summary>A disk, and an image of it in the vault from before 192 KiB at 1 MiB and 64 KiB at 20 MiB were written, and the MiB at 5 MiB
    /// made zero.</summary>
    private async Task<(DiskLayer Disk, DiskLayer Image)> ChangedAsync(string kind)
    {
        var below = Raw(_disks.PathOf("below"));
        await _tool.CreateAsync(below, s_size, cancellationToken: Token);
        await WriteAsync(below, 0, 10 * MiB, 0x11);
        var disk = below;
        if (kind != "raw")
        {
            disk = Qcow2(_disks.PathOf("disk"));
            if (kind == "chain")
            {
                await _tool.CreateAsync(disk, s_size, below, Token);
            }
            else
            {
                await _tool.ConvertAsync(below, disk, direct: false, cancellationToken: Token);
            }
        }

        var spec = Spec(disk, null);
        await _storage.CreateAsync(_vault.Storlink, spec, cancellationToken: Token);
        await WriteAsync(disk, MiB, 192 * 1024, 0x22);
        await WriteAsync(disk, 5 * MiB, MiB, 0);
        await WriteAsync(disk, 20 * MiB, 64 * 1024, 0x33);
        _runner.Commands.Clear();
        return (disk, LayerOf(spec));
    }

    private static VolumeSpec Spec(DiskLayer source, DiskLayer? backing) =>
        new() { Disk = DiskId.New(), Format = DiskFormat.Qcow2, Size = s_size, Source = source, Backing = backing, IsBackingBeside = backing is not null };

    private DiskLayer LayerOf(VolumeSpec spec) => Qcow2(_vault.PathOf($"{spec.Disk}.qcow2"));

    private async Task<List<(long Start, long Length, bool IsZero)>> OwnAsync(DiskLayer image) =>
        [.. (await _tool.MapAsync(image, cancellationToken: Token)).Where(extent => extent.Depth == 0 && extent.IsPresent).Select(extent => (extent.Start, extent.Length, extent.IsZero))];

    private static async Task<string?> HeaderBackingAsync(DiskLayer image)
    {
        var told = (await new ProcessRunner().RunAsync(new() { FileName = "qemu-img", Arguments = ["info", "--output=json", "-f", "qcow2", PathOf(image)] }, Token)).EnsureSuccess();
        using var document = System.Text.Json.JsonDocument.Parse(told.Output);
        return document.RootElement.GetProperty("backing-filename").GetString();
    }
}
