using Microsoft.Extensions.Logging;

namespace Pengx.Qmp;

internal static partial class Log
{
    [LoggerMessage(1000, LogLevel.Debug, "QMP session {Session} is {State}")]
    internal static partial void StateChanged(ILogger logger, int session, QmpConnectionState state);

    [LoggerMessage(1001, LogLevel.Information, "QMP session {Session} is ready: QEMU {Version} {Package}")]
    internal static partial void Ready(ILogger logger, int session, QmpVersion version, string package);

    [LoggerMessage(EventId = 1002, Message = "QMP session {Session} ended: {Reason}")]
    internal static partial void Ended(ILogger logger, LogLevel level, int session, string reason);

    [LoggerMessage(1003, LogLevel.Warning, "QMP session {Session}: a reply with an id that no command has was dropped")]
    internal static partial void UnknownId(ILogger logger, int session);

    [LoggerMessage(1004, LogLevel.Information, "QMP session {Session}: the late reply of '{Command}' was dropped; nobody waits for it any more")]
    internal static partial void LateReply(ILogger logger, int session, string command);

    [LoggerMessage(1005, LogLevel.Warning, "QMP session {Session}: '{Command}' got no reply within {Timeout}")]
    internal static partial void TimedOut(ILogger logger, int session, string command, TimeSpan timeout);

    [LoggerMessage(1006, LogLevel.Warning, "QMP session {Session}: the reply of '{Command}' does not fit its type: {Reason}")]
    internal static partial void UnfitReply(ILogger logger, int session, string command, string reason);

    [LoggerMessage(1010, LogLevel.Trace, "QMP session {Session} -> {Line}")]
    internal static partial void Sent(ILogger logger, int session, string line);

    [LoggerMessage(1011, LogLevel.Trace, "QMP session {Session} <- {Line}")]
    internal static partial void Received(ILogger logger, int session, string line);
}
