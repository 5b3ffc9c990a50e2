using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>The driver against the contract of live disks, on the real test guest and its counter.</summary>
public sealed class QemuLiveDisksContractTests : LiveDisksContract, IAsyncLifetime
{
    private const long DiskBytes = 4 * 1024 * 1024;

    private readonly QemuTestHost _host = new();
    private readonly ImageFiles _images;
    private CounterFollower? _counter;

    public QemuLiveDisksContractTests() => _images = new(_host);

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await (_counter?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _host.DisposeAsync();
    }

    protected override void RequireGuests() => QemuTestHost.RequireQemu();

    protected override IHypervisorDriver CreateDriver() => _host.CreateDriver();

    protected override Task<DomainDefinition> CreateGuestAsync(int more, CancellationToken cancellationToken) =>
        Task.FromResult(_host.CreateBootable([.. Enumerable.Range(1, 1 + more).Select(index => _host.CreateDisk(Vdev.At(index), DiskBytes))]));

    protected override Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id, CancellationToken cancellationToken)
    {
        return _images.CreateOverlayAsync(backing, id, cancellationToken);
    }

    protected override async Task WaitUntilWritingAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken)
    {
        await (_counter?.DisposeAsync() ?? ValueTask.CompletedTask);
        _counter = new(_host, driver, id, cancellationToken);
        await _counter.ExpectWritingAsync();
    }

    protected override Task<long> FlushAnotherAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => _counter!.FlushAnotherAsync();

    protected override Task<long> ReadNewestAsync(IReadOnlyList<DiskLayer> layers, CancellationToken cancellationToken) => _images.ReadNewestAsync(layers[0], cancellationToken);

    protected override Task<IReadOnlyList<DiskLayer>> ReadChainAsync(DiskLayer top, CancellationToken cancellationToken) => _images.ReadChainAsync(top, cancellationToken);
}
