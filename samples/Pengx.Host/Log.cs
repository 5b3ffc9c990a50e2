namespace Pengx.Host;

/// <summary>Every message of the host; ids from 8000, never used twice.</summary>
internal static partial class Log
{
    [LoggerMessage(8000, LogLevel.Error, "{Method} {Path} failed by a defect; the client was told trace {Trace}.")]
    public static partial void RequestFailed(this ILogger logger, Exception exception, string method, string path, string trace);

    [LoggerMessage(8001, LogLevel.Information, "Hypervisor {Name}: {Reason}")]
    public static partial void HypervisorChosen(this ILogger logger, string name, string reason);

    [LoggerMessage(8002, LogLevel.Warning, "The event {Kind} of domain {Domain} could not be told to those who listen.")]
    public static partial void EventLost(this ILogger logger, Exception exception, DomainEventKind kind, DomainId domain);
}
