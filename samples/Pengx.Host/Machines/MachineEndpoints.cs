using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/vms/</c>: virtual machines and their control (reference, chapters 3 and 4).</summary>
internal static class MachineEndpoints
{
    public static void MapMachines(this IEndpointRouteBuilder routes)
    {
        routes.Read("/vms/", "vms", "List virtual machines", (HttpContext http, VirtualMachines machines) =>
            http.WriteXmlListAsync(PengxShapes.Machine, machines.StreamAsync(http.RequestAborted).Select(ToResource)));

        routes.Read("/vms/{vm}/", "vm", "Show a virtual machine", async (HttpContext http, string vm, VirtualMachines machines) =>
            await http.WriteXmlAsync(PengxShapes.MachineDetail, ToResource(await machines.GetAsync(PathIds.Vm(vm), http.RequestAborted))));

        routes.Change("/vms/", ["POST"], StatusCodes.Status201Created, "Create a virtual machine", (HttpContext http, Changes changes, VirtualMachines machines) =>
            changes.RunAsync(http, PengxRequests.MachineCreate, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                machines.CreateAsync(ToCommand(body), request, cancellationToken)), request: "vm");

        foreach (var pattern in (string[])["/vms/{vm}/resize/", "/vms/{vm}/update/"])
        {
            routes.Change(pattern, ["POST", "PUT"], StatusCodes.Status204NoContent, "Change processors and memory", (HttpContext http, string vm, Changes changes, VirtualMachines machines) =>
                changes.RunAsync(http, PengxRequests.MachineUpdate, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                    machines.ResizeAsync(PathIds.Vm(vm), new() { Cpus = body.CpuCores, MemoryMiB = body.Memory, MaxMemoryMiB = body.MaxMemory }, request, cancellationToken)), request: "vm");
        }

        routes.Change("/vms/{vm}/edit/", ["PUT"], StatusCodes.Status204NoContent, "Change name and description", (HttpContext http, string vm, Changes changes, VirtualMachines machines) =>
            changes.RunAsync(http, PengxRequests.MachineEdit, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                machines.EditAsync(PathIds.Vm(vm), new() { Name = body.Name, Description = body.Description }, request, cancellationToken)), request: "vm").V2Only();

        routes.Change("/vms/{vm}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a virtual machine with its disks", (HttpContext http, string vm, Changes changes, VirtualMachines machines) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => machines.DeleteAsync(PathIds.Vm(vm), request, cancellationToken)));

        routes.Change("/vms/{vm}/copy/", ["POST"], StatusCodes.Status201Created, "Copy a virtual machine, also one that runs", (HttpContext http, string vm, Changes changes, VirtualMachines machines) =>
            changes.RunAsync(http, PengxRequests.MachineCopy, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                machines.CopyAsync(PathIds.Vm(vm), new() { Name = body.Name, Storlink = new StorlinkId(body.Storlink) }, request, cancellationToken)), request: "vm");

        routes.Change("/vms/{vm}/smigrate/", ["POST"], StatusCodes.Status201Created, "Move a virtual machine's disks to another storage link; its snapshots are removed", (HttpContext http, string vm, Changes changes, VirtualMachines machines) =>
            changes.RunAsync(http, PengxRequests.MachineStorageMigrate, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                machines.MoveDisksAsync(PathIds.Vm(vm), new StorlinkId(body.Storlink), request, cancellationToken)), request: "vm");

        routes.Change("/vms/{vm}/migrate/", ["POST"], StatusCodes.Status200OK, "Move a virtual machine to another physical machine", (HttpContext http, string vm, Changes changes, VirtualMachines machines) =>
            changes.RunAsync(http, PengxRequests.MachineMigrate, StatusCodes.Status200OK, (body, request, cancellationToken) =>
                machines.MigrateAsync(PathIds.Vm(vm), new PmId(body.Pm), request, cancellationToken)), request: "vm");

        Control("start", "Start a virtual machine", machines => machines.StartAsync);
        Control("shutdown", "Ask the guest to shut down", machines => machines.ShutdownAsync);
        Control("poweroff", "Stop a virtual machine at once", machines => machines.PowerOffAsync);
        Control("reboot", "Ask the guest to reboot", machines => machines.RebootAsync);
        Control("reset", "Stop a virtual machine at once and start it", machines => machines.ResetAsync);
        Control("suspend", "Stop the guest's processors", machines => machines.SuspendAsync);
        Control("resume", "Let the guest's processors run again", machines => machines.ResumeAsync);

        void Control(string verb, string summary, Func<VirtualMachines, Func<VmId, OperationRequest, CancellationToken, Task<Operation>>> of) =>
            routes.Change($"/vms/{{vm}}/{verb}/", ["POST"], StatusCodes.Status200OK, summary, (HttpContext http, string vm, Changes changes, VirtualMachines machines) =>
                changes.RunAsync(http, StatusCodes.Status200OK, (request, cancellationToken) => of(machines)(PathIds.Vm(vm), request, cancellationToken)));
    }

    private static CreateVirtualMachine ToCommand(MachineCreateRequest body) => new()
    {
        Name = body.Name,
        Template = body.Template is { } template ? new TemplateId(template) : null,
        Storlink = new StorlinkId(body.Storlink),
        Cpus = body.CpuCores,
        MemoryMiB = body.Memory,
        MaxMemoryMiB = body.MaxMemory,
        OsDiskSizeMiB = body.OsDiskSize,
        ExtraDiskSizeMiB = body.ExtraDiskSize,
        DiskFormat = body.DiskFormat is { } format ? WireNames.Format("disk_format", format) : DiskFormat.Qcow2,
        Networks = body.Networks,
        Description = body.Description,
        Os = body.Os is { } os ? WireNames.Os(os) : null,
        Architecture = body.OsArch is { } architecture ? WireNames.Architecture(architecture) : null,
    };

    private static MachineResource ToResource(VirtualMachineView view) => new()
    {
        Id = view.Machine.Id.Value,
        Name = view.Machine.Name,
        Status = WireNames.Of(view.State),
        CpuCores = view.Machine.Cpus,
        Memory = view.Machine.Memory.MiB,
        MaxMemory = view.Machine.MaxMemory.MiB,
        DiskSize = view.DiskSize.MiBCeiling,
        Pm = view.Machine.Pm.Value,
        Nics = [.. view.Interfaces.Select(nic => new MachineNicResource { Name = nic.Name, Mac = nic.Mac.ToString(), Network = nic.Switch })],
        Os = WireNames.Of(view.Machine.Os),
        OsArch = WireNames.Of(view.Machine.Architecture),
        Created = view.Machine.CreatedAt,
        LastBootTime = view.Machine.RecentBootedAt,
        VncPort = view.Vnc?.Port,
        VncPassword = view.Machine.VncPassword,
    };
}
