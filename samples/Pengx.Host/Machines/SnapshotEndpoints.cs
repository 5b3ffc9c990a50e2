using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/vms/{vm}/snapshots/</c>: the snapshots of a virtual machine (reference, chapter 5), and what else takes one.</summary>
internal static class SnapshotEndpoints
{
    public static void MapSnapshots(this IEndpointRouteBuilder routes)
    {
        routes.Read("/vms/{vm}/snapshots/", "snapshots", "List a virtual machine's snapshots", async (HttpContext http, string vm, VirtualMachineSnapshots snapshots) =>
            await http.WriteXmlListAsync(PengxShapes.Snapshot, snapshots.ListAsync(PathIds.Vm(vm), http.RequestAborted), ToResource));

        routes.Read("/vms/{vm}/snapshots/{snapshot}/", "snapshot", "Show a snapshot", async (HttpContext http, string vm, string snapshot, VirtualMachineSnapshots snapshots) =>
            await http.WriteXmlAsync(PengxShapes.Snapshot, ToResource(await snapshots.GetAsync(PathIds.Vm(vm), PathIds.Snapshot(snapshot), http.RequestAborted))));

        routes.Change("/vms/{vm}/snapshots/", ["POST"], StatusCodes.Status201Created, "Take a snapshot of all disks at one instant, whether the machine runs or not", (HttpContext http, string vm, Changes changes, VirtualMachineSnapshots snapshots) =>
            changes.RunAsync(
                http,
                PengxRequests.SnapshotCreate,
                StatusCodes.Status201Created,
                (body, request, cancellationToken) => snapshots.CreateAsync(
                    PathIds.Vm(vm),
                    new() { Name = body.Name, Storlink = new StorlinkId(body.Storlink), Description = body.Description, Quiesce = body.Quiesce ?? false, Memory = body.Memory ?? false },
                    request,
                    cancellationToken),
                async operation => await http.WriteXmlAsync(
                    PengxShapes.SnapshotCreated,
                    ToResource(await snapshots.GetAsync(PathIds.Vm(vm), PathIds.Snapshot(operation.Created!.Split('/')[^1]), http.RequestAborted)),
                    StatusCodes.Status201Created)),
            request: "snapshot", answer: "snapshot");

        routes.Change("/vms/{vm}/snapshots/{snapshot}/", ["POST"], StatusCodes.Status201Created, "Bring a virtual machine that is shut down back to a snapshot", (HttpContext http, string vm, string snapshot, Changes changes, VirtualMachineSnapshots snapshots) =>
            changes.RunAsync(http, StatusCodes.Status201Created, (request, cancellationToken) => snapshots.RestoreAsync(PathIds.Vm(vm), PathIds.Snapshot(snapshot), request, cancellationToken)));

        routes.Change("/vms/{vm}/snapshots/{snapshot}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a snapshot; what others need of it is merged into them", (HttpContext http, string vm, string snapshot, Changes changes, VirtualMachineSnapshots snapshots) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => snapshots.DeleteAsync(PathIds.Vm(vm), PathIds.Snapshot(snapshot), request, cancellationToken)));

        routes.Change("/vms/{vm}/start/snapshots/{snapshot}/", ["POST"], StatusCodes.Status200OK, "Start a virtual machine with a snapshot, and with the memory where that was kept, too; what it ran on before is kept", (HttpContext http, string vm, string snapshot, Changes changes, VirtualMachineSnapshots snapshots) =>
            changes.RunAsync(http, StatusCodes.Status200OK, (request, cancellationToken) => snapshots.StartAsync(PathIds.Vm(vm), PathIds.Snapshot(snapshot), request, cancellationToken)));

        routes.Read("/vms/{vm}/disks/snapshots/{snapshot}/", "disks", "List the frozen disks of a snapshot", async (HttpContext http, string vm, string snapshot, VirtualMachineSnapshots snapshots) =>
            await http.WriteXmlListAsync(PengxShapes.Disk, snapshots.ListDisksAsync(PathIds.Vm(vm), PathIds.Snapshot(snapshot), http.RequestAborted), DiskEndpoints.ToResource));
    }

    private static SnapshotResource ToResource(Snapshot snapshot) => new()
    {
        Id = snapshot.Id.Value,
        Name = snapshot.Name,
        Type = snapshot.Kind == SnapshotKind.Run ? "R" : "S",
        Parent = snapshot.Parent?.Value,
        Created = snapshot.CreatedAt,
        Description = snapshot.Description,
        HasMemory = snapshot.HasMemory,
    };
}
