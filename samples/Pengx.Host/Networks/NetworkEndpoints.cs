using Pengx.Client;
using Pengx.Orchestration;
using NetworkRequest = Pengx.Client.NetworkRequest;

namespace Pengx.Host;

/// <summary><c>/networks/</c>, <c>/dns/</c> and <c>/sriov/</c>: the host's own network (models of the reference's chapter 9).</summary>
internal static class NetworkEndpoints
{
    public static void MapNetworks(this IEndpointRouteBuilder routes)
    {
        routes.Read("/networks/", "networks", "List this host's network devices", (HttpContext http, Networks networks) =>
            http.WriteXmlListAsync(PengxShapes.Network, networks.ListAsync(http.RequestAborted), ToResource));

        routes.Read("/networks/{id}/", "network", "Show a network device", async (HttpContext http, string id, Networks networks) =>
            await http.WriteXmlAsync(PengxShapes.Network, ToResource(await networks.GetAsync(PathIds.Number("network", id), http.RequestAborted))));

        routes.Read("/networks/{id}/plan/", "plan", "Show what bringing a network device in line with its record, or deleting it, would do on the host", async (HttpContext http, string id, Networks networks) =>
        {
            var verb = http.Request.Query["verb"].ToString();
            var number = PathIds.Number("network", id);
            await Plans.WriteAsync(http, verb switch
            {
                "" or "update" => await networks.PlanUpdateAsync(number, null, http.RequestAborted),
                "delete" => await networks.PlanDeleteAsync(number, http.RequestAborted),
                _ => throw new InvalidFieldException("verb", verb, "use update or delete."),
            });
        });

        routes.Change("/networks/", ["POST"], StatusCodes.Status201Created, "Create a network device; with ?plan=true, show what that would do", async (HttpContext http, Changes changes, Networks networks) =>
        {
            if (Plans.Asked(http))
            {
                await Plans.WriteAsync(http, await networks.PlanCreateAsync(ToRequest(await http.ReadXmlAsync(PengxRequests.Network)), http.RequestAborted));
                return;
            }

            await changes.RunAsync(http, PengxRequests.Network, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                networks.CreateAsync(ToRequest(body), request, cancellationToken));
        }, request: "network").For(Role.Admin);

        routes.Change("/networks/{id}/", ["PUT"], StatusCodes.Status204NoContent, "Change a network device; with ?plan=true, show what that would do", async (HttpContext http, string id, Changes changes, Networks networks) =>
        {
            if (Plans.Asked(http))
            {
                await Plans.WriteAsync(http, await networks.PlanUpdateAsync(PathIds.Number("network", id), ToRequest(await http.ReadXmlAsync(PengxRequests.Network)), http.RequestAborted));
                return;
            }

            await changes.RunAsync(http, PengxRequests.Network, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                networks.UpdateAsync(PathIds.Number("network", id), ToRequest(body), request, cancellationToken));
        }, request: "network").For(Role.Admin);

        routes.Change("/networks/{id}/", ["DELETE"], StatusCodes.Status204NoContent, "Delete a network device that nothing needs", (HttpContext http, string id, Changes changes, Networks networks) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => networks.DeleteAsync(PathIds.Number("network", id), request, cancellationToken))).For(Role.Admin);
    }

    public static void MapNameServers(this IEndpointRouteBuilder routes)
    {
        routes.Read("/dns/", "dnses", "List this host's name servers", (HttpContext http, NameServers servers) =>
            http.WriteXmlListAsync(PengxShapes.Dns, servers.ListAsync(http.RequestAborted), ToResource));

        routes.Read("/dns/{id}/", "dns", "Show a host's name servers", async (HttpContext http, string id, NameServers servers) =>
            await http.WriteXmlAsync(PengxShapes.Dns, ToResource(await servers.GetAsync(PathIds.Number("DNS entry", id), http.RequestAborted))));

        routes.Read("/dns/{id}/plan/", "plan", "Show what bringing the host in line with its name servers' record would do", async (HttpContext http, string id, NameServers servers) =>
            await Plans.WriteAsync(http, await servers.PlanAsync(PathIds.Number("DNS entry", id), http.RequestAborted)));

        routes.Change("/dns/", ["POST"], StatusCodes.Status201Created, "Set this host's name servers; with ?plan=true, show what that would do", async (HttpContext http, Changes changes, NameServers servers) =>
        {
            if (Plans.Asked(http))
            {
                var body = await http.ReadXmlAsync(PengxRequests.Dns);
                await Plans.WriteAsync(http, servers.Plan(body.IpAddress1, body.IpAddress2));
                return;
            }

            await changes.RunAsync(http, PengxRequests.Dns, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                servers.CreateAsync(body.IpAddress1, body.IpAddress2, request, cancellationToken));
        }, request: "dns").For(Role.Admin);

        routes.Change("/dns/{id}/", ["PUT"], StatusCodes.Status204NoContent, "Change this host's name servers; with ?plan=true, show what that would do", async (HttpContext http, string id, Changes changes, NameServers servers) =>
        {
            if (Plans.Asked(http))
            {
                var body = await http.ReadXmlAsync(PengxRequests.Dns);
                await Plans.WriteAsync(http, servers.Plan(body.IpAddress1, body.IpAddress2));
                return;
            }

            await changes.RunAsync(http, PengxRequests.Dns, StatusCodes.Status204NoContent, (body, request, cancellationToken) =>
                servers.UpdateAsync(PathIds.Number("DNS entry", id), body.IpAddress1, body.IpAddress2, request, cancellationToken));
        }, request: "dns").For(Role.Admin);

        routes.Change("/dns/{id}/", ["DELETE"], StatusCodes.Status204NoContent, "Record this host's name servers no more", (HttpContext http, string id, Changes changes, NameServers servers) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => servers.DeleteAsync(PathIds.Number("DNS entry", id), request, cancellationToken))).For(Role.Admin);
    }

    public static void MapSriovCards(this IEndpointRouteBuilder routes)
    {
        routes.Read("/sriov/", "sriovs", "List this host's cards with virtual functions, and who has those", (HttpContext http, SriovCards cards) =>
            http.WriteXmlListAsync(PengxShapes.Sriov, cards.ListAsync(http.RequestAborted), ToResource));

        routes.Read("/sriov/{id}/", "sriov", "Show a card with virtual functions", async (HttpContext http, string id, SriovCards cards) =>
            await http.WriteXmlAsync(PengxShapes.Sriov, ToResource(await cards.GetAsync(PathIds.Number("SR-IOV card", id), http.RequestAborted))));

        routes.Change("/sriov/", ["POST"], StatusCodes.Status201Created, "Record a card with virtual functions, and set how many it has", (HttpContext http, Changes changes, SriovCards cards) =>
            changes.RunAsync(http, PengxRequests.Sriov, StatusCodes.Status201Created, (body, request, cancellationToken) =>
                cards.CreateAsync(body.PhysicalFunction, body.FunctionCount, request, cancellationToken)), request: "sriov").For(Role.Admin);

        routes.Change("/sriov/{id}/", ["PUT"], StatusCodes.Status204NoContent, "Set how many virtual functions a card has", (HttpContext http, string id, Changes changes, SriovCards cards) =>
            changes.RunAsync(http, PengxRequests.Sriov, StatusCodes.Status204NoContent, (body, request, cancellationToken) => cards.UpdateAsync(
                PathIds.Number("SR-IOV card", id),
                body.FunctionCount ?? throw new InvalidFieldException("num_vfs", null, "it is the number of virtual functions"),
                request,
                cancellationToken)), request: "sriov").For(Role.Admin);

        routes.Change("/sriov/{id}/", ["DELETE"], StatusCodes.Status204NoContent, "Record a card no more", (HttpContext http, string id, Changes changes, SriovCards cards) =>
            changes.RunAsync(http, StatusCodes.Status204NoContent, (request, cancellationToken) => cards.DeleteAsync(PathIds.Number("SR-IOV card", id), request, cancellationToken))).For(Role.Admin);
    }

    private static NetworkResource ToResource(NetworkView view) => new()
    {
        Id = view.Network.Id,
        Pm = view.Network.Pm.Value,
        Name = view.Network.Name,
        Category = WireNames.Of(view.Network.Category),
        Mac = view.Network.Mac?.ToString(),
        Method = WireNames.Of(view.Network.Method),
        IpAddress = view.Network.IpAddress?.ToString(),
        Prefix = view.Network.PrefixLength,
        Gateway = view.Network.Gateway?.ToString(),
        BridgeType = view.Network.BridgeType is { } type ? WireNames.Of(type) : null,
        BridgePorts = Joined(view.Network.BridgePorts),
        BondSlaves = Joined(view.Network.BondSlaves),
        BondMode = view.Network.BondModeName,
        Mtu = view.Network.Mtu,
        VlanId = view.Network.VlanId,
        VlanDevice = view.Network.VlanDevice,
        Managed = view.Network.Managed,
        Actual = view.Actual is not { } actual ? null : new NetworkActual
        {
            Mac = actual.Mac?.ToString(),
            IpAddress = actual.IpAddress?.ToString(),
            Prefix = actual.PrefixLength,
            BridgePorts = Joined(actual.BridgePorts),
            BondSlaves = Joined(actual.BondSlaves),
            BondMode = actual.BondModeName,
            Mtu = actual.Mtu,
        },
    };

    private static DnsResource ToResource(DnsView view) => new()
    {
        Id = view.Servers.Id,
        Pm = view.Servers.Pm.Value,
        IpAddress1 = view.Servers.Address1?.ToString(),
        IpAddress2 = view.Servers.Address2?.ToString(),
        Actual = view.Actual.Count == 0 ? null : string.Join(',', view.Actual),
    };

    private static SriovResource ToResource(SriovView view) => new()
    {
        Id = view.Card.Id,
        Pm = view.Card.Pm.Value,
        PhysicalFunction = view.Card.PhysicalFunction,
        Total = view.Total,
        Functions = [.. view.Functions.Select(function => new SriovFunctionResource { Address = function.Address.ToString(), Machine = function.Vm?.Value })],
    };

    private static Orchestration.NetworkRequest ToRequest(NetworkRequest body) => new()
    {
        Name = body.Name,
        Category = body.Category is { } category ? WireNames.NetworkKind(category) : null,
        Method = body.Method is { } method ? WireNames.Method(method) : null,
        IpAddress = body.IpAddress,
        PrefixLength = body.Prefix,
        Gateway = body.Gateway,
        BridgeType = body.BridgeType is { } type ? WireNames.BridgeKind(type) : null,
        BridgePorts = body.BridgePorts,
        BondSlaves = body.BondSlaves,
        BondMode = body.BondMode,
        Mtu = body.Mtu,
        VlanId = body.VlanId,
        VlanDevice = body.VlanDevice,
    };

    private static string? Joined(IReadOnlyList<string> names) => names.Count == 0 ? null : string.Join(',', names);
}
