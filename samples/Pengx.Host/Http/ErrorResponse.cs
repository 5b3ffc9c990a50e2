using System.Diagnostics;
using Pengx.Client;

namespace Pengx.Host;

/// <summary>The one shape of every failure: <c>&lt;root&gt;&lt;result&gt;False&lt;/result&gt;&lt;message&gt;…</c>.</summary>
internal static class ErrorResponse
{
    private const int MaxShown = 200;

    public static Task WriteAsync(HttpContext http, int status, string message)
    {
        if (http.Response.HasStarted)
        {
            return Task.CompletedTask;
        }

        http.Response.StatusCode = status;
        if (status == StatusCodes.Status503ServiceUnavailable)
        {
            http.Response.Headers.RetryAfter = "5";
        }

        return http.WriteXmlAsync(PengxShapes.Result, new ResultBody(false, message), status);
    }

    /// <summary>The status of a failure that Pengx reports on purpose.</summary>
    public static int StatusOf(PengxErrorCode code) => code switch
    {
        PengxErrorCode.NotFound => StatusCodes.Status404NotFound,
        PengxErrorCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
        PengxErrorCode.Internal => StatusCodes.Status500InternalServerError,
        _ => StatusCodes.Status400BadRequest,
    };

    /// <summary>What the client sent, short and harmless enough to be sent back.</summary>
    public static string Shown(string text)
    {
        var shown = text.Length <= MaxShown ? text : $"{text[..MaxShown]}…";
        return string.Concat(shown.Select(character => char.IsControl(character) || char.IsSurrogate(character) ? '?' : character));
    }

    /// <summary>Turns exceptions and empty failures into the error body.</summary>
    public static IApplicationBuilder UseErrorResponses(this IApplicationBuilder app) => app.Use(async (http, next) =>
    {
        http.Response.Headers[PengxHeaders.IdempotencyHours] = Changes.KeyHours;
        try
        {
            await next(http);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The client left; there is nobody to answer.
            return;
        }
        catch (Exception exception)
        {
            await WriteAsync(http, exception);
            return;
        }

        if (http.Response is { HasStarted: false, StatusCode: >= 400, ContentLength: null, ContentType: null })
        {
            await WriteAsync(http, http.Response.StatusCode, EmptyFailure(http));
        }
    });

    private static Task WriteAsync(HttpContext http, Exception exception)
    {
        switch (exception)
        {
            case XmlRefusedException { Refusal: XmlRefusal.TooLarge } refused:
                return WriteAsync(http, StatusCodes.Status413PayloadTooLarge, refused.Message);
            case PengxException refused:
                return WriteAsync(http, StatusOf(refused.Code), refused.Message);
            case BadHttpRequestException bad:
                return WriteAsync(http, bad.StatusCode, bad.StatusCode == StatusCodes.Status413PayloadTooLarge ? TooLarge(http) : "The request is not well-formed HTTP.");
            default:
                var trace = Activity.Current?.TraceId.ToString() ?? http.TraceIdentifier;
                http.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(ErrorResponse)).RequestFailed(exception, http.Request.Method, Shown(http.Request.Path), trace);
                return WriteAsync(http, StatusCodes.Status500InternalServerError, $"An internal error; the service's log has it under trace {trace}.");
        }
    }

    private static string EmptyFailure(HttpContext http) => http.Response.StatusCode switch
    {
        StatusCodes.Status404NotFound => $"There is nothing at {Shown(http.Request.Path)}.",
        StatusCodes.Status405MethodNotAllowed => $"{Shown(http.Request.Method)} is not possible on {Shown(http.Request.Path)}; allowed: {http.Response.Headers.Allow}.",
        StatusCodes.Status413PayloadTooLarge => TooLarge(http),
        _ => $"The request was refused with status {http.Response.StatusCode}.",
    };

    private static string TooLarge(HttpContext http) =>
        $"The request's body is larger than {http.RequestServices.GetRequiredService<HostLimits>().MaxBodyBytes} bytes.";
}
