using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/healthz</c>: the process serves. <c>/readyz</c>: database, hypervisor and storage links can be reached; operations that
/// need a person are named.</summary>
internal static class HealthEndpoints
{
    private static readonly TimeSpan CheckTimeout = TimeSpan.FromSeconds(10);

    public static void MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.Read("/healthz", "root", "Tell whether the service is alive", (HttpContext http) =>
            http.WriteXmlAsync(PengxShapes.Result, new ResultBody(true, "The service is alive."))).ForAnyone();

        routes.Read("/readyz", "root", "Tell whether database, hypervisor and storage can be reached", ReadyAsync).ForAnyone();
    }

    private static async Task ReadyAsync(HttpContext http, IHypervisorDriver driver, IPengxStore store, Storlinks storlinks, IOperations operations)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted);
        limit.CancelAfter(CheckTimeout);
        List<string> troubles = [];
        await CheckAsync(troubles, "The database", async () =>
        {
            await using var session = await store.OpenAsync(limit.Token);
            await foreach (var _ in session.PhysicalMachines.ListAsync(limit.Token))
            {
                break;
            }
        });
        await CheckAsync(troubles, $"The hypervisor {driver.Name}", () => driver.Domains.ListAsync(limit.Token));
        await CheckAsync(troubles, "Storage", async () =>
        {
            foreach (var storlink in await storlinks.ListAsync(limit.Token))
            {
                if (storlink.Capacity is null)
                {
                    troubles.Add($"Storlink {storlink.Storlink.Id} '{storlink.Storlink.Name}' cannot be reached.");
                }
            }
        });

        List<string> attention = [];
        await CheckAsync(troubles, "The journal", async () =>
        {
            await foreach (var operation in operations.ListAsync(new OperationQuery { UnfinishedOnly = true }, limit.Token))
            {
                if (operation.NeedsAttention)
                {
                    attention.Add($"operation {operation.Id} ({operation.Kind}) needs attention: {operation.Message}");
                }
            }
        });

        var notes = attention.Count == 0 ? "" : $" But {string.Join("; ", attention)}.";
        if (troubles.Count > 0)
        {
            await ErrorResponse.WriteAsync(http, StatusCodes.Status503ServiceUnavailable, string.Join(" ", troubles) + notes);
            return;
        }

        await http.WriteXmlAsync(PengxShapes.Result, new ResultBody(true, $"Database, hypervisor {driver.Name} and storage can be reached.{notes}"));
    }

    private static async Task CheckAsync(List<string> troubles, string what, Func<Task> check)
    {
        try
        {
            await check();
        }
        catch (PengxException exception)
        {
            troubles.Add($"{what} cannot be reached: {exception.Message}");
        }
        catch (OperationCanceledException)
        {
            troubles.Add($"{what} did not answer in time.");
        }
    }
}
