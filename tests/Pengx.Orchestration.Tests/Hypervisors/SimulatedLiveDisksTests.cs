using System.Globalization;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

/// <summary>The simulator against the contract of live disks, its guests writing numbers into images in memory.</summary>
public sealed class SimulatedLiveDisksTests : LiveDisksContract
{
    private const string CounterVdev = "xvdb";

    private static readonly DataSize s_size = DataSize.FromMiB(8);

    private readonly InMemoryStorage _storage = new();
    private readonly SimulatedHost _host;
    private readonly Storlink _storlink = new()
    {
        Id = new(1),
        Pm = PmId.New(),
        Name = "s",
        Link = "/memory/1",
        Level = StorlinkLevel.File,
        Type = StorlinkType.Local,
    };

    private long _number;

    public SimulatedLiveDisksTests() => _host = new() { Storage = _storage, ImageExists = _storage.Exists };

    protected override IHypervisorDriver CreateDriver() => new SimulatedHypervisor(_host);

    protected override async Task<DomainDefinition> CreateGuestAsync(int more, CancellationToken cancellationToken)
    {
        List<DomainDisk> disks = [];
        for (var index = 0; index < 2 + more; index++)
        {
            var id = DiskId.New();
            _storage.Lay(_storlink, id, DiskFormat.Qcow2, s_size);
            disks.Add(new() { Id = id, Layers = [await LayerOfAsync(id, cancellationToken)], Vdev = Vdev.At(index) });
        }

        return new()
        {
            Id = DomainId.New(),
            Name = "guest",
            Cpus = 1,
            MaxCpus = 1,
            Memory = DataSize.FromMiB(256),
            MaxMemory = DataSize.FromMiB(256),
            Disks = disks,
        };
    }

    protected override async Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id, CancellationToken cancellationToken)
    {
        await _storage.CreateAsync(_storlink, new() { Disk = id, Format = DiskFormat.Qcow2, Size = s_size, Backing = backing }, null, cancellationToken);
        return await LayerOfAsync(id, cancellationToken);
    }

    protected override Task WaitUntilWritingAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => Task.CompletedTask;

    protected override Task<long> FlushAnotherAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken)
    {
        _host.Guest(id).Write(CounterVdev, (++_number).ToString(CultureInfo.InvariantCulture));
        return Task.FromResult(_number);
    }

    protected override Task<long> ReadNewestAsync(IReadOnlyList<DiskLayer> layers, CancellationToken cancellationToken)
    {
        var disk = _storage.Volumes(_storlink.Id).Single(disk => layers[0].Location.ToString()!.Contains(disk.ToString(), StringComparison.Ordinal));
        return Task.FromResult(long.Parse(_storage.ContentOf(disk)!, CultureInfo.InvariantCulture));
    }

    protected override Task<IReadOnlyList<DiskLayer>> ReadChainAsync(DiskLayer top, CancellationToken cancellationToken)
    {
        List<DiskLayer> chain = [];
        for (var layer = top; layer is not null; layer = _storage.BackingOf(layer))
        {
            chain.Add(layer);
        }

        return Task.FromResult<IReadOnlyList<DiskLayer>>(chain);
    }

    [Fact]
    public async Task Faults_strike_before_anything_changes_and_an_agent_freezes()
    {
        var token = TestContext.Current.CancellationToken;
        await using var driver = CreateDriver();
        await driver.StartAsync(token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = await CreateGuestAsync(0, token);
        await driver.Domains.DefineAsync(definition, token);
        await driver.Domains.StartAsync(definition.Id, token);
        var replacement = await ReplaceAsync(definition.Disks[1]);
        _host.FailNext(SimulatedVerb.OverlayDisks, new HypervisorException("no snapshot today"));
        await Assert.ThrowsAsync<HypervisorException>(() => live.OverlayAsync(definition.Id, [replacement], cancellationToken: token));
        await ExpectAsync(driver, live, definition.Id, definition.Disks);

        _host.Guest(definition.Id).HasAgent = true;
        Assert.True(await live.OverlayAsync(definition.Id, [replacement], quiesce: true, token));
        _host.FailNext(SimulatedVerb.CommitDisk, new HypervisorException("no merge today"));
        await Assert.ThrowsAsync<HypervisorException>(() => live.CommitAsync(definition.Id, new(replacement.After, replacement.Before), cancellationToken: token));
        await ExpectAsync(driver, live, definition.Id, [definition.Disks[0], replacement.After]);
    }

    private async Task<DiskLayer> LayerOfAsync(DiskId id, CancellationToken cancellationToken) =>
        new(await _storage.AttachAsync(_storlink, id, DiskFormat.Qcow2, cancellationToken), DiskFormat.Qcow2);
}
