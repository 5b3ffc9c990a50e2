using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>What the storage backends log. Event ids 4000 to 4999 are theirs.</summary>
internal static partial class Log
{
    [LoggerMessage(4000, LogLevel.Information, "Disk {Disk} was made on storlink {Storlink}: {Format}, {Size}, in {Elapsed}.")]
    public static partial void VolumeCreated(this ILogger logger, DiskId disk, StorlinkId storlink, DiskFormat format, DataSize size, TimeSpan elapsed);

    [LoggerMessage(4001, LogLevel.Information, "Disk {Disk} was removed from storlink {Storlink}.")]
    public static partial void VolumeDeleted(this ILogger logger, DiskId disk, StorlinkId storlink);

    [LoggerMessage(4002, LogLevel.Information, "Disk {Disk} on storlink {Storlink} was grown to {Size}.")]
    public static partial void VolumeGrown(this ILogger logger, DiskId disk, StorlinkId storlink, DataSize size);

    [LoggerMessage(4003, LogLevel.Warning, "Removed {Name}, which an interrupted operation left on storlink {Storlink}.")]
    public static partial void LeftoverRemoved(this ILogger logger, string name, StorlinkId storlink);

    [LoggerMessage(4004, LogLevel.Warning, "{Path} could not be removed; it is listed as incomplete and removed with its disk.")]
    public static partial void LeftoverStays(this ILogger logger, string path, Exception exception);

    [LoggerMessage(4050, LogLevel.Information, "{Source} was copied to {Target} by {Method} in {Elapsed}. {Reason}")]
    public static partial void ImageCopied(this ILogger logger, DiskLocation source, DiskLocation target, CopyMethod method, TimeSpan elapsed, string reason);

    [LoggerMessage(4060, LogLevel.Information, "{Plan}: '{Step}' was done in {Elapsed}.")]
    public static partial void StorageStepDone(this ILogger logger, string plan, string step, TimeSpan elapsed);

    [LoggerMessage(4061, LogLevel.Warning, "{Plan}: '{Step}' was taken back.")]
    public static partial void StorageStepUndone(this ILogger logger, string plan, string step);

    [LoggerMessage(4062, LogLevel.Error, "{Plan}: '{Step}' could not be taken back.")]
    public static partial void StorageStepNotUndone(this ILogger logger, string plan, string step, Exception exception);
}
