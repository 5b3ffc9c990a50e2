namespace Pengx.Client;

internal sealed class DiskClient(PengxTransport transport) : IDiskClient
{
    public IAsyncEnumerable<DiskResource> ListAsync(Guid machineId, CancellationToken cancellationToken) =>
        transport.ListAsync($"vms/{machineId:D}/disks/", PengxShapes.Disk, cancellationToken: cancellationToken);

    public Task<DiskResource> GetAsync(Guid machineId, Guid diskId, CancellationToken cancellationToken) =>
        transport.GetAsync($"vms/{machineId:D}/disks/{diskId:D}/", PengxShapes.Disk, cancellationToken);

    public async Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, DiskCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"vms/{machineId:D}/disks/", PengxRequests.DiskCreate, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToCreated();
    }

    public async Task<ChangeResult> DeleteAsync(Guid machineId, Guid diskId, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Delete, $"vms/{machineId:D}/disks/{diskId:D}/", options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }
}
