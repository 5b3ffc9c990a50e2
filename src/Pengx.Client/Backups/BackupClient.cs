namespace Pengx.Client;

internal sealed class BackupClient(PengxTransport transport) : IBackupClient
{
    public IAsyncEnumerable<BackupResource> ListAsync(Guid machineId, CancellationToken cancellationToken) =>
        transport.ListAsync($"vms/{machineId:D}/backups/", PengxShapes.Backup, cancellationToken: cancellationToken);

    public Task<BackupResource> GetAsync(Guid machineId, Guid backupId, CancellationToken cancellationToken) =>
        transport.GetAsync($"vms/{machineId:D}/backups/{backupId:D}/", PengxShapes.Backup, cancellationToken);

    public IAsyncEnumerable<DiskResource> ListDisksAsync(Guid machineId, Guid backupId, CancellationToken cancellationToken) =>
        transport.ListAsync($"vms/{machineId:D}/disks/backups/{backupId:D}/", PengxShapes.Disk, cancellationToken: cancellationToken);

    public async Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, BackupCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"vms/{machineId:D}/backups/", PengxRequests.BackupCreate, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToCreated();
    }

    public async Task<ChangeResult> RestoreAsync(Guid machineId, Guid backupId, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"vms/{machineId:D}/backups/{backupId:D}/", options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }

    public async Task<ChangeResult> DeleteAsync(Guid machineId, Guid backupId, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Delete, $"vms/{machineId:D}/backups/{backupId:D}/", options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }
}
