using System.Globalization;

namespace Pengx.Storage;

/// <summary>Lets mounted file systems grow until they fill their device. How large one is, it says itself: the figure of <c>df</c> lacks
/// what it spends on itself, which is no fixed part.</summary>
internal sealed class FileSystemGrowth(IProcessRunner runner)
{
    // The tables of new block groups may be written at once: a sixteenth of what is new at most, at 10 MiB a second at least.
    private const long GrownBytesPerSecond = 160L << 20;

    // An allocation group of xfs has at least so many blocks: a shorter rest stays unused.
    private const int LeastGroupBlocks = 64;

    private static readonly TimeSpan s_slowest = TimeSpan.FromMinutes(10);

    /// <summary>The step after which a file system fills its device; none when it does already.</summary>
    /// <param name="device">The device.</param>
    /// <param name="mount">Where it is mounted.</param>
    /// <param name="bytes">The size that the device has when the step is done.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="StorageException">It is of a type that is not grown, or its size cannot be read.</exception>
    public async Task<IReadOnlyList<StorageStep>> StepsAsync(string device, Mount mount, long bytes, CancellationToken cancellationToken)
    {
        var grow = mount.Type switch
        {
            "xfs" => ToolAction.Of("xfs_growfs", mount.Point),
            "ext4" => ToolAction.Of("resize2fs", device),
            _ => throw new StorageException($"The file system {mount.Type} at {mount.Point} is not grown here."),
        };
        var (size, block, _) = await MeasureAsync(device, mount, cancellationToken).ConfigureAwait(false);
        return bytes - size < block ? [] :
        [
            new()
            {
                Description = $"Grow the file system at {mount.Point}",
                Action = grow with { Command = grow.Command with { Timeout = s_slowest + TimeSpan.FromSeconds((double)(bytes - size) / GrownBytesPerSecond) } },
                Risk = StorageRisk.Reversible,
                After = new($"the file system at {mount.Point} fills {device}", async token =>
                {
                    var (now, _, least) = await MeasureAsync(device, mount, token).ConfigureAwait(false);
                    return bytes - now < least ? null : $"it has {new DataSize(now)} of {new DataSize(bytes)}";
                }),
            },
        ];
    }

    /// <summary>How large a file system is, how large its blocks are, and from which length on a rest of the device is used: a shorter one
    /// may not hold the tables of a group of its own. All in bytes.</summary>
    private async Task<(long Size, long Block, long Least)> MeasureAsync(string device, Mount mount, CancellationToken cancellationToken)
    {
        // Read as the kernel has it now: xfs tells it by a call, ext4 in the superblock.
        var read = mount.Type == "xfs" ? ToolAction.Of("xfs_growfs", "-n", mount.Point) : ToolAction.Of("dumpe2fs", "-h", device);
        var text = (await runner.RunAsync(read.Command, cancellationToken).ConfigureAwait(false)).EnsureSuccess().Output;
        if (mount.Type == "xfs")
        {
            var data = After(text, "\ndata ");
            var unit = Number(After(data, "bsize="));
            return (unit * Number(After(data, "blocks=")), unit, unit * LeastGroupBlocks);
        }

        var block = Number(After(text, "\nBlock size:"));
        return (block * Number(After(text, "\nBlock count:")), block, block * Number(After(text, "\nBlocks per group:")));

        string After(string where, string label) =>
            where.IndexOf(label, StringComparison.Ordinal) is >= 0 and var at ? where[(at + label.Length)..].TrimStart() : throw Unclear();

        long Number(string start)
        {
            var digits = start.AsSpan().IndexOfAnyExceptInRange('0', '9');
            return long.TryParse(digits < 0 ? start : start.AsSpan(0, digits), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0 ? number : throw Unclear();
        }

        StorageException Unclear() => new($"The answer of '{read}' does not tell how large the file system at {mount.Point} is.");
    }
}
