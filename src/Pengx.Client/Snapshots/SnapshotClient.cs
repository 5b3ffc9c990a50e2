namespace Pengx.Client;

internal sealed class SnapshotClient(PengxTransport transport) : ISnapshotClient
{
    public IAsyncEnumerable<SnapshotResource> ListAsync(Guid machineId, CancellationToken cancellationToken) =>
        transport.ListAsync($"vms/{machineId:D}/snapshots/", PengxShapes.Snapshot, cancellationToken: cancellationToken);

    public Task<SnapshotResource> GetAsync(Guid machineId, Guid snapshotId, CancellationToken cancellationToken) =>
        transport.GetAsync($"vms/{machineId:D}/snapshots/{snapshotId:D}/", PengxShapes.Snapshot, cancellationToken);

    public IAsyncEnumerable<DiskResource> ListDisksAsync(Guid machineId, Guid snapshotId, CancellationToken cancellationToken) =>
        transport.ListAsync($"vms/{machineId:D}/disks/snapshots/{snapshotId:D}/", PengxShapes.Disk, cancellationToken: cancellationToken);

    public async Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, SnapshotCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"vms/{machineId:D}/snapshots/", PengxRequests.SnapshotCreate, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToCreated();
    }

    public Task<ChangeResult> DeleteAsync(Guid machineId, Guid snapshotId, ChangeOptions? options, CancellationToken cancellationToken) =>
        ChangeAsync(HttpMethod.Delete, $"vms/{machineId:D}/snapshots/{snapshotId:D}/", options, cancellationToken);

    public Task<ChangeResult> RestoreAsync(Guid machineId, Guid snapshotId, ChangeOptions? options, CancellationToken cancellationToken) =>
        ChangeAsync(HttpMethod.Post, $"vms/{machineId:D}/snapshots/{snapshotId:D}/", options, cancellationToken);

    public Task<ChangeResult> StartAsync(Guid machineId, Guid snapshotId, ChangeOptions? options, CancellationToken cancellationToken) =>
        ChangeAsync(HttpMethod.Post, $"vms/{machineId:D}/start/snapshots/{snapshotId:D}/", options, cancellationToken);

    private async Task<ChangeResult> ChangeAsync(HttpMethod method, string path, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(method, path, options, cancellationToken).ConfigureAwait(false)).ToResult();
}
