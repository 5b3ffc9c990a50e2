using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Pengx.Qmp;

/// <summary>The library's telemetry: one <see cref="ActivitySource"/> and one <see cref="Meter"/>, both named <see cref="Name"/>.</summary>
public static class QmpDiagnostics
{
    /// <summary>The name to listen for.</summary>
    public const string Name = "Pengx.Qmp";

    internal const string CommandTag = "pengx.qmp.command";

    internal const string ErrorTag = "error.type";

    internal static readonly ActivitySource Activities = new(Name);

    private static readonly Meter s_meter = new(Name);

    /// <summary>From the call until the outcome, in seconds: it includes the wait for a turn.</summary>
    internal static readonly Histogram<double> CommandDuration = s_meter.CreateHistogram(
        "pengx.qmp.command.duration",
        unit: "s",
        description: "How long QMP commands took.",
        tags: null,
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 30] });

    internal static readonly Counter<long> EventsDropped = s_meter.CreateCounter<long>(
        "pengx.qmp.events.dropped",
        unit: "{event}",
        description: "Events lost by subscriptions whose readers were too slow.");
}
