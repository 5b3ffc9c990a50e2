using Microsoft.Extensions.Logging;

namespace Pengx.Xen;

internal static partial class XenstoreLog
{
    [LoggerMessage(2000, LogLevel.Debug, "xenstore session {Session} is connected to {EndPoint}")]
    internal static partial void Connected(ILogger logger, int session, string endPoint);

    [LoggerMessage(EventId = 2001, Message = "xenstore session {Session} ended: {Reason}")]
    internal static partial void Ended(ILogger logger, LogLevel level, int session, string reason);

    [LoggerMessage(2002, LogLevel.Debug, "xenstore session {Session}: the late answer of {Operation} was dropped; nobody waits for it any more")]
    internal static partial void LateAnswer(ILogger logger, int session, string operation);

    [LoggerMessage(2003, LogLevel.Warning, "xenstore session {Session}: {Operation} got no answer within {Timeout}")]
    internal static partial void TimedOut(ILogger logger, int session, string operation, TimeSpan timeout);

    [LoggerMessage(2004, LogLevel.Information, "xenstore is connected again at {EndPoint}; {Watches} watches are being set up again")]
    internal static partial void Reconnected(ILogger logger, string endPoint, int watches);

    [LoggerMessage(2005, LogLevel.Debug, "xenstore cannot be connected again yet: {Reason}")]
    internal static partial void StillAway(ILogger logger, string reason);

    [LoggerMessage(2006, LogLevel.Warning, "the watch of {Path} could not be set up again: {Reason}")]
    internal static partial void WatchLost(ILogger logger, string path, string reason);
}
