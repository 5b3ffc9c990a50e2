using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/pms/</c> and <c>/pmperf/</c>: physical machines (reference, chapter 0).</summary>
internal static class HostEndpoints
{
    public static void MapHosts(this IEndpointRouteBuilder routes)
    {
        routes.Read("/pms/all/", "pms", "List physical machines", (HttpContext http, PhysicalMachines hosts) =>
            http.WriteXmlListAsync(PengxShapes.Pm, hosts.ListAsync(http.RequestAborted), ToResource));

        routes.Read("/pms/", "pm", "Show this physical machine", async (HttpContext http, PhysicalMachines hosts) =>
            await http.WriteXmlAsync(PengxShapes.Pm, ToResource(await hosts.GetOwnAsync(http.RequestAborted))));

        routes.Read("/pms/{pm}/", "pm", "Show a physical machine", async (HttpContext http, string pm, PhysicalMachines hosts) =>
            await http.WriteXmlAsync(PengxShapes.Pm, ToResource(await hosts.GetAsync(PathIds.Pm(pm), http.RequestAborted))));

        routes.Change("/pms/update-authorized-keys/", ["POST", "PUT", "GET"], StatusCodes.Status201Created, "Take every physical machine's SSH key into this one's authorized keys", (HttpContext http, Changes changes, PhysicalMachines hosts) =>
            changes.RunAsync(http, StatusCodes.Status201Created, hosts.UpdateAuthorizedKeysAsync)).For(Role.Admin);

        routes.Read("/pmperf/", "pmperf", "Show what this physical machine does", async (HttpContext http, PhysicalMachines hosts) =>
        {
            var performance = await hosts.GetPerformanceAsync(http.RequestAborted);
            await http.WriteXmlAsync(PengxShapes.PmPerformance, new PmPerformanceResource
            {
                Id = performance.Pm.Value,
                Status = "Up",
                VmCount = performance.Counters.Domains,
                Smt = performance.Facts.ThreadsPerCore,
                TotalCpuCores = performance.Facts.Cpus,
                UsedCpuCores = performance.Counters.UsedCpus,
                CpuUtilization = performance.Counters.CpuUtilization,
                TotalMemory = performance.Facts.Memory.MiB,
                UsedMemory = performance.Counters.UsedMemory.MiB,
                MemoryUtilization = performance.Counters.MemoryUtilization,
                ReceivedBytes = performance.Counters.ReceivedBytes,
                SentBytes = performance.Counters.SentBytes,
            });
        });
    }

    private static PmResource ToResource(PhysicalMachineView view) => new()
    {
        Id = view.Machine.Id.Value,
        Name = view.Machine.Name,
        Status = view.IsUp ? "Up" : "Down",
        CpuCores = view.Machine.Cpus,
        Memory = view.Machine.Memory.MiB,
        Interfaces = [.. view.Networks.Select(network => new PmInterfaceResource
        {
            Name = network.Name,
            Mac = network.Mac?.ToString(),
            Ip = network.IpAddress?.ToString(),
        })],
    };
}
