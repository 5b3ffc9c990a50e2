using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/storlinks/</c>: where disks live (reference, chapter 1).</summary>
internal static class StorlinkEndpoints
{
    public static void MapStorlinks(this IEndpointRouteBuilder routes)
    {
        routes.Read("/storlinks/", "storlinks", "List this host's own and the shared storage links", (HttpContext http, Storlinks storlinks) =>
            http.WriteXmlListAsync(PengxShapes.Storlink, storlinks.ListAsync(http.RequestAborted), ToResource));

        routes.Read("/storlinks/all/", "storlinks", "List every host's storage links", (HttpContext http, Storlinks storlinks) =>
            http.WriteXmlListAsync(PengxShapes.StorlinkWithPmName, storlinks.ListAllAsync(http.RequestAborted), ToResource)).V2Only();

        routes.Read("/storlinks/{id}/", "storlink", "Show a storage link", async (HttpContext http, string id, Storlinks storlinks) =>
            await http.WriteXmlAsync(PengxShapes.Storlink, ToResource(await storlinks.GetAsync(PathIds.Storlink(id), http.RequestAborted))));

        routes.Change("/storlinks/create/", ["POST"], StatusCodes.Status201Created, "Create a storage link", (HttpContext http, Changes changes, Storlinks storlinks) =>
            changes.RunAsync(http, PengxRequests.StorlinkCreate, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                storlinks.CreateAsync(
                    new() { Name = body.Name, Link = body.Link, Type = WireNames.Type(body.Type), Level = WireNames.Level(body.Level), Shared = body.Shared ?? false, Description = body.Description },
                    request,
                    cancellationToken)), request: "storlink").For(Role.Admin);

        routes.Change("/storlinks/{id}/", ["PUT"], StatusCodes.Status204NoContent, "Change a storage link", (HttpContext http, string id, Changes changes, Storlinks storlinks) =>
            changes.RunAsync(http, PengxRequests.StorlinkUpdate, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                storlinks.UpdateAsync(
                    PathIds.Storlink(id),
                    new()
                    {
                        Name = body.Name,
                        Link = body.Link,
                        Type = body.Type is { } type ? WireNames.Type(type) : null,
                        Level = body.Level is { } level ? WireNames.Level(level) : null,
                        Shared = body.Shared,
                        Description = body.Description,
                    },
                    request,
                    cancellationToken)), request: "storlink").For(Role.Admin);

        routes.Change("/storlinks/{id}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a storage link that nothing uses", (HttpContext http, string id, Changes changes, Storlinks storlinks) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => storlinks.DeleteAsync(PathIds.Storlink(id), request, cancellationToken))).For(Role.Admin);
    }

    private static StorlinkResource ToResource(StorlinkView view) => new()
    {
        Id = view.Storlink.Id.Value,
        Pm = view.Storlink.Pm.Value,
        PmName = view.PmName,
        Name = view.Storlink.Name,
        Link = view.Storlink.Link,
        Type = WireNames.Of(view.Storlink.Type),
        Level = WireNames.Of(view.Storlink.Level),
        Size = view.Capacity?.Size.MiB,
        Free = view.Capacity?.Free.MiB,
        Description = view.Storlink.Description,
        Shared = view.Storlink.Shared,
    };
}
