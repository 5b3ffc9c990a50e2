using Microsoft.Extensions.Logging;

namespace Pengx.Data;

internal static partial class Log
{
    [LoggerMessage(EventId = 6000, Level = LogLevel.Information, Message = "The database {File} is ready at {Migration}; {Count} upgrades were applied.")]
    public static partial void DatabaseReady(ILogger logger, string file, string migration, int count);

    [LoggerMessage(EventId = 6001, Level = LogLevel.Error, Message = "The database {File} failed with code {Code}.")]
    public static partial void DatabaseFailed(ILogger logger, string file, int code, Exception exception);
}
