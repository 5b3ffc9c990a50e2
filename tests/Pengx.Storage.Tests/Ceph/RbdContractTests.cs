using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>Passes what every backend must do, on a real cluster.</summary>
public sealed class RbdContractTests : StorageBackendContract, IAsyncLifetime
{
    private readonly CephCluster _cluster;
    private readonly RbdBench _bench;

    public RbdContractTests(CephCluster cluster)
    {
        _cluster = cluster;
        _bench = new(cluster, CephCluster.ContractPool);
    }

    protected override IReadOnlyList<DiskFormat> Formats => [DiskFormat.Raw, DiskFormat.Qcow2];

    protected override IStorageBackend Backend => _bench.Storage;

    protected override Storlink Storlink => _bench.Storlink;

    public async ValueTask InitializeAsync() => await _cluster.RequireAsync();

    public ValueTask DisposeAsync() => _bench.DisposeAsync();
}
