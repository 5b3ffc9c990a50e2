using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Pengx.Xen;

/// <summary>The xenstore client's telemetry: one <see cref="ActivitySource"/> and one <see cref="Meter"/>, both named <see cref="Name"/>.</summary>
public static class XenstoreDiagnostics
{
    /// <summary>The name to listen for.</summary>
    public const string Name = "Pengx.Xen";

    internal const string OperationTag = "pengx.xenstore.operation";

    internal const string ErrorTag = "error.type";

    internal static readonly ActivitySource Activities = new(Name);

    private static readonly Meter s_meter = new(Name);

    /// <summary>From the call until the answer, in seconds.</summary>
    internal static readonly Histogram<double> RequestDuration = s_meter.CreateHistogram(
        "pengx.xenstore.request.duration",
        unit: "s",
        description: "How long xenstore requests took.",
        tags: null,
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30] });

    internal static readonly Counter<long> EventsDropped = s_meter.CreateCounter<long>(
        "pengx.xenstore.watch_events.dropped",
        unit: "{event}",
        description: "Events lost by watches whose readers were too slow.");

    internal static readonly Counter<long> TransactionConflicts = s_meter.CreateCounter<long>(
        "pengx.xenstore.transaction.conflicts",
        unit: "{conflict}",
        description: "Commits that met a conflicting change and were tried again.");
}
