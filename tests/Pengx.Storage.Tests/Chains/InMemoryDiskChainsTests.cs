using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class InMemoryDiskChainsTests
{
    private readonly InMemoryStorage _storage = new();
    private readonly InMemoryDiskChains _chains;
    private readonly Storlink _storlink = TemporaryStorlink.For("/memory");

    public InMemoryDiskChainsTests() => _chains = new(_storage);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Merges_pulls_and_links_show_the_same_as_before()
    {
        var (lowest, lowestLayer) = await CreateAsync(null);
        _storage.Write(lowest, 1, "a");
        _storage.Write(lowest, 2, "a");
        var (middle, middleLayer) = await CreateAsync(lowestLayer);
        _storage.Write(middle, 2, "b");
        var (upper, upperLayer) = await CreateAsync(middleLayer);
        _storage.Write(upper, 3, "c");
        var (top, topLayer) = await CreateAsync(upperLayer);
        _storage.Write(top, 1, "d");
        var seen = $"empty {lowest}, 1: d, 2: b, 3: c";
        Assert.Equal(seen, _storage.ContentOf(top));
        Assert.Equal([topLayer, upperLayer, middleLayer, lowestLayer], await _chains.ReadAsync(topLayer, Token));

        await _chains.CommitAsync([upperLayer, middleLayer], cancellationToken: Token);
        await _chains.RelinkAsync(topLayer, middleLayer, Token);
        await _storage.DeleteAsync(_storlink, upper, Token);
        Assert.Equal(seen, _storage.ContentOf(top));
        Assert.Equal($"empty {lowest}, 1: a, 2: b, 3: c", _storage.ContentOf(middle));

        await _chains.StreamAsync(topLayer, lowestLayer, cancellationToken: Token);
        await _storage.DeleteAsync(_storlink, middle, Token);
        Assert.Equal([topLayer, lowestLayer], await _chains.ReadAsync(topLayer, Token));
        Assert.Equal(seen, _storage.ContentOf(top));
        await _chains.StreamAsync(topLayer, null, cancellationToken: Token);
        await _storage.DeleteAsync(_storlink, lowest, Token);
        Assert.Equal(seen, _storage.ContentOf(top));
    }

    [Fact]
    public async Task What_is_open_or_was_not_so_is_refused()
    {
        var (lowest, lowestLayer) = await CreateAsync(null);
        var (top, topLayer) = await CreateAsync(lowestLayer);
        var (_, other) = await CreateAsync(null);
        await Assert.ThrowsAsync<StorageException>(() => _chains.CommitAsync([topLayer, other], cancellationToken: Token));
        await Assert.ThrowsAsync<StorageException>(() => _chains.RelinkAsync(lowestLayer, topLayer, Token));
        await Assert.ThrowsAsync<StorageException>(() => _chains.StreamAsync(topLayer, other, cancellationToken: Token));
        _storage.IsOpen = location => location == lowestLayer.Location;
        await Assert.ThrowsAsync<InUseException>(() => _chains.CommitAsync([topLayer, lowestLayer], cancellationToken: Token));
        _storage.IsOpen = null;
        await _storage.DeleteAsync(_storlink, lowest, Token);
        await Assert.ThrowsAsync<StorageException>(() => _chains.ReadAsync(topLayer, Token));
        Assert.Throws<StorageException>(() => _storage.ContentOf(top));
    }

    private async Task<(DiskId Disk, DiskLayer Layer)> CreateAsync(DiskLayer? backing)
    {
        var disk = DiskId.New();
        await _storage.CreateAsync(_storlink, new VolumeSpec { Disk = disk, Format = DiskFormat.Qcow2, Size = DataSize.FromMiB(1), Backing = backing }, null, Token);
        return (disk, new(await _storage.AttachAsync(_storlink, disk, DiskFormat.Qcow2, Token), DiskFormat.Qcow2));
    }
}
