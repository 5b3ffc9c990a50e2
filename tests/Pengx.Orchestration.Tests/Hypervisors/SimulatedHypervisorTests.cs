using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class SimulatedHypervisorTests : HypervisorContract
{
    private readonly SimulatedHost _host = new() { ImageExists = layer => !layer.Location.ToString()!.StartsWith("/nonexistent/", StringComparison.Ordinal) };

    protected override TimeSpan Patience => TimeSpan.FromSeconds(5);

    protected override IHypervisorDriver CreateDriver() => new SimulatedHypervisor(_host);

    protected override async Task<DomainDefinition> CreateBootableAsync(CancellationToken cancellationToken) => new()
    {
        Id = DomainId.New(),
        Name = "guest",
        Cpus = 1,
        MaxCpus = 4,
        Memory = DataSize.FromMiB(256),
        MaxMemory = DataSize.FromMiB(512),
        Disks = [await CreateDiskAsync(0, cancellationToken)],
        Nics = [CreateNic()],
        VncPassword = "secret12",
    };

    protected override Task<DomainDisk> CreateDiskAsync(int index, CancellationToken cancellationToken)
    {
        var id = DiskId.New();
        return Task.FromResult(new DomainDisk { Id = id, Layers = [new(new FileLocation($"/images/{id}.raw"), DiskFormat.Raw)], Vdev = Vdev.At(index) });
    }

    protected override Task WaitUntilBootedAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => Task.CompletedTask;

    protected override Task CrashAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken)
    {
        _host.Guest(id).Crash();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Guest_that_ignores_a_shutdown_runs_on_until_it_is_destroyed()
    {
        var token = TestContext.Current.CancellationToken;
        await using var driver = CreateDriver();
        await driver.StartAsync(token);
        var definition = await CreateBootableAsync(token);
        await driver.Domains.DefineAsync(definition, token);
        await driver.Domains.StartAsync(definition.Id, token);
        var guest = _host.Guest(definition.Id);
        guest.ObeysShutdown = false;
        await driver.Domains.RequestShutdownAsync(definition.Id, token);
        Assert.True(guest.ShutdownRequested);
        Assert.NotNull(await driver.Domains.FindAsync(definition.Id, token));
        Assert.True(_host.IsOpen(definition.Disks[0].Layers[0].Location));
        await driver.Domains.DestroyAsync(definition.Id, token);
        Assert.Null(await driver.Domains.FindAsync(definition.Id, token));
    }

    [Fact]
    public async Task Guest_that_keeps_its_devices_keeps_them()
    {
        var token = TestContext.Current.CancellationToken;
        await using var driver = CreateDriver();
        await driver.StartAsync(token);
        var definition = await CreateBootableAsync(token);
        await driver.Domains.DefineAsync(definition, token);
        await driver.Domains.StartAsync(definition.Id, token);
        _host.Guest(definition.Id).AllowsUnplug = false;
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices.UnplugDiskAsync(definition.Id, definition.Disks[0].Id, token));
        Assert.Single(_host.Guest(definition.Id).Disks);
    }

    [Fact]
    public async Task Faults_strike_as_often_as_they_were_laid()
    {
        var token = TestContext.Current.CancellationToken;
        await using var driver = CreateDriver();
        await driver.StartAsync(token);
        _host.FailNext(SimulatedVerb.List, new HypervisorException("no list today"), times: 2);
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.ListAsync(token));
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.ListAsync(token));
        Assert.Empty(await driver.Domains.ListAsync(token));
        _host.Reachable = false;
        await Assert.ThrowsAsync<UnavailableException>(() => driver.Domains.ListAsync(token));
        Assert.False((await driver.ProbeAsync(token)).Usable);
    }
}
