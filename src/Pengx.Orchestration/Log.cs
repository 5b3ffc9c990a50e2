using Microsoft.Extensions.Logging;

namespace Pengx.Orchestration;

internal static partial class Log
{
    private static readonly Func<ILogger, OperationId, string, IDisposable?> s_operationScope =
        LoggerMessage.DefineScope<OperationId, string>("operation {OperationId} {OperationKind}");

    internal static IDisposable? OperationScope(ILogger logger, OperationId id, string kind) => s_operationScope(logger, id, kind);

    [LoggerMessage(5000, LogLevel.Information, "Operation {OperationId} accepted: {Description}")]
    internal static partial void Accepted(ILogger logger, OperationId operationId, string description);

    [LoggerMessage(5001, LogLevel.Information, "Operation {OperationId} taken up again: {Description}, {Direction} at step {Position}")]
    internal static partial void TakenUp(ILogger logger, OperationId operationId, string description, StepDirection direction, int position);

    [LoggerMessage(5002, LogLevel.Debug, "Operation {OperationId}: step '{Step}' starts")]
    internal static partial void StepStarts(ILogger logger, OperationId operationId, string step);

    [LoggerMessage(5003, LogLevel.Debug, "Operation {OperationId}: undo of step '{Step}' starts")]
    internal static partial void UndoStarts(ILogger logger, OperationId operationId, string step);

    [LoggerMessage(5004, LogLevel.Warning, "Operation {OperationId}: step '{Step}' failed at attempt {Attempt}, it is tried again in {Delay}")]
    internal static partial void Retrying(ILogger logger, OperationId operationId, string step, int attempt, TimeSpan delay, Exception exception);

    [LoggerMessage(5005, LogLevel.Warning, "Operation {OperationId}: step '{Step}' failed, everything is undone")]
    internal static partial void Undoing(ILogger logger, OperationId operationId, string step, Exception exception);

    [LoggerMessage(5006, LogLevel.Information, "Operation {OperationId} is cancelled, everything is undone")]
    internal static partial void Cancelling(ILogger logger, OperationId operationId);

    [LoggerMessage(5007, LogLevel.Error, "Operation {OperationId} needs attention: {Description} can neither be finished nor undone at step '{Step}'")]
    internal static partial void NeedsAttention(ILogger logger, OperationId operationId, string description, string step, Exception? exception);

    [LoggerMessage(5008, LogLevel.Information, "Operation {OperationId} ended: {State}, {Message}")]
    internal static partial void Ended(ILogger logger, OperationId operationId, OperationState state, string? message);

    [LoggerMessage(5009, LogLevel.Warning, "Operation {OperationId} is no longer this service's; its work here stops")]
    internal static partial void LeaseLost(ILogger logger, OperationId operationId);

    [LoggerMessage(5010, LogLevel.Information, "Operation {OperationId} rests until the next start")]
    internal static partial void Resting(ILogger logger, OperationId operationId);

    [LoggerMessage(5011, LogLevel.Error, "Operation {OperationId} could not be journaled; its work here stops and is taken up again later")]
    internal static partial void Abandoned(ILogger logger, OperationId operationId, Exception exception);

    [LoggerMessage(5012, LogLevel.Warning, "Operation {OperationId}: the journal cannot be written, tried again in {Delay}")]
    internal static partial void JournalUnavailable(ILogger logger, OperationId operationId, TimeSpan delay, Exception exception);

    [LoggerMessage(5013, LogLevel.Warning, "Operation {OperationId}: its lease could not be given up; it expires by itself")]
    internal static partial void NotReleased(ILogger logger, OperationId operationId, Exception exception);

    [LoggerMessage(5014, LogLevel.Warning, "Operation {OperationId}: its lease could not be renewed")]
    internal static partial void NotRenewed(ILogger logger, OperationId operationId, Exception exception);

    [LoggerMessage(5015, LogLevel.Information, "Operation {OperationId} is pre-empted by a forced {Description}")]
    internal static partial void Preempting(ILogger logger, OperationId operationId, string description);

    [LoggerMessage(5016, LogLevel.Error, "The journal's upkeep failed; it is tried again at the next turn")]
    internal static partial void UpkeepFailed(ILogger logger, Exception exception);

    [LoggerMessage(5017, LogLevel.Information, "{Count} old operations were removed from the journal")]
    internal static partial void Pruned(ILogger logger, int count);

    [LoggerMessage(5018, LogLevel.Warning, "Operation {OperationId} does not stop; it is left behind")]
    internal static partial void LeftBehind(ILogger logger, OperationId operationId);

    [LoggerMessage(5019, LogLevel.Information, "Operations are served; {Count} unfinished ones were taken up")]
    internal static partial void Serving(ILogger logger, int count);

    [LoggerMessage(5020, LogLevel.Information, "Operations are no longer served")]
    internal static partial void Stopped(ILogger logger);

    [LoggerMessage(5100, LogLevel.Information, "PM {Pm} '{Name}' is registered; the hypervisor is {Driver}")]
    internal static partial void Registered(ILogger logger, PmId pm, string name, string driver);

    [LoggerMessage(5101, LogLevel.Information, "Domain {Domain} {Kind}: {State}")]
    internal static partial void DomainEvent(ILogger logger, DomainId domain, DomainEventKind kind, VmState state);

    [LoggerMessage(5102, LogLevel.Warning, "The hypervisor's truth about {Guest} could not be recorded; it is recorded at the next event or pass")]
    internal static partial void NotRecorded(ILogger logger, string guest, Exception exception);

    [LoggerMessage(5103, LogLevel.Warning, "The hypervisor's events ended; they are subscribed to again")]
    internal static partial void EventsEnded(ILogger logger, Exception? exception);

    [LoggerMessage(5104, LogLevel.Warning, "A pass over all machines failed; it is tried again")]
    internal static partial void PassFailed(ILogger logger, Exception exception);

    [LoggerMessage(5105, LogLevel.Warning, "The heartbeat could not be written")]
    internal static partial void HeartbeatFailed(ILogger logger, Exception exception);

    [LoggerMessage(5106, LogLevel.Warning, "The stored configuration of VM {Vm} was not what its rows say; it was stored anew")]
    internal static partial void ConfigurationRepaired(ILogger logger, VmId vm);
}
