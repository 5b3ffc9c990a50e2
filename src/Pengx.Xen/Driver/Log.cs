using Microsoft.Extensions.Logging;

namespace Pengx.Xen;

internal static partial class Log
{
    [LoggerMessage(3100, LogLevel.Information, "Domain {Domain}: {Event}")]
    public static partial void Changed(ILogger logger, DomainId domain, DomainEventKind @event);

    [LoggerMessage(3101, LogLevel.Warning, "The domains could not be read")]
    public static partial void ReadingFailed(ILogger logger, Exception exception);

    [LoggerMessage(3102, LogLevel.Debug, "When domain {Domain} was started is not known")]
    public static partial void StartTimeUnknown(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3103, LogLevel.Warning, "Domain {Domain} ended and xl has neither removed nor rebuilt it in time")]
    public static partial void RebuildTookTooLong(ILogger logger, DomainId domain);

    [LoggerMessage(3104, LogLevel.Information, "Domain {Domain} (number {Number}) ended ({Reason}) and has no monitor: cleaning up in its place")]
    public static partial void Reaping(ILogger logger, DomainId domain, int number, XlShutdownReason reason);

    [LoggerMessage(3105, LogLevel.Error, "Cleaning up after domain {Domain} failed")]
    public static partial void ReapingFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3106, LogLevel.Error, "Following a domain failed")]
    public static partial void FollowingFailed(ILogger logger, Exception exception);

    [LoggerMessage(3107, LogLevel.Warning, "What is left of domain {Domain} could not be removed")]
    public static partial void CleanupFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3108, LogLevel.Warning, "Domain {Domain}: process {Pid} (its QEMU) was still there without the domain; it was ended")]
    public static partial void StrayQemu(ILogger logger, DomainId domain, int pid);

    [LoggerMessage(3109, LogLevel.Warning, "Domain {Domain} is destroyed, but Xen still holds {MiB} MiB of it: something keeps its memory")]
    public static partial void Zombie(ILogger logger, DomainId domain, long miB);

    [LoggerMessage(3110, LogLevel.Warning, "{Advice}")]
    public static partial void HostAdvice(ILogger logger, string advice);

    [LoggerMessage(3111, LogLevel.Warning, "Guests get no VNC console: the QEMU of Xen here cannot keep one behind a password ({Obstacle}). Consoles without one, on 127.0.0.1, have to be asked for")]
    public static partial void NoVncPasswords(ILogger logger, string obstacle);

    [LoggerMessage(3112, LogLevel.Warning, "Domain {Domain}: what an interrupted change of its disks left could not be seen to")]
    public static partial void SettleFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3113, LogLevel.Warning, "Domain {Domain}: QEMU keeps node {Node} open: {Refusal}")]
    public static partial void NodeKept(ILogger logger, DomainId domain, string node, string refusal);

    [LoggerMessage(3114, LogLevel.Error, "Domain {Domain}: libxl did not take its changed disks, so its monitor was ended: this service builds it again when its guest reboots")]
    public static partial void MonitorEnded(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3115, LogLevel.Warning, "Domain {Domain}: xenstore could not be told of its changed disks")]
    public static partial void NoteFailed(ILogger logger, DomainId domain, Exception exception);

    [LoggerMessage(3116, LogLevel.Information, "Domain {Domain}: process {Pid} (xl migrate) still moves it to another host; waiting for its end")]
    public static partial void AwaitingMove(ILogger logger, DomainId domain, int pid);
}
