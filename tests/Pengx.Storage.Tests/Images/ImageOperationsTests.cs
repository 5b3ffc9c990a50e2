using Moq;
using Pengx.Testing;
using static Pengx.Storage.Tests.TestImages;

namespace Pengx.Storage.Tests;

public sealed class ImageOperationsTests : IDisposable
{
    private readonly TemporaryStorlink _directory = new();
    private readonly ImageTool _tool = new(new ProcessRunner());

    public ImageOperationsTests()
    {
        Requires.Tool("qemu-img", "qemu");
        Requires.Tool("qemu-io", "qemu");
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_chain_is_told_layer_by_layer_by_our_reader_and_the_tool_alike()
    {
        var (below, middle, top) = await ChainAsync();
        var chain = ImageChain.Read(top);
        var infos = await _tool.InfoChainAsync(top, new([_directory.Directory]), cancellationToken: Token);

        Assert.Equal([top, middle, below], chain.Layers.Select(layer => layer.Image));
        Assert.Equal(2, chain.Depth);
        Assert.Equal([PathOf(top), PathOf(middle), PathOf(below)], infos.Select(info => info.FileName));
        Assert.Equal([DiskFormat.Qcow2, DiskFormat.Qcow2, DiskFormat.Raw], infos.Select(info => info.Format));
        Assert.Equal(chain.Layers.Select(layer => layer.Size), infos.Select(info => info.Size));
        Assert.Equal(chain.Layers.Select(layer => layer.Allocated), infos.Select(info => info.Allocated));
        Assert.Equal((PathOf(middle), "qcow2"), (infos[0].BackingFile, infos[0].BackingFormat));
        Assert.Equal((65536, "zlib", false), (infos[0].ClusterSize, infos[0].CompressionType, infos[0].HasExtendedL2));
    }

    [Fact]
    public async Task The_map_says_which_layer_has_what()
    {
        var (_, _, top) = await ChainAsync();
        var map = await _tool.MapAsync(top, cancellationToken: Token);

        Assert.Equal(DataSize.FromMiB(16).Bytes, map.Sum(extent => extent.Length));
        Assert.Equal((0, true, false), Kind(map, 2 * 1024 * 1024));
        Assert.Equal((1, true, false), Kind(map, 1024 * 1024));
        Assert.Equal((2, true, false), Kind(map, 0));
        Assert.False(map.Single(extent => extent.Start <= 12 * 1024 * 1024 && extent.Start + extent.Length > 12 * 1024 * 1024).HasData);

        // The place that it names holds the bytes.
        var own = map.First(extent => extent.Depth == 0 && extent.HasData);
        Assert.Equal(0x03, (await File.ReadAllBytesAsync(PathOf(top), Token))[own.Offset!.Value]);

        static (int, bool, bool) Kind(IReadOnlyList<ImageExtent> map, long at)
        {
            var extent = map.Single(extent => extent.Start <= at && extent.Start + extent.Length > at);
            return (extent.Depth, extent.HasData, extent.IsZero);
        }
    }

    [Theory]
    [InlineData(65536, false, ImagePreallocation.None)]
    [InlineData(131072, true, ImagePreallocation.None)]
    [InlineData(null, false, ImagePreallocation.Metadata)]
    [InlineData(null, false, ImagePreallocation.Full)]
    public async Task An_image_is_made_as_asked_for(int? cluster, bool extended, ImagePreallocation preallocation)
    {
        var image = Qcow2(_directory.PathOf("x"));
        await _tool.CreateAsync(image, DataSize.FromMiB(8), null, new() { ClusterSize = cluster, ExtendedL2 = extended, Preallocation = preallocation }, Token);
        var info = await _tool.InfoAsync(image, Token);

        Assert.Equal((cluster ?? 65536, extended), (info.ClusterSize, info.HasExtendedL2));
        Assert.Equal(preallocation == ImagePreallocation.Full, info.Allocated >= DataSize.FromMiB(8));
        Assert.Equal(128, (await _tool.CheckAsync(image, Token)).TotalClusters * info.ClusterSize / 65536);
    }

    [Theory]
    [InlineData(DiskFormat.Qcow2, 1000, ImagePreallocation.None, "power of two")]
    [InlineData(DiskFormat.Qcow2, 4194304, ImagePreallocation.None, "power of two")]
    [InlineData(DiskFormat.Raw, 65536, ImagePreallocation.None, "no clusters")]
    [InlineData(DiskFormat.Raw, null, ImagePreallocation.Metadata, "no tables")]
    public async Task A_layout_that_cannot_be_is_refused(DiskFormat format, int? cluster, ImagePreallocation preallocation, string words)
    {
        DiskLayer image = new(new FileLocation(_directory.PathOf("x")), format);
        var failure = await Assert.ThrowsAsync<ArgumentException>(() => _tool.CreateAsync(image, new(512), null, new() { ClusterSize = cluster, Preallocation = preallocation }, Token));

        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
        Assert.Empty(_directory.Names());
    }

    [Fact]
    public async Task Damage_is_found_and_repaired()
    {
        var image = await ConvertAsync(await CreateRawAsync(_directory.PathOf("raw")), _directory.PathOf("x"));
        var clean = await _tool.CheckAsync(image, Token);
        Assert.Equal((0, 0), Found(clean));

        // The cluster behind the last one is marked as used, and nothing uses it.
        await using (var file = File.Open(PathOf(image), FileMode.Open))
        {
            file.SetLength(clean.EndOffset + 65536);
            var header = new byte[8];
            file.Position = 48;
            await file.ReadExactlyAsync(header, Token);
            file.Position = System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(header);
            await file.ReadExactlyAsync(header, Token);
            file.Position = System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(header) + (clean.EndOffset / 65536 * 2);
            await file.WriteAsync(new byte[] { 0, 1 }, Token);
        }

        Assert.Equal((0, 1), Found(await _tool.CheckAsync(image, Token)));
        var repaired = await _tool.RepairAsync(image, ImageRepair.Leaks, Token);
        Assert.Equal(1, repaired.LeaksFixed);
        Assert.Equal((0, 0), Found(await _tool.CheckAsync(image, Token)));

        static (long, long) Found(ImageCheck check) => (check.Errors, check.Leaks);
    }

    [Fact]
    public async Task An_image_grows_and_shrinks_only_when_told_so()
    {
        var image = Qcow2(_directory.PathOf("x"));
        await _tool.CreateAsync(image, DataSize.FromMiB(8), cancellationToken: Token);
        await _tool.ResizeAsync(image, DataSize.FromMiB(12), Token);
        Assert.Contains("shrink", (await Assert.ThrowsAsync<ProcessFailedException>(() => _tool.ResizeAsync(image, DataSize.FromMiB(4), Token))).Message, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(DataSize.FromMiB(12), (await _tool.InfoAsync(image, Token)).Size);
        await _tool.ShrinkAsync(image, DataSize.FromMiB(4), Token);
        Assert.Equal(DataSize.FromMiB(4), (await _tool.InfoAsync(image, Token)).Size);
    }

    [Fact]
    public async Task A_rebase_changes_what_lies_beneath_and_nothing_of_what_is_seen()
    {
        var (below, middle, top) = await ChainAsync();
        var seen = _directory.PathOf("seen");
        await QemuImgAsync("convert", "-f", "qcow2", "-O", "raw", PathOf(top), seen);
        List<double> progress = [];
        await _tool.RebaseAsync(top, below, new SynchronousProgress(progress.Add), Token);

        Assert.Equal([top, below], ImageChain.Read(top).Layers.Select(layer => layer.Image));
        Assert.True(await _tool.CompareAsync(Raw(seen), top, Token));
        Assert.Equal(1, progress[^1]);
        await _tool.RebaseAsync(top, null, cancellationToken: Token);
        File.Delete(PathOf(below));
        File.Delete(PathOf(middle));
        Assert.Single(ImageChain.Read(top).Layers);
        Assert.True(await _tool.CompareAsync(Raw(seen), top, Token));
        await WriteAsync(top, 0, 512, 0x77);
        Assert.False(await _tool.CompareAsync(Raw(seen), top, Token));
    }

    [Fact]
    public async Task A_moved_backing_file_is_named_anew_and_only_a_readable_one()
    {
        var (_, middle, top) = await ChainAsync();
        var moved = Qcow2(_directory.PathOf("moved"));
        File.Move(PathOf(middle), PathOf(moved));
        await Assert.ThrowsAsync<StorageException>(() => _tool.RenameBackingAsync(top, middle, cancellationToken: Token));
        using TemporaryStorlink elsewhere = new();
        await Assert.ThrowsAsync<StorageException>(() => _tool.RenameBackingAsync(top, moved, new([elsewhere.Directory]), Token));
        await _tool.RenameBackingAsync(top, moved, new([_directory.Directory]), Token);

        Assert.Equal(moved, ImageChain.Read(top).Layers[1].Image);
    }

    [Fact]
    public async Task A_commit_moves_what_an_overlay_holds_into_what_lies_beneath()
    {
        var (below, middle, top) = await ChainAsync();
        var seen = _directory.PathOf("seen");
        await QemuImgAsync("convert", "-f", "qcow2", "-O", "raw", PathOf(top), seen);
        await _tool.CommitAsync(top, cancellationToken: Token);
        File.Delete(PathOf(top));

        Assert.True(await _tool.CompareAsync(Raw(seen), middle, Token));
        Assert.Equal([middle, below], ImageChain.Read(middle).Layers.Select(layer => layer.Image));
    }

    [Fact]
    public async Task Bitmaps_are_added_told_measured_copied_and_removed()
    {
        var image = Qcow2(_directory.PathOf("x"));
        await _tool.CreateAsync(image, DataSize.FromMiB(8), cancellationToken: Token);
        await _tool.AddBitmapAsync(image, "b0", 32768, Token);
        await _tool.AddBitmapAsync(image, "b1", cancellationToken: Token);
        await _tool.SetBitmapRecordingAsync(image, "b0", recording: false, Token);
        await _tool.MergeBitmapAsync(image, "b1", "b0", Token);
        await _tool.ClearBitmapAsync(image, "b1", Token);

        Assert.Equal(
            [new("b0", 32768, IsRecording: false, IsInconsistent: false), new("b1", 65536, IsRecording: true, IsInconsistent: false)],
            (await _tool.InfoAsync(image, Token)).Bitmaps.OrderBy(bitmap => bitmap.Name));
        Assert.Equal(2, Qcow2Header.Read(PathOf(image)).BitmapCount);
        Assert.True((await _tool.MeasureAsync(image, DiskFormat.Qcow2, Token)).Bitmaps > DataSize.Zero);
        var copy = Qcow2(_directory.PathOf("copy"));
        await _tool.ConvertAsync(image, copy, new ImageConversion { Bitmaps = true }, null, Token);
        Assert.Equal(2, (await _tool.InfoAsync(copy, Token)).Bitmaps.Count);

        await Assert.ThrowsAsync<ProcessFailedException>(() => _tool.AddBitmapAsync(image, "b0", cancellationToken: Token));
        await _tool.SetBitmapRecordingAsync(image, "b0", recording: true, Token);
        await _tool.RemoveBitmapAsync(image, "b0", Token);
        Assert.Equal("b1", Assert.Single((await _tool.InfoAsync(image, Token)).Bitmaps).Name);
        await Assert.ThrowsAsync<ArgumentException>(() => _tool.AddBitmapAsync(image, "--remove", cancellationToken: Token));
        await Assert.ThrowsAsync<ArgumentException>(() => _tool.MergeBitmapAsync(image, "-g", "b1", Token));
    }

    [Fact]
    public async Task An_image_in_use_is_read_only_when_asked_for_and_never_changed()
    {
        var (_, middle, top) = await ChainAsync();
        await using var open = await OpenImage.ForWritingAsync(top);

        await Assert.ThrowsAsync<InUseException>(() => _tool.InfoAsync(top, Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.InfoChainAsync(top, cancellationToken: Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.MapAsync(top, cancellationToken: Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.MeasureAsync(top, DiskFormat.Raw, Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.CheckAsync(top, Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.RepairAsync(top, ImageRepair.All, Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.ResizeAsync(top, DataSize.FromMiB(32), Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.RebaseAsync(top, null, cancellationToken: Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.CommitAsync(top, cancellationToken: Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.AddBitmapAsync(top, "b", cancellationToken: Token));
        await Assert.ThrowsAsync<InUseException>(() => _tool.CreateAsync(top, new(512), cancellationToken: Token));

        Assert.Equal(DataSize.FromMiB(16), (await _tool.InfoAsync(top, whileInUse: true, Token)).Size);
        Assert.Equal(3, (await _tool.InfoChainAsync(top, whileInUse: true, cancellationToken: Token)).Count);
        Assert.NotEmpty(await _tool.MapAsync(top, whileInUse: true, Token));
        Assert.True((await _tool.MeasureAsync(top, DiskFormat.Raw, whileInUse: true, Token)).Required > DataSize.Zero);

        // What lies beneath is only read.
        Assert.Equal(DataSize.FromMiB(16), (await _tool.InfoAsync(middle, Token)).Size);
    }

    [Theory]
    [InlineData("outside", "none of the directories")]
    [InlineData("link", "none of the directories")]
    [InlineData("dots", "none of the directories")]
    [InlineData("missing", "cannot be found")]
    public async Task A_backing_file_must_lie_in_an_allowed_directory_wherever_its_name_leads(string kind, string words)
    {
        using TemporaryStorlink elsewhere = new();
        var secret = elsewhere.PathOf("secret");
        await CreateRawAsync(secret, 8 * 1024 * 1024);
        var below = secret;
        switch (kind)
        {
            case "link":
                Directory.CreateSymbolicLink(_directory.PathOf("inside"), elsewhere.Directory);
                below = _directory.PathOf("inside/secret");
                break;
            case "dots":
                below = $"{_directory.Directory}/../{Path.GetFileName(elsewhere.Directory)}/secret";
                break;
            case "missing":
                below = _directory.PathOf("nothing");
                break;
        }

        var image = Qcow2(_directory.PathOf("top"));
        await QemuImgAsync("create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", below, PathOf(image), "8M");
        var failure = Assert.Throws<StorageException>(() => ImageChain.Read(image, new([_directory.Directory])));
        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<StorageException>(() => _tool.InfoChainAsync(image, new([_directory.Directory]), cancellationToken: Token));
    }

    [Fact]
    public async Task A_chain_over_devices_is_read_through_their_names()
    {
        await using var device = await LoopDevice.CreateAsync(DataSize.FromMiB(32).Bytes, Token);
        await QemuImgAsync("create", "-q", "-f", "qcow2", device.Path, "8M");
        var name = $"/dev/pengx-test-{Guid.NewGuid():N}";
        File.CreateSymbolicLink(name, device.Path);
        try
        {
            var top = Qcow2(_directory.PathOf("top"));
            await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", name, PathOf(top));
            var chain = ImageChain.Read(top);

            Assert.Equal(new(new BlockLocation(name), DiskFormat.Qcow2), chain.Layers[1].Image);
            Assert.Equal(DataSize.FromMiB(8), chain.Size);
            Assert.Equal(DataSize.FromMiB(32), chain.Layers[1].Allocated);
        }
        finally
        {
            File.Delete(name);
        }

        // Elsewhere anybody may have made the link.
        var link = _directory.PathOf("vg-lv");
        File.CreateSymbolicLink(link, device.Path);
        var strange = Qcow2(_directory.PathOf("strange"));
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", link, PathOf(strange));
        Assert.Throws<StorageException>(() => ImageChain.Read(strange));
    }

    [Fact]
    public async Task An_image_in_Ceph_is_named_as_data_whatever_its_name()
    {
        List<IReadOnlyList<string>> calls = [];
        Mock<IProcessRunner> runner = new();
        runner.Setup(port => port.RunAsync(It.IsAny<ProcessCommand>(), It.IsAny<CancellationToken>()))
            .Returns((ProcessCommand command, CancellationToken _) =>
            {
                calls.Add(command.Arguments);
                return Task.FromResult(new ProcessResult(command, 0, """{"virtual-size":1}""", ""));
            });
        ImageTool tool = new(runner.Object);
        DiskLayer image = new(new RbdLocation("po\"ol", "a:b@c/,id=x") { ConfigurationFile = "/etc/pengx/ceph.conf", User = "pengx" }, DiskFormat.Raw);
        await tool.InfoAsync(image, Token);
        await tool.ConvertAsync(Raw("/a"), image, new ImageConversion { IntoExisting = true, TargetIsZero = true }, null, Token);

        const string name = """json:{"file":{"driver":"rbd","pool":"po\u0022ol","image":"a:b@c/,id=x","conf":"/etc/pengx/ceph.conf","user":"pengx"}}""";
        Assert.Equal(["info", "--output=json", "-f", "raw", name], calls[0]);
        Assert.Equal(["convert", "-p", "-m", "16", "-W", "-n", "--target-is-zero", "-f", "raw", "-O", "raw", "-t", "writeback", "/a", name], calls[1]);
    }

    /// <summary>A raw image, an overlay on it, and an overlay on that; each has a MiB of its own.</summary>
    private async Task<(DiskLayer Below, DiskLayer Middle, DiskLayer Top)> ChainAsync()
    {
        var below = Raw(_directory.PathOf("below"));
        var middle = Qcow2(_directory.PathOf("middle"));
        var top = Qcow2(_directory.PathOf("top"));
        await _tool.CreateAsync(below, DataSize.FromMiB(16), cancellationToken: Token);
        await WriteAsync(below, 0, 3 * 1024 * 1024, 0x01);
        await _tool.CreateAsync(middle, DataSize.FromMiB(16), below, Token);
        await WriteAsync(middle, 1024 * 1024, 1024 * 1024, 0x02);
        await _tool.CreateAsync(top, DataSize.FromMiB(16), middle, Token);
        await WriteAsync(top, 2 * 1024 * 1024, 1024 * 1024, 0x03);
        return (below, middle, top);
    }

    private sealed class SynchronousProgress(Action<double> report) : IProgress<double>
    {
        public void Report(double value) => report(value);
    }
}
