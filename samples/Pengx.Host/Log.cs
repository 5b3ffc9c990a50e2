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

    [LoggerMessage(8010, LogLevel.Warning, "{Kind} {Subject}: {Text}")]
    public static partial void Inconsistent(this ILogger logger, Orchestration.InconsistencyKind kind, string subject, string text);

    [LoggerMessage(8011, LogLevel.Information, "Rows, storage, hypervisor and journal were held against each other: {Count} inconsistencies.")]
    public static partial void Checked(this ILogger logger, int count);

    [LoggerMessage(8012, LogLevel.Warning, "Rows, storage, hypervisor and journal could not be held against each other.")]
    public static partial void CheckFailed(this ILogger logger, Exception exception);
}
