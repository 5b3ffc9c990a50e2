using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/vms/{vm}/interfaces/</c>: the network interfaces of a virtual machine (reference, chapter 8).</summary>
internal static class InterfaceEndpoints
{
    public static void MapInterfaces(this IEndpointRouteBuilder routes)
    {
        routes.Read("/vms/{vm}/interfaces/", "interfaces", "List a virtual machine's network interfaces", async (HttpContext http, string vm, VirtualMachineInterfaces interfaces) =>
            await http.WriteXmlListAsync(PengxShapes.Interface, interfaces.ListAsync(PathIds.Vm(vm), http.RequestAborted), ToResource));

        routes.Read("/vms/{vm}/interfaces/{nic}/", "interface", "Show a network interface", async (HttpContext http, string vm, string nic, VirtualMachineInterfaces interfaces) =>
            await http.WriteXmlAsync(PengxShapes.Interface, ToResource(await interfaces.GetAsync(PathIds.Vm(vm), PathIds.Interface(nic), http.RequestAborted))));

        routes.Change("/vms/{vm}/interfaces/", ["POST"], StatusCodes.Status201Created, "Create a network interface, plugged in at once while the machine runs", (HttpContext http, string vm, Changes changes, VirtualMachineInterfaces interfaces) =>
            changes.RunAsync(http, PengxRequests.InterfaceCreate, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                interfaces.CreateAsync(PathIds.Vm(vm), new() { Switch = body.InterfaceName, IpAddress = body.IpAddress }, request, cancellationToken)), request: "vms");

        foreach (var pattern in (string[])["/vms/{vm}/interfaces/{nic}/update/", "/vms/{vm}/interfaces/{nic}/"])
        {
            routes.Change(pattern, ["PUT"], StatusCodes.Status204NoContent, "Change a network interface; a running guest keeps what it has", (HttpContext http, string vm, string nic, Changes changes, VirtualMachineInterfaces interfaces) =>
                changes.RunAsync(http, PengxRequests.InterfaceUpdate, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                    interfaces.UpdateAsync(PathIds.Vm(vm), PathIds.Interface(nic), new() { IpAddress = body.IpAddress }, request, cancellationToken)), request: "vms").V2Only();
        }

        routes.Change("/vms/{vm}/interfaces/{nic}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a network interface; a running guest keeps it until its next power-off", (HttpContext http, string vm, string nic, Changes changes, VirtualMachineInterfaces interfaces) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => interfaces.DeleteAsync(PathIds.Vm(vm), PathIds.Interface(nic), request, cancellationToken)));
    }

    private static InterfaceResource ToResource(VmInterface nic) => new()
    {
        Id = nic.Id.Value,
        Mac = nic.Mac.ToString(),
        Name = nic.Name,
        Ip = nic.IpAddress?.ToString(),
        Machine = nic.Vm.Value,
    };
}
