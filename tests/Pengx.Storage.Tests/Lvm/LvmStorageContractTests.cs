using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>Thick volumes: on loop devices anywhere, on device-mapper where there is a disk for it.</summary>
public sealed class LvmStorageContractTests : StorageBackendContract, IAsyncLifetime
{
    private LvmTestHost? _host;
    private LvmStorage? _backend;

    protected override IStorageBackend Backend => _backend!;

    protected override Storlink Storlink => _host!.Storlink;

    public async ValueTask InitializeAsync()
    {
        _host = await LvmTestHost.CreateAsync(1024);
        _backend = new(_host.Runner, _host.Options);
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }
}

/// <summary>Thin volumes: on device-mapper only.</summary>
public sealed class LvmThinStorageContractTests : StorageBackendContract, IAsyncLifetime
{
    private LvmTestHost? _host;
    private LvmStorage? _backend;

    protected override IStorageBackend Backend => _backend!;

    protected override Storlink Storlink => _host!.Storlink;

    public async ValueTask InitializeAsync()
    {
        // Not for an ordinary machine to have: the laboratory names it.
        Assert.SkipUnless(LvmTestHost.HasLabDisk, $"thin pools need device-mapper and a disk named by {LvmTestHost.DiskVariable}");
        _host = await LvmTestHost.CreateAsync(1536);
        _backend = new(_host.Runner, _host.Options);
        try
        {
            await new LvmLayers(_host.Runner, _host.Options).ExecuteAsync(
                new()
                {
                    Verb = StorageVerb.Create,
                    Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.LogicalVolume, VolumeGroupId = _host.Group, Size = DataSize.FromMiB(1024) },
                    Name = "pool",
                    Kind = LogicalVolumeKind.ThinPool,
                },
                cancellationToken: Token);
        }
        catch
        {
            await _host.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_clone_shares_its_blocks_and_keeps_its_own()
    {
        Assert.True(Backend.TryGetFeature<IVolumeClone>(out var clones));
        foreach (var format in Formats)
        {
            var source = Spec(format);
            await Backend.CreateAsync(Storlink, source, cancellationToken: Token);
            await WriteAsync(await LayerAsync(source), 0, 65536, 0x11);
            Assert.True(await clones.CanCloneAsync(Storlink, source.Disk, Token));

            var spec = Spec(format) with { Size = DataSize.FromMiB(16) };
            Assert.Equal(DataSize.FromMiB(16), (await clones.CloneAsync(Storlink, source.Disk, spec, Token)).Size);
            Assert.Equal(DataSize.FromMiB(16), (await clones.CloneAsync(Storlink, source.Disk, spec, Token)).Size);
            await WriteAsync(await LayerAsync(spec), 0, 4096, 0x22);
            await Backend.DetachAsync(Storlink, source.Disk, Token);
            await Backend.DeleteAsync(Storlink, source.Disk, Token);
            await AssertContentAsync(await LayerAsync(spec), 0, 4096, 0x22);
            await AssertContentAsync(await LayerAsync(spec), 4096, 61440, 0x11);
        }
    }
}
