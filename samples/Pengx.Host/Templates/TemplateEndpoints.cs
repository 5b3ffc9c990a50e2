using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/templates/</c>: golden machines (reference, chapter 2), and booting them to install them.</summary>
internal static class TemplateEndpoints
{
    public static void MapTemplates(this IEndpointRouteBuilder routes)
    {
        routes.Read("/templates/", "templates", "List templates", (HttpContext http, Templates templates) =>
            http.WriteXmlListAsync(http.AskedVersion() == ApiVersion.V2 ? PengxShapes.TemplateWithState : PengxShapes.Template, templates.ListAsync(http.RequestAborted), ToResource));

        routes.Read("/templates/{template}/", "template", "Show a template", async (HttpContext http, string template, Templates templates) =>
            await http.WriteXmlAsync(PengxShapes.TemplateDetail, ToResource(await templates.GetAsync(PathIds.Template(template), http.RequestAborted)))).V2Only();

        routes.Read("/templates/{template}/disks/", "disks", "List a template's disks", async (HttpContext http, string template, Templates templates) =>
            await http.WriteXmlListAsync(PengxShapes.Disk, templates.ListDisksAsync(PathIds.Template(template), http.RequestAborted), DiskEndpoints.ToResource));

        routes.Change("/templates/add/", ["POST"], StatusCodes.Status201Created, "Add a template whose images already lie on their storage links", (HttpContext http, Changes changes, Templates templates) =>
            changes.RunAsync(http, PengxRequests.TemplateAdd, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                templates.AddAsync(
                    new()
                    {
                        Name = body.Name,
                        Os = WireNames.Os(body.Os),
                        Architecture = WireNames.Architecture(body.OsArch),
                        Description = body.Description,
                        Disks = [.. body.Disks.Select(disk => new ExistingImage(new StorlinkId(disk.Storlink), new DiskId(disk.Id), WireNames.Format("format", disk.Format)))],
                    },
                    request,
                    cancellationToken)), request: "template");

        routes.Change("/templates/add_new/", ["POST"], StatusCodes.Status201Created, "Add a template with new, empty images", (HttpContext http, Changes changes, Templates templates) =>
            changes.RunAsync(http, PengxRequests.TemplateAddNewImage, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                templates.AddNewAsync(
                    new()
                    {
                        Name = body.Name,
                        Os = WireNames.Os(body.Os),
                        Architecture = WireNames.Architecture(body.OsArch),
                        Description = body.Description,
                        Disks = [.. body.Disks.Select(disk => new NewImage(new StorlinkId(disk.Storlink), disk.Size, WireNames.Format("format", disk.Format)))],
                    },
                    request,
                    cancellationToken)), request: "template").V2Only();

        routes.Change("/templates/create/vms/{vm}/", ["POST"], StatusCodes.Status201Created, "Create a template from a virtual machine", (HttpContext http, string vm, Changes changes, Templates templates) =>
            changes.RunAsync(
                http,
                PengxRequests.TemplateCreate,
                StatusCodes.Status201Created,
                (body, request, cancellationToken) => templates.CreateAsync(
                    PathIds.Vm(vm),
                    new() { Name = body.Name, Storlink = new StorlinkId(body.Storlink), Description = body.Description },
                    request,
                    cancellationToken),
                async operation => await http.WriteXmlAsync(
                    PengxShapes.TemplateCreated,
                    ToResource(await templates.GetAsync(PathIds.Template(operation.Created!.Split('/')[^1]), http.RequestAborted)),
                    StatusCodes.Status201Created)),
            request: "template", answer: "template");

        routes.Change("/templates/{template}/", ["PUT"], StatusCodes.Status204NoContent, "Change a template's name, system and description", (HttpContext http, string template, Changes changes, Templates templates) =>
            changes.RunAsync(http, PengxRequests.TemplateUpdate, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                templates.UpdateAsync(
                    PathIds.Template(template),
                    new()
                    {
                        Name = body.Name,
                        Os = body.Os is { } os ? WireNames.Os(os) : null,
                        Architecture = body.OsArch is { } architecture ? WireNames.Architecture(architecture) : null,
                        Description = body.Description,
                    },
                    request,
                    cancellationToken)), request: "template");

        routes.Change("/templates/{template}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a template that no machine was made from", (HttpContext http, string template, Changes changes, Templates templates) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => templates.DeleteAsync(PathIds.Template(template), request, cancellationToken)));

        routes.Change("/templates/{template}/start/", ["POST"], StatusCodes.Status200OK, "Boot a template, with an ISO image to install it", (HttpContext http, string template, Changes changes, Templates templates) =>
            changes.RunAsync(http, PengxRequests.TemplateStart, StatusCodes.Status200OK, (body, request, cancellationToken) =>
                templates.StartAsync(PathIds.Template(template), body.Iso, request, cancellationToken)), request: "template");

        routes.Change("/templates/{template}/shutdown/", ["POST"], StatusCodes.Status200OK, "Ask a template's guest to shut down", (HttpContext http, string template, Changes changes, Templates templates) =>
            changes.RunAsync(http, StatusCodes.Status200OK, (request, cancellationToken) => templates.ShutdownAsync(PathIds.Template(template), request, cancellationToken)));

        routes.Change("/templates/{template}/poweroff/", ["POST"], StatusCodes.Status200OK, "Stop a template at once", (HttpContext http, string template, Changes changes, Templates templates) =>
            changes.RunAsync(http, StatusCodes.Status200OK, (request, cancellationToken) => templates.PowerOffAsync(PathIds.Template(template), request, cancellationToken)));
    }

    private static TemplateResource ToResource(TemplateView view) => new()
    {
        Id = view.Template.Id.Value,
        Name = view.Template.Name,
        Size = view.Size.MiBCeiling,
        Os = WireNames.Of(view.Template.Os),
        OsArch = WireNames.Of(view.Template.Architecture),
        Description = view.Template.Description,
        Locked = view.Locked,
        Pm = view.Template.Pm.Value,
        State = WireNames.Of(view.State),
        LastBootTime = view.Template.RecentBootedAt,
        VncPort = view.Vnc?.Port,
        VncPassword = view.Template.VncPassword,
    };
}
