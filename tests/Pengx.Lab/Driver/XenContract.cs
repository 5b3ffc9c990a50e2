using Pengx.Testing;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>The contract of all drivers, held by the Xen driver on the real thing: PV guests.</summary>
public sealed class PvContractTests() : XenContract(XlGuestKind.Pv);

/// <summary>The same with PVH guests.</summary>
public sealed class PvhContractTests() : XenContract(XlGuestKind.Pvh);

/// <summary>The same with HVM guests.</summary>
public sealed class HvmContractTests() : XenContract(XlGuestKind.Hvm);

/// <summary>The contract of all drivers on one kind of guest.</summary>
public abstract class XenContract(XlGuestKind kind) : HypervisorContract, IAsyncLifetime
{
    private XenTestHost? _host;

    private XenTestHost Host => _host!;

    /// <inheritdoc/>
    protected override bool HasVnc => kind != XlGuestKind.Pvh;

    /// <inheritdoc/>
    protected override TimeSpan Patience => LabHost.Patience;

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
    protected override Task<DomainDefinition> CreateBootableAsync(CancellationToken cancellationToken) => Host.CreateBootableAsync();

    /// <inheritdoc/>
    protected override Task<DomainDisk> CreateDiskAsync(int index, CancellationToken cancellationToken) => Host.CreateDiskAsync(Vdev.At(index));

    /// <inheritdoc/>
    protected override Task WaitUntilBootedAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => Host.WaitUntilBootedAsync(id);

    /// <inheritdoc/>
    protected override Task CrashAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => XenTestHost.PanicAsync(id);
}
