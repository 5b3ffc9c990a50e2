using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>The driver against the contract of all drivers, on a host in the test's process.</summary>
public sealed class FakeXenContractTests : HypervisorContract, IAsyncLifetime
{
    private readonly Host _host = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    protected override IHypervisorDriver CreateDriver() => _host.CreateDriver();

    protected override Task<DomainDefinition> CreateBootableAsync(CancellationToken cancellationToken) => Task.FromResult(_host.Define());

    protected override Task<DomainDisk> CreateDiskAsync(int index, CancellationToken cancellationToken) => Task.FromResult(_host.Disk(index));

    protected override DomainNic CreateNic() => new() { Mac = MacAddress.NewXen(), Switch = FakeXen.Bridge };

    // These guests are up when xl has started them.
    protected override Task WaitUntilBootedAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => Task.CompletedTask;

    protected override Task CrashAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken)
    {
        _host.Xen.End(_host.Xen.Get(id).Number, 'c');
        return Task.CompletedTask;
    }

    protected override void RequireGuests()
    {
        // The probe refuses, rightly, what Xen would refuse.
        if (TestContext.Current.TestMethod?.MethodName == nameof(Host_can_be_probed_and_read))
        {
            Requires.That(Environment.IsPrivilegedProcess, "root", "Xen is managed by root alone");
        }
    }

    private sealed class Host : XenDriverTest
    {
        public new FakeXen Xen => base.Xen;

        public XenHypervisorDriver CreateDriver() => base.CreateDriver();

        public DomainDefinition Define() => base.Define();

        public DomainDisk Disk(int index) => base.Disk(index);
    }
}
