using Microsoft.Extensions.Logging;

namespace Pengx.Qemu;

internal static partial class Log
{
    [LoggerMessage(3000, LogLevel.Information, "Domain {Domain} was started: process {Pid}, {Accelerator}")]
    public static partial void Started(ILogger logger, DomainId domain, int pid, string accelerator);

    [LoggerMessage(3001, LogLevel.Information, "Domain {Domain} was found running and taken up again: process {Pid}")]
    public static partial void Adopted(ILogger logger, DomainId domain, int pid);

    [LoggerMessage(3002, LogLevel.Information, "Domain {Domain} has stopped")]
    public static partial void Stopped(ILogger logger, DomainId domain);

    [LoggerMessage(3003, LogLevel.Warning, "Domain {Domain} has crashed: {Reason}")]
    public static partial void Crashed(ILogger logger, DomainId domain, string reason);

    [LoggerMessage(3004, LogLevel.Warning, "The monitor of domain {Domain} (process {Pid}) does not answer; it will be tried again")]
    public static partial void MonitorLost(ILogger logger, DomainId domain, int pid, Exception? exception);

    [LoggerMessage(3005, LogLevel.Warning, "Process {Pid} of domain {Domain} did not end by itself; it gets signal {Signal}")]
    public static partial void Signalled(ILogger logger, DomainId domain, int pid, int signal);

    [LoggerMessage(3006, LogLevel.Warning, "What is left of domain {Domain} could not be removed")]
    public static partial void CleanupFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3007, LogLevel.Error, "Domain {Domain} could not be taken up")]
    public static partial void TakeUpFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3008, LogLevel.Information, "Guests run with {Accelerator}: {Reason}")]
    public static partial void AcceleratorChosen(ILogger logger, string accelerator, string reason);

    [LoggerMessage(3009, LogLevel.Warning, "Domain {Domain} has not let node {Node} of a removed disk go: {Reason}")]
    public static partial void NodeKept(ILogger logger, DomainId domain, string node, string reason);

    [LoggerMessage(3010, LogLevel.Error, "Watching domain {Domain} failed")]
    public static partial void WatchFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3011, LogLevel.Warning, "setpriv (util-linux) is not installed: QEMU keeps the capabilities of the service")]
    public static partial void NoSetpriv(ILogger logger);

    [LoggerMessage(3012, LogLevel.Warning, "Domain {Domain}: the guest's file systems could not be thawed after a snapshot; its agent said: {Reason}")]
    public static partial void ThawFailed(ILogger logger, DomainId domain, string reason);

    [LoggerMessage(3013, LogLevel.Information, "Domain {Domain}: no agent in the guest freezes its file systems for a snapshot: {Reason}")]
    public static partial void NotFrozen(ILogger logger, DomainId domain, string reason);

    [LoggerMessage(3014, LogLevel.Error, "Domain {Domain}: changes of its disks that were under way could not be looked after")]
    public static partial void SettleFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3031, LogLevel.Information, "Domain {Domain}: the bitmap of {Vdev} since backup {Backup} stays: {Reason}")]
    public static partial void BitmapKept(ILogger logger, DomainId domain, string vdev, BackupId backup, string reason);

    [LoggerMessage(3015, LogLevel.Warning, "No running guests can come from other hosts: {Path} cannot be listened on: {Reason}")]
    public static partial void NotListening(ILogger logger, string path, string reason, Exception? exception);

    [LoggerMessage(3016, LogLevel.Information, "A request of another host's service about a move ended early")]
    public static partial void MoveRequestFailed(ILogger logger, Exception exception);

    [LoggerMessage(3017, LogLevel.Warning, "Domain {Domain} could not be taken in from another host")]
    public static partial void ArrivalFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3018, LogLevel.Information, "Domain {Domain} has come from another host and runs: process {Pid}")]
    public static partial void Arrived(ILogger logger, DomainId domain, int pid);

    [LoggerMessage(3019, LogLevel.Information, "Domain {Domain} has moved to host {Host}; it stood still for {Milliseconds} ms")]
    public static partial void Departed(ILogger logger, DomainId domain, string host, long milliseconds);

    [LoggerMessage(3020, LogLevel.Warning, "The move of domain {Domain} to host {Host} was given up; it goes on here")]
    public static partial void MoveGivenUp(ILogger logger, DomainId domain, string host, Exception? exception);

    [LoggerMessage(3021, LogLevel.Error, "Domain {Domain} stands still: whether host {Host} runs it is not known")]
    public static partial void MoveUnknown(ILogger logger, DomainId domain, string host, Exception? exception);

    [LoggerMessage(3022, LogLevel.Warning, "Domain {Domain}: {Node} failed to {Operation}: {Reason}; the guest {Consequence}")]
    public static partial void DiskFailed(ILogger logger, DomainId domain, string node, string operation, string reason, string consequence);

    [LoggerMessage(3023, LogLevel.Information, "Domain {Domain}: {Bytes} bytes of its memory were kept; it stood still for {Milliseconds} ms")]
    public static partial void MemoryKept(ILogger logger, DomainId domain, long bytes, long milliseconds);
}
