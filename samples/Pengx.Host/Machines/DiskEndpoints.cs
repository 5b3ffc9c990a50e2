using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/vms/{vm}/disks/</c>: the disks of a virtual machine (reference, chapter 7).</summary>
internal static class DiskEndpoints
{
    public static void MapDisks(this IEndpointRouteBuilder routes)
    {
        routes.Read("/vms/{vm}/disks/", "disks", "List a virtual machine's disks", async (HttpContext http, string vm, VirtualMachineDisks disks) =>
            await http.WriteXmlListAsync(PengxShapes.Disk, disks.ListAsync(PathIds.Vm(vm), http.RequestAborted), disk => ToCurrent(vm, disk)));

        routes.Read("/vms/{vm}/disks/{disk}/", "disk", "Show a disk", async (HttpContext http, string vm, string disk, VirtualMachineDisks disks) =>
            await http.WriteXmlAsync(PengxShapes.Disk, ToCurrent(vm, await disks.GetAsync(PathIds.Vm(vm), PathIds.Disk(disk), http.RequestAborted))));

        routes.Change("/vms/{vm}/disks/", ["POST"], StatusCodes.Status201Created, "Create a disk, plugged in at once while the machine runs", (HttpContext http, string vm, Changes changes, VirtualMachineDisks disks) =>
            changes.RunAsync(
                http,
                PengxRequests.DiskCreate,
                StatusCodes.Status201Created,
                (body, request, cancellationToken) => disks.CreateAsync(
                    PathIds.Vm(vm),
                    new() { SizeMiB = body.Size, Storlink = new StorlinkId(body.Storlink), Description = body.Description },
                    request,
                    cancellationToken),
                async operation => await http.WriteXmlAsync(
                    PengxShapes.Disk,
                    ToCurrent(vm, await disks.GetAsync(PathIds.Vm(vm), PathIds.Disk(operation.Created!.Split('/')[^1]), http.RequestAborted)),
                    StatusCodes.Status201Created)),
            request: "disk", answer: "disk");

        routes.Change("/vms/{vm}/disks/{disk}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a disk, unplugged first while the machine runs", (HttpContext http, string vm, string disk, Changes changes, VirtualMachineDisks disks) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => disks.DeleteAsync(PathIds.Vm(vm), PathIds.Disk(disk), request, cancellationToken)));
    }

    public static DiskResource ToResource(Disk disk) => new()
    {
        Id = disk.Id.Value,
        Order = disk.Order,
        Size = disk.Size.MiBCeiling,
        Machine = OwnerId(disk, DiskOwnerKind.Vm),
        Snapshot = OwnerId(disk, DiskOwnerKind.Snapshot),
        Backup = OwnerId(disk, DiskOwnerKind.Backup),
        Template = OwnerId(disk, DiskOwnerKind.Template),
        Description = disk.Description,
        Created = disk.CreatedAt,
        Format = disk.Format.Name,
        Type = disk.Type,
        Storlink = disk.Storlink.Value,
    };

    // What a machine with snapshots runs on belongs to its hidden run snapshot, and is the machine's to everybody else.
    private static DiskResource ToCurrent(string vm, Disk disk) => ToResource(disk) with { Machine = PathIds.Vm(vm).Value, Snapshot = null };

    private static Guid? OwnerId(Disk disk, DiskOwnerKind kind) => disk.Owner.Kind == kind ? disk.Owner.Id : null;
}
