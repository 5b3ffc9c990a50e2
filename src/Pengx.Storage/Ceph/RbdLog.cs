using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>What the RBD backend logs beside the other backends' messages. Event ids 4100 to 4149 are its.</summary>
internal static partial class RbdLog
{
    [LoggerMessage(4100, LogLevel.Warning, "Image {Image} of pool {Pool} could not be removed; it is listed as incomplete and removed with its disk.")]
    public static partial void ImageStays(this ILogger logger, string image, string pool, Exception exception);

    [LoggerMessage(4101, LogLevel.Information, "Disk {Disk} of pool {Pool} is {Device} on this host.")]
    public static partial void ImageAttached(this ILogger logger, DiskId disk, string pool, string device);

    [LoggerMessage(4102, LogLevel.Information, "Disk {Disk} is no device of this host any more.")]
    public static partial void ImageDetached(this ILogger logger, DiskId disk);

    [LoggerMessage(4103, LogLevel.Warning, "What is left of an earlier attachment of disk {Disk} is taken down first.")]
    public static partial void AttachmentBroken(this ILogger logger, DiskId disk);
}
