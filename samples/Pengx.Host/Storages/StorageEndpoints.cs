using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/storages/</c> and <c>/isos/</c>: the layers beneath storage links, and ISO images (models of the reference's chapter 9).</summary>
internal static class StorageEndpoints
{
    public static void MapStorages(this IEndpointRouteBuilder routes)
    {
        routes.Read("/storages/", "storages", "List this host's layers of storage", (HttpContext http, StorageLayers storages) =>
            http.WriteXmlListAsync(PengxShapes.Storage, storages.ListAsync(http.RequestAborted), ToResource));

        routes.Read("/storages/{id}/", "storage", "Show a layer of storage", async (HttpContext http, string id, StorageLayers storages) =>
            await http.WriteXmlAsync(PengxShapes.Storage, ToResource(await storages.GetAsync(Id(id), http.RequestAborted))));

        routes.Read("/storages/{id}/plan/", "plan", "Show what attach, detach, resize or delete (?verb=) would do", async (HttpContext http, string id, StorageLayers storages) =>
            await Plans.WriteAsync(http, await storages.PlanAsync(Id(id), WireNames.Verb(http.Request.Query["verb"].ToString()), Size(http), http.RequestAborted)));

        routes.Change("/storages/", ["POST"], StatusCodes.Status201Created, "Prepare a layer of storage; with ?plan=true, show what that would do", async (HttpContext http, Changes changes, StorageLayers storages) =>
        {
            if (Plans.Asked(http))
            {
                await Plans.WriteAsync(http, await storages.PlanCreateAsync(ToRequest(await http.ReadXmlAsync(PengxRequests.StorageCreate)), http.RequestAborted));
                return;
            }

            await changes.RunAsync(http, PengxRequests.StorageCreate, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                storages.CreateAsync(ToRequest(body), request, cancellationToken));
        }, request: "storage").For(Role.Admin);

        routes.Change("/storages/{id}/", ["PUT"], StatusCodes.Status204NoContent, "Grow a layer of storage", (HttpContext http, string id, Changes changes, StorageLayers storages) =>
            changes.RunAsync(http, PengxRequests.StorageUpdate, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                storages.ResizeAsync(Id(id), body.Size, request, cancellationToken)), request: "storage").For(Role.Admin);

        routes.Change("/storages/{id}/attach/", ["POST"], StatusCodes.Status200OK, "Make a layer of storage usable on this host", (HttpContext http, string id, Changes changes, StorageLayers storages) =>
            changes.RunAsync(http, StatusCodes.Status200OK, (request, cancellationToken) => storages.AttachAsync(Id(id), request, cancellationToken))).For(Role.Admin);

        routes.Change("/storages/{id}/detach/", ["POST"], StatusCodes.Status200OK, "Take a layer of storage out of use on this host", (HttpContext http, string id, Changes changes, StorageLayers storages) =>
            changes.RunAsync(http, StatusCodes.Status200OK, (request, cancellationToken) => storages.DetachAsync(Id(id), request, cancellationToken))).For(Role.Admin);

        routes.Change("/storages/{id}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a layer of storage with what is on it", (HttpContext http, string id, Changes changes, StorageLayers storages) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => storages.DeleteAsync(Id(id), request, cancellationToken))).For(Role.Admin);
    }

    public static void MapIsos(this IEndpointRouteBuilder routes)
    {
        routes.Read("/isos/", "isos", "List the ISO images in the host's directories", (HttpContext http, IsoLibrary isos) =>
            http.WriteXmlListAsync(PengxShapes.Iso, Task.FromResult(isos.List()), ToResource));

        routes.Read("/isos/{name}/", "iso", "Show an ISO image", async (HttpContext http, string name, IsoLibrary isos) =>
            await http.WriteXmlAsync(PengxShapes.Iso, ToResource(isos.List().FirstOrDefault(image => image.Name == name) ?? throw new NotFoundException("ISO image", ErrorResponse.Shown(name)))));
    }

    private static int Id(string text) => PathIds.Number("storage", text);

    private static long? Size(HttpContext http)
    {
        var text = http.Request.Query["size"].ToString();
        return text.Length == 0 ? null
            : long.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var size) ? size
            : throw new InvalidFieldException("size", text, "it is given in whole MiB.");
    }

    private static IsoResource ToResource(IsoImage image) => new() { Name = image.Name, Size = image.Size.MiBCeiling };

    private static StorageResource ToResource(StorageView view) => new()
    {
        Id = view.Layer.Id,
        Pm = view.Layer.Pm.Value,
        Category = WireNames.Of(view.Layer.Category),
        Size = view.Layer.Size.Bytes > 0 ? view.Layer.Size.MiB : null,
        Free = view.Layer.Size.Bytes > 0 ? view.Layer.Free.MiB : null,
        Uuid = view.Layer.Uuid,
        Name = view.Layer.Name,
        MountPoint = view.Layer.MountPoint,
        FileSystem = view.Layer.FileSystem,
        MountOptions = view.Layer.MountOptions,
        TargetIp = view.Layer.TargetIp?.ToString(),
        TargetPort = view.Layer.TargetPort,
        Target = view.Layer.Target,
        Lun = view.Layer.Lun,
        ChapUser = view.Layer.ChapUser,
        PvIds = Joined(view.Layer.PhysicalVolumeIds),
        VgId = view.Layer.VolumeGroupId,
        DeviceId = view.Layer.DeviceId,
        DrbdResourceName = view.Layer.DrbdResourceName,
        DrbdDisk = view.Layer.DrbdDisk,
        DrbdPeerIp = Joined([.. view.Layer.DrbdPeerIps.Select(address => address.ToString())]),
        DrbdIp = view.Layer.DrbdIp?.ToString(),
        DrbdMinor = view.Layer.DrbdMinor,
        DrbdPort = view.Layer.DrbdPort,
        LvNo = view.Layer.LogicalVolumeCount,
        Attached = view.Attached,
        Warnings = view.Warnings,
        Nodes = [.. view.Nodes.Select(node => new StorageNodeResource { Pm = node.Pm.Value, PeerIp = node.PeerIp.ToString(), PeerName = node.PeerName, Number = node.Number })],
    };

    private static StorageRequest ToRequest(StorageCreateRequest body) => new()
    {
        Category = WireNames.StorageKind(body.Category),
        Name = body.Name,
        SizeMiB = body.Size,
        MountPoint = body.MountPoint,
        FileSystem = body.FileSystem,
        Format = body.Format ?? false,
        Consent = body.Consent,
        MountOptions = body.MountOptions,
        TargetIp = body.TargetIp,
        TargetPort = body.TargetPort,
        Target = body.Target,
        Lun = body.Lun,
        ChapUser = body.ChapUser,
        ChapSecret = body.ChapSecret,
        PhysicalVolumeIds = body.PvIds,
        VolumeGroupId = body.VgId,
        Kind = body.LvKind is { } kind ? WireNames.VolumeKind(kind) : LogicalVolumeKind.Thick,
        Pool = body.LvPool,
        DeviceId = body.DeviceId,
        DrbdResourceName = body.DrbdResourceName,
        DrbdDisk = body.DrbdDisk,
        DrbdPeerIps = body.DrbdPeerIp,
        DrbdIp = body.DrbdIp,
        DrbdMinor = body.DrbdMinor,
        DrbdPort = body.DrbdPort,
        Nodes = [.. body.Nodes.Select(node => new StorageNodeRequest(new PmId(node.Pm), node.PeerIp, node.PeerName, node.Number))],
    };

    private static string? Joined(IReadOnlyList<string> items) => items.Count == 0 ? null : string.Join(',', items);
}
