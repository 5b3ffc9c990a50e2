using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/consistency/</c>: where rows, storage, hypervisor and journal disagree.</summary>
internal static class ConsistencyEndpoints
{
    public static void MapConsistency(this IEndpointRouteBuilder routes)
    {
        routes.Read("/consistency/", "consistency", "Tell where rows, storage, hypervisor and journal disagree", async (HttpContext http, ConsistencyCheck check) =>
            await http.WriteXmlListAsync(PengxShapes.Inconsistency, check.RunAsync(http.RequestAborted), ToResource));

        routes.Change("/consistency/orphans/", ["DELETE"], StatusCodes.Status200OK, "Remove the images that belong to no disk and to no operation", async (HttpContext http, ConsistencyCheck check) =>
        {
            var removed = await check.RemoveOrphansAsync(http.RequestAborted);
            await Changes.WriteResultAsync(http, StatusCodes.Status200OK, removed.Count == 0 ? "There is no orphan." : $"Removed: {string.Join(", ", removed.Select(one => one.Subject))}.");
        }).For(Role.Admin);
    }

    private static InconsistencyResource ToResource(Inconsistency one) => new() { Kind = one.Kind.ToString(), Subject = one.Subject, Message = one.Message };
}
