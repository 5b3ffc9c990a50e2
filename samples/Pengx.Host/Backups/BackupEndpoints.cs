using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/vms/{vm}/backups/</c>: the backups of a virtual machine (reference, chapter 6), and their disks (chapter 7).</summary>
internal static class BackupEndpoints
{
    public static void MapBackups(this IEndpointRouteBuilder routes)
    {
        routes.Read("/vms/{vm}/backups/", "vmbackups", "List a virtual machine's backups", async (HttpContext http, string vm, VirtualMachineBackups backups) =>
        {
            var parents = await backups.ListParentsAsync(PathIds.Vm(vm), http.RequestAborted);
            await http.WriteXmlListAsync(PengxShapes.Backup, backups.ListAsync(PathIds.Vm(vm), http.RequestAborted), backup => ToResource(backup, parents));
        });

        routes.Read("/vms/{vm}/backups/{backup}/", "vmbackup", "Show a backup", async (HttpContext http, string vm, string backup, VirtualMachineBackups backups) =>
            await http.WriteXmlAsync(PengxShapes.Backup, ToResource(
                await backups.GetAsync(PathIds.Vm(vm), PathIds.Backup(backup), http.RequestAborted),
                await backups.ListParentsAsync(PathIds.Vm(vm), http.RequestAborted))));

        routes.Read("/vms/{vm}/disks/backups/{backup}/", "disks", "List a backup's disks", async (HttpContext http, string vm, string backup, VirtualMachineBackups backups) =>
            await http.WriteXmlListAsync(PengxShapes.Disk, backups.ListDisksAsync(PathIds.Vm(vm), PathIds.Backup(backup), http.RequestAborted), DiskEndpoints.ToResource));

        routes.Change("/vms/{vm}/backups/", ["POST"], StatusCodes.Status200OK, "Back up a virtual machine, also one that runs", (HttpContext http, string vm, Changes changes, VirtualMachineBackups backups) =>
            changes.RunAsync(http, PengxRequests.BackupCreate, StatusCodes.Status200OK, (body, request, cancellationToken) =>
                backups.CreateAsync(
                    PathIds.Vm(vm),
                    new() { Name = body.Name, Storlink = new StorlinkId(body.Storlink), Description = body.Description, Incremental = WireNames.IsIncremental(body.Type) },
                    request,
                    cancellationToken)), request: "vm");

        routes.Change("/vms/{vm}/backups/{backup}/", ["POST"], StatusCodes.Status201Created, "Give a stopped virtual machine its disks back from a backup", (HttpContext http, string vm, string backup, Changes changes, VirtualMachineBackups backups) =>
            changes.RunAsync(http, StatusCodes.Status201Created, (request, cancellationToken) => backups.RestoreAsync(PathIds.Vm(vm), PathIds.Backup(backup), request, cancellationToken)));

        routes.Change("/vms/{vm}/backups/{backup}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a backup with its files", (HttpContext http, string vm, string backup, Changes changes, VirtualMachineBackups backups) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => backups.DeleteAsync(PathIds.Vm(vm), PathIds.Backup(backup), request, cancellationToken)));
    }

    private static BackupResource ToResource(Backup backup, IReadOnlyDictionary<BackupId, BackupId> parents) => new()
    {
        Id = backup.Id.Value,
        Name = backup.Name,
        Machine = backup.Vm.Value,
        Created = backup.CreatedAt,
        Size = backup.Size.MiBCeiling,
        Type = parents.ContainsKey(backup.Id) ? WireNames.Incremental : null,
        Parent = parents.TryGetValue(backup.Id, out var parent) ? parent.Value : null,
    };
}
