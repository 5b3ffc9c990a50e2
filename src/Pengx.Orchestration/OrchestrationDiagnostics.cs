using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Pengx.Orchestration;

/// <summary>The library's telemetry: one <see cref="ActivitySource"/> and one <see cref="Meter"/>, both named <see cref="Name"/>.</summary>
public static class OrchestrationDiagnostics
{
    /// <summary>The name to listen for.</summary>
    public const string Name = "Pengx.Orchestration";

    internal const string IdTag = "pengx.operation.id";

    internal const string KindTag = "pengx.operation.kind";

    internal const string OutcomeTag = "pengx.operation.outcome";

    internal static readonly ActivitySource Activities = new(Name);

    private static readonly Meter s_meter = new(Name);

    internal static readonly Counter<long> Started = s_meter.CreateCounter<long>(
        "pengx.operation.started", unit: "{operation}", description: "Operations that were accepted.");

    internal static readonly Counter<long> Finished = s_meter.CreateCounter<long>(
        "pengx.operation.finished", unit: "{operation}", description: "Operations that ended or need attention, by outcome.");

    internal static readonly UpDownCounter<long> Active = s_meter.CreateUpDownCounter<long>(
        "pengx.operation.active", unit: "{operation}", description: "Operations that this service holds and that have not ended.");

    internal static readonly Counter<long> NoticesDropped = s_meter.CreateCounter<long>(
        "pengx.operation.notices.dropped", unit: "{notice}", description: "Notices lost by watchers that were too slow.");

    /// <summary>From acceptance to the end, in seconds: it includes the wait for a turn.</summary>
    internal static readonly Histogram<double> Duration = s_meter.CreateHistogram(
        "pengx.operation.duration",
        unit: "s",
        description: "How long operations took.",
        tags: null,
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200] });
}
