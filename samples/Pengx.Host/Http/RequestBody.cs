using Microsoft.Net.Http.Headers;
using Pengx.Client;

namespace Pengx.Host;

/// <summary>Marks an endpoint that reads an XML body.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ReadsXmlAttribute : Attribute;

/// <summary>The sizes that the host refuses to exceed.</summary>
/// <param name="MaxBodyBytes">The largest request body, in bytes.</param>
internal sealed record HostLimits(int MaxBodyBytes)
{
    public XmlLimits Xml { get; } = new() { MaxBytes = MaxBodyBytes };
}

internal static class RequestBodyExtensions
{
    /// <summary>Refuses bodies of another media type (415) and too large ones (413) before anything reads them.</summary>
    public static IApplicationBuilder UseRequestBodyRules(this IApplicationBuilder app) => app.Use(async (http, next) =>
    {
        var limits = http.RequestServices.GetRequiredService<HostLimits>();
        if (http.GetEndpoint()?.Metadata.GetMetadata<ReadsXmlAttribute>() is not null && !IsXml(http.Request))
        {
            await ErrorResponse.WriteAsync(
                http,
                StatusCodes.Status415UnsupportedMediaType,
                $"The content type '{ErrorResponse.Shown(http.Request.ContentType ?? "")}' is refused: send application/xml or text/xml.");
            return;
        }

        if (http.Request.ContentLength > limits.MaxBodyBytes)
        {
            await ErrorResponse.WriteAsync(http, StatusCodes.Status413PayloadTooLarge, $"The request's body is larger than {limits.MaxBodyBytes} bytes.");
            return;
        }

        await next(http);
    });

    private static bool IsXml(HttpRequest request) =>
        MediaTypeHeaderValue.TryParse(request.ContentType, out var type)
        && (type.MediaType.Equals("application/xml", StringComparison.OrdinalIgnoreCase) || type.MediaType.Equals("text/xml", StringComparison.OrdinalIgnoreCase));
}
