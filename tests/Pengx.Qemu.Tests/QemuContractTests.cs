using System.Diagnostics;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>The driver against the contract of all drivers, on real guests.</summary>
public sealed class QemuContractTests : HypervisorContract, IAsyncLifetime
{
    private readonly QemuTestHost _host = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    protected override void RequireGuests() => QemuTestHost.RequireQemu();

    protected override IHypervisorDriver CreateDriver() => _host.CreateDriver();

    protected override Task<DomainDefinition> CreateBootableAsync(CancellationToken cancellationToken) => Task.FromResult(_host.CreateBootable());

    protected override Task<DomainDisk> CreateDiskAsync(int index, CancellationToken cancellationToken) => Task.FromResult(_host.CreateDisk(Vdev.At(index)));

    protected override async Task WaitUntilBootedAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken)
    {
        await using var console = QemuTestHost.ConsoleOf(driver, id, cancellationToken);
        await console.ExpectUpAsync();
    }

    protected override Task CrashAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken)
    {
        using var process = Process.GetProcessById(_host.PidOf(id));
        process.Kill();
        return Task.CompletedTask;
    }
}
