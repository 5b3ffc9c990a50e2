namespace Pengx.Host;

/// <summary>What the OpenAPI document tells of an endpoint's bodies.</summary>
/// <param name="Request">The root element that it reads; <see langword="null"/> when it reads none.</param>
/// <param name="Answer">The root element that it answers.</param>
/// <param name="Success">The status of success.</param>
internal sealed record XmlBodies(string? Request, string Answer, int Success);

/// <summary>How endpoints are declared: one line each, with what authentication, versions and documentation need.</summary>
internal static class EndpointMapExtensions
{
    public static RouteHandlerBuilder Read(this IEndpointRouteBuilder routes, string pattern, string answer, string summary, Delegate handler) =>
        routes.MapMethods(pattern, [HttpMethods.Get, HttpMethods.Head], handler).WithMetadata(new XmlBodies(null, answer, StatusCodes.Status200OK)).WithSummary(summary);

    public static RouteHandlerBuilder Change(this IEndpointRouteBuilder routes, string pattern, string[] methods, int success, string summary, Delegate handler, string? request = null, string answer = "root")
    {
        var builder = routes.MapMethods(pattern, methods, handler).WithMetadata(new XmlBodies(request, answer, success)).WithSummary(summary);
        return request is null ? builder : builder.WithMetadata(new ReadsXmlAttribute());
    }

    public static RouteHandlerBuilder V2Only(this RouteHandlerBuilder builder) => builder.WithMetadata(new V2OnlyAttribute());

    public static RouteHandlerBuilder For(this RouteHandlerBuilder builder, Role role) => builder.WithMetadata(new RequiresRoleAttribute(role));

    public static RouteHandlerBuilder ForAnyone(this RouteHandlerBuilder builder) => builder.WithMetadata(new AnonymousAttribute());
}
