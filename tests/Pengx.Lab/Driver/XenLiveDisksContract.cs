using System.Text.Json;
using Pengx.Testing;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>The contract of live disks, held by the Xen driver on the real thing: PV guests.</summary>
public sealed class PvLiveDisksContractTests() : XenLiveDisksContract(XlGuestKind.Pv);

/// <summary>The same with PVH guests.</summary>
public sealed class PvhLiveDisksContractTests() : XenLiveDisksContract(XlGuestKind.Pvh);

/// <summary>The contract of live disks on one kind of guest.</summary>
public abstract class XenLiveDisksContract(XlGuestKind kind) : LiveDisksContract, IAsyncLifetime
{
    private XenTestHost? _host;

    private XenTestHost Host => _host!;

    /// <inheritdoc/>
    public ValueTask InitializeAsync()
    {
        _host = XenTestHost.Create(kind);
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    /// <inheritdoc/>
    protected override IHypervisorDriver CreateDriver() => Host.CreateDriver();

    /// <inheritdoc/>
    protected override async Task<DomainDefinition> CreateGuestAsync(int more, CancellationToken cancellationToken)
    {
        var definition = await Host.CreateBootableAsync();
        List<DomainDisk> disks = [.. definition.Disks];
        for (var index = 0; index < more; index++)
        {
            disks.Add(await Host.CreateDiskAsync(Vdev.At(2 + index)));
        }

        return definition with { Disks = disks };
    }

    /// <inheritdoc/>
    protected override Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id, CancellationToken cancellationToken) => Host.CreateOverlayAsync(backing, id);

    /// <inheritdoc/>
    protected override Task WaitUntilWritingAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => XenTestHost.FlushAnotherAsync(id);

    /// <inheritdoc/>
    protected override Task<long> FlushAnotherAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => XenTestHost.FlushAnotherAsync(id);

    /// <inheritdoc/>
    protected override Task<long> ReadNewestAsync(IReadOnlyList<DiskLayer> layers, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(layers);
        return Host.Guests.ReadCounterAsync(layers[0].Location.ToString()!, "qcow2" == layers[0].Format.Name ? "qcow2" : "raw");
    }

    /// <inheritdoc/>
    protected override async Task<IReadOnlyList<DiskLayer>> ReadChainAsync(DiskLayer top, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(top);
        using var info = JsonDocument.Parse(await LabHost.OutputAsync("qemu-img", "info", "-U", "--backing-chain", "--output=json", "-f", top.Format.Name, top.Location.ToString()!));
        List<DiskLayer> chain = [];
        foreach (var image in info.RootElement.EnumerateArray())
        {
            Assert.True(DiskFormatNames.TryParse(image.GetProperty("format").GetString(), out var format));
            chain.Add(new(new FileLocation(image.GetProperty("filename").GetString()!), format));
        }

        return chain;
    }
}
