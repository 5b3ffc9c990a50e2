using Microsoft.Extensions.Logging;

namespace Pengx;

/// <summary>What Core logs. Event ids 1 to 999 are its own.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Debug, "{Program} ran as process {Pid} and ended with exit code {ExitCode} after {Elapsed}.")]
    public static partial void ProcessEnded(this ILogger logger, string program, int pid, int exitCode, TimeSpan elapsed);

    [LoggerMessage(2, LogLevel.Warning, "{Program} (process {Pid}) did not end within {Timeout} and was stopped.")]
    public static partial void ProcessTimedOut(this ILogger logger, string program, int pid, TimeSpan timeout);

    [LoggerMessage(3, LogLevel.Error, "{Program} (process {Pid}) survives SIGKILL: it hangs in the kernel. Nobody waits for it any longer; its end will be logged.")]
    public static partial void ProcessAbandoned(this ILogger logger, string program, int pid);

    [LoggerMessage(4, LogLevel.Warning, "{Program} (process {Pid}), which hung in the kernel, is gone after {Elapsed}.")]
    public static partial void AbandonedProcessGone(this ILogger logger, string program, int pid, TimeSpan elapsed);
}
