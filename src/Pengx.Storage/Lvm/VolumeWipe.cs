using System.Globalization;

namespace Pengx.Storage;

/// <summary>Zeroes parts of block devices, so that no volume ever shows what another held, and proves it by reading.</summary>
internal sealed class VolumeWipe(IProcessRunner runner, LvmOptions options)
{
    public const int SectorSize = 512;
    private const long Piece = 256L << 20;
    private const long Sample = 1L << 20;

    /// <summary>The call that zeroes a part of a device, as a plan shows it; it refuses a device that something has for itself.</summary>
    public static ToolAction Action(string path, long offset, long length, TimeSpan timeout) => new(new ProcessCommand
    {
        FileName = "blkdiscard",
        Arguments = ["--zeroout", "--offset", Number(offset), "--length", Number(length), path],
        Timeout = timeout,
        EndsWithParent = true,
    });

    /// <summary>Zeroes a part of a device, piece by piece, so that it can be stopped and taken up again.</summary>
    public async Task WipeAsync(string path, long offset, long length, CancellationToken cancellationToken)
    {
        for (var done = 0L; done < length; done += Piece)
        {
            var (from, count) = (offset + done, Math.Min(Piece, length - done));
            (await runner.RunAsync(Action(path, from, count, options.WipeTimeout).Command, cancellationToken).ConfigureAwait(false)).EnsureSuccess();
            if (await FindDataAsync(path, from, Math.Min(Sample, count), cancellationToken).ConfigureAwait(false)
                || await FindDataAsync(path, from + Math.Max(0, count - Sample), Math.Min(Sample, count), cancellationToken).ConfigureAwait(false))
            {
                throw new StorageException($"{path} was zeroed from byte {Number(from)}, but does not read as zeros there.");
            }
        }
    }

    /// <summary>Whether a part of a device holds anything but zeros.</summary>
    public async Task<bool> FindDataAsync(string path, long offset, long length, CancellationToken cancellationToken)
    {
        var result = await runner.RunAsync(
            new()
            {
                FileName = "cmp",
                Arguments = ["--silent", $"--ignore-initial={Number(offset)}:0", $"--bytes={Number(length)}", path, "/dev/zero"],
                Timeout = options.WipeTimeout,
            },
            cancellationToken).ConfigureAwait(false);
        return result.ExitCode switch
        {
            0 => false,
            1 => true,
            _ => throw ProcessFailedException.Exited(result),
        };
    }

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}
