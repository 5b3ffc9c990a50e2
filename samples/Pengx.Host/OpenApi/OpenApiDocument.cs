using Microsoft.OpenApi;

namespace Pengx.Host;

/// <summary>The machine-readable contract, made from the endpoints themselves.</summary>
internal static class OpenApiDocumentExtensions
{
    private const string Xml = "application/xml";

    public static IServiceCollection AddPengxOpenApi(this IServiceCollection services) => services.AddOpenApi(options =>
    {
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo
            {
                Title = "pengx3",
                Version = "v2",
                Description = "Physical machines, storage links, templates and virtual machines of a Xen or QEMU host, in XML. "
                    + "Every failure is <root><result>False</result><message>…</message></root> with the matching status.",
            };
            return Task.CompletedTask;
        });
        options.AddOperationTransformer((operation, context, _) =>
        {
            if (context.Description.ActionDescriptor.EndpointMetadata.OfType<XmlBodies>().FirstOrDefault() is not { } bodies)
            {
                return Task.CompletedTask;
            }

            var (method, pattern) = (context.Description.HttpMethod ?? "", context.Description.RelativePath ?? "");
            if (bodies.Request is { } request)
            {
                operation.RequestBody = new OpenApiRequestBody { Required = true, Content = Content(DescribedBodies.RequestOf(method, pattern, request)) };
            }

            operation.Responses = new OpenApiResponses
            {
                [bodies.Success.ToString(System.Globalization.CultureInfo.InvariantCulture)] = bodies.Success == StatusCodes.Status204NoContent
                    ? new OpenApiResponse { Description = "Done; the result is in the headers X-Pengx-Result and X-Pengx-Message." }
                    : new OpenApiResponse { Description = "Done.", Content = Content(DescribedBodies.AnswerOf(method, pattern, bodies.Answer)) },
                ["default"] = new OpenApiResponse { Description = "Refused or failed.", Content = Content(DescribedBodies.Result) },
            };
            return Task.CompletedTask;
        });
    });

    private static Dictionary<string, OpenApiMediaType> Content(OpenApiSchema schema) => new() { [Xml] = new OpenApiMediaType { Schema = schema } };
}
