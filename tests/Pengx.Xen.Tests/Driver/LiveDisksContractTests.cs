using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>The driver against the contract of live disks: xl and xenstore are this process's, QEMU and the guest that counts are real.</summary>
public sealed class LiveDisksContractTests : LiveDisksContract, IAsyncLifetime
{
    private readonly LiveGuests _guests = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _guests.DisposeAsync();

    protected override void RequireGuests() => LiveGuests.Require();

    protected override IHypervisorDriver CreateDriver() => _guests.CreateDriver();

    protected override Task<DomainDefinition> CreateGuestAsync(int more, CancellationToken cancellationToken) => Task.FromResult(_guests.CreateGuest(more));

    protected override Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id, CancellationToken cancellationToken) => _guests.CreateOverlayAsync(backing, id);

    protected override Task WaitUntilWritingAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => _guests.FlushAnotherAsync(id);

    protected override Task<long> FlushAnotherAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => _guests.FlushAnotherAsync(id);

    protected override Task<long> ReadNewestAsync(IReadOnlyList<DiskLayer> layers, CancellationToken cancellationToken) => _guests.ReadNewestAsync(layers[0]);

    protected override Task<IReadOnlyList<DiskLayer>> ReadChainAsync(DiskLayer top, CancellationToken cancellationToken) => _guests.ReadChainAsync(top);
}
