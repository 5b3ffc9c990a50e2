using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace Pengx.Host;

/// <summary>The versions of the API.</summary>
internal enum ApiVersion
{
    V1 = 1,
    V2 = 2,
}

/// <summary>The version that a request asked for.</summary>
/// <param name="Version">The version to answer in.</param>
/// <param name="Explicit">Whether the request named it; one that did not may use routes that only v2 has.</param>
internal sealed record RequestedVersion(ApiVersion Version, bool Explicit);

/// <summary>Marks an endpoint that only v2 has.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class V2OnlyAttribute : Attribute;

/// <summary>Finds the version in the path's prefix (<c>/v1</c>, <c>/api/v2</c>, <c>/api</c>), else in the Accept header, and takes the
/// prefix off before routing.</summary>
internal static class ApiVersionExtensions
{
    public static IApplicationBuilder UseApiVersions(this IApplicationBuilder app) => app.Use(async (http, next) =>
    {
        var path = http.Request.Path;
        var hasPrefix = path.StartsWithSegments("/api", out var rest);
        if (hasPrefix)
        {
            path = rest;
        }

        RequestedVersion? version = null;
        if (path.Value is { Length: > 2 } text && text[1] is 'v' or 'V' && FirstSegment(text) is var segment && IsNumber(segment[1..]))
        {
            version = Known(segment[1..]) is { } known ? new(known, Explicit: true) : null;
            if (version is null)
            {
                await ErrorResponse.WriteAsync(http, StatusCodes.Status404NotFound, $"There is no version {segment} of this API; use v1 or v2.");
                return;
            }

            path = text[(segment.Length + 1)..];
        }

        if (version is null)
        {
            var asked = FromAccept(http.Request.Headers.Accept);
            version = asked is null ? new(ApiVersion.V1, Explicit: false)
                : Known(asked) is { } known ? new(known, Explicit: true)
                : null;
            if (version is null)
            {
                await ErrorResponse.WriteAsync(http, StatusCodes.Status404NotFound, $"There is no version {ErrorResponse.Shown(asked!)} of this API; use v1 or v2.");
                return;
            }
        }

        http.Request.Path = path.HasValue ? Spelled(path.Value) : "/";
        http.Features.Set(version);
        await next(http);
    });

    /// <summary>The version to answer in.</summary>
    public static ApiVersion AskedVersion(this HttpContext http) => http.Features.Get<RequestedVersion>()!.Version;

    /// <summary>Answers 404 to a request that asked for v1 and met a route that only v2 has.</summary>
    public static IApplicationBuilder UseV2OnlyRoutes(this IApplicationBuilder app) => app.Use(async (http, next) =>
    {
        if (http.GetEndpoint()?.Metadata.GetMetadata<V2OnlyAttribute>() is not null
            && http.Features.Get<RequestedVersion>()! is { Version: ApiVersion.V1, Explicit: true })
        {
            await ErrorResponse.WriteAsync(http, StatusCodes.Status404NotFound, $"{ErrorResponse.Shown(http.Request.Path)} is only in version v2 of this API.");
            return;
        }

        await next(http);
    });

    // The reference writes both /template/ and /templates/, both /interface/ and /interfaces/.
    private static string Spelled(string path)
    {
        var segments = path.Split('/');
        if (segments.Length > 1 && segments[1].Equals("template", StringComparison.OrdinalIgnoreCase))
        {
            segments[1] = "templates";
        }

        if (segments.Length > 3 && segments[1].Equals("vms", StringComparison.OrdinalIgnoreCase) && segments[3].Equals("interface", StringComparison.OrdinalIgnoreCase))
        {
            segments[3] = "interfaces";
        }

        return string.Join('/', segments);
    }

    private static string FirstSegment(string path)
    {
        var end = path.IndexOf('/', 1);
        return end < 0 ? path[1..] : path[1..end];
    }

    private static bool IsNumber(string text) => text.Length > 0 && text.All(char.IsAsciiDigit);

    private static ApiVersion? Known(string version) => version.ToUpperInvariant() switch
    {
        "1" or "V1" => ApiVersion.V1,
        "2" or "V2" => ApiVersion.V2,
        _ => null,
    };

    private static string? FromAccept(StringValues accept)
    {
        if (!MediaTypeHeaderValue.TryParseList(accept, out var types))
        {
            return null;
        }

        foreach (var type in types)
        {
            foreach (var parameter in type.Parameters)
            {
                if (parameter.Name.Equals("version", StringComparison.OrdinalIgnoreCase))
                {
                    return HeaderUtilities.RemoveQuotes(parameter.Value).Trim().ToString();
                }
            }
        }

        return null;
    }
}
