using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace Pengx.Client;

/// <summary>What the client tells of itself: traces and metrics named <c>Pengx.Client</c>. Ids are left out of all names.</summary>
internal static class ClientDiagnostics
{
    public const string Name = "Pengx.Client";

    public static readonly ActivitySource Activities = new(Name);

    private static readonly Meter Meter = new(Name);

    private static readonly Histogram<double> Duration = Meter.CreateHistogram<double>(
        "pengx.client.request.duration",
        "s",
        "From sending a request to the head of its answer.",
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] });

    private static readonly Counter<long> Retries = Meter.CreateCounter<long>("pengx.client.retries", "{request}", "Requests that were sent again.");

    /// <summary>A path without what tells its objects apart: <c>vms/{id}/start/</c>.</summary>
    public static string RouteOf(string path) => string.Join('/', path.Split('/').Select(segment =>
        Guid.TryParse(segment, out _) || int.TryParse(segment, NumberStyles.None, CultureInfo.InvariantCulture, out _) ? "{id}" : segment));

    public static void Ended(string method, string route, int? status, PengxApiFailure? failure, TimeSpan elapsed)
    {
        var tags = new TagList { { "http.request.method", method }, { "http.route", route } };
        if (status is { } known)
        {
            tags.Add("http.response.status_code", known);
        }

        if (failure is { } kind)
        {
            tags.Add("error.type", Of(kind));
        }

        Duration.Record(elapsed.TotalSeconds, tags);
    }

    public static void Retried(string method, string route) =>
        Retries.Add(1, new TagList { { "http.request.method", method }, { "http.route", route } });

    public static string Of(PengxApiFailure failure) => failure switch
    {
        PengxApiFailure.Refused => "refused",
        PengxApiFailure.Unreachable => "unreachable",
        PengxApiFailure.TimedOut => "timed_out",
        PengxApiFailure.OperationFailed => "operation_failed",
        _ => "unreadable",
    };
}
