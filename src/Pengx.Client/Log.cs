using Microsoft.Extensions.Logging;

namespace Pengx.Client;

internal static partial class Log
{
    [LoggerMessage(7000, LogLevel.Debug, "{Request} did not succeed ({Failure}, HTTP {Status}): {Reason}")]
    public static partial void RequestFailed(this ILogger logger, string request, PengxApiFailure failure, int? status, string reason);

    [LoggerMessage(7001, LogLevel.Information, "The event stream ended ({Reason}); it is opened again in {Delay}, after event {LastEventId}")]
    public static partial void EventsReconnecting(this ILogger logger, string reason, TimeSpan delay, string? lastEventId);

    [LoggerMessage(7002, LogLevel.Information, "{Request} is sent again in {Delay}: {Reason}")]
    public static partial void RequestRepeated(this ILogger logger, string request, TimeSpan delay, string reason);
}
