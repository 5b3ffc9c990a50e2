using System.Globalization;

namespace Pengx.Storage;

/// <summary>Asks directories by programs that can be ended: a call of this process's own would hang in the kernel with a dead server,
/// node or disk, and with it whoever waits for the answer.</summary>
internal sealed class PathProbe(IProcessRunner runner, TimeSpan? timeout = null)
{
    private readonly TimeSpan _timeout = timeout ?? TimeSpan.FromSeconds(30);

    /// <summary>Whether a path is a directory.</summary>
    /// <exception cref="UnavailableException">It does not answer.</exception>
    public async Task<bool> IsDirectoryAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            return (await runner.RunAsync(Command("test", "-d", path), cancellationToken).ConfigureAwait(false)).ExitCode == 0;
        }
        catch (ProcessFailedException error)
        {
            throw new UnavailableException($"{path} does not answer: {error.Message}", error);
        }
    }

    /// <summary>Why a mount does not answer; <see langword="null"/> when it does. Where it is a server's, that is asked, and not the
    /// kernel's cache, which would do for a number that never changes; and about the directory, as the file system's figures are told for a
    /// stale one, too.</summary>
    public async Task<string?> FindFaultAsync(string point, CancellationToken cancellationToken) =>
        (await TryAsync(Command("stat", "--cached=never", "--format=%i %Z %s", "--", point), cancellationToken).ConfigureAwait(false)).Error;

    /// <summary>An attached layer with what its file system says of its size; with a warning where it does not answer.</summary>
    public async Task<StorageLayerState> MeasuredAsync(StorageLayer layer, string name, string point, CancellationToken cancellationToken)
    {
        var (output, error) = await TryAsync(Command("stat", "--file-system", "--format=%S %b %a", "--", point), cancellationToken).ConfigureAwait(false);
        if (output is null || output.Trim().Split(' ') is not [var block, var blocks, var free])
        {
            return new(layer, name, true) { Warnings = [$"{point} does not answer: {error ?? $"stat says '{output}'"}."] };
        }

        var unit = long.Parse(block, CultureInfo.InvariantCulture);
        return new(layer with { Size = new(unit * long.Parse(blocks, CultureInfo.InvariantCulture)), Free = new(unit * long.Parse(free, CultureInfo.InvariantCulture)) }, name, true);
    }

    private async Task<(string? Output, string? Error)> TryAsync(ProcessCommand command, CancellationToken cancellationToken)
    {
        try
        {
            return ((await runner.RunAsync(command, cancellationToken).ConfigureAwait(false)).EnsureSuccess().Output, null);
        }
        catch (ProcessFailedException error)
        {
            return (null, error.Message.TrimEnd('.'));
        }
    }

    private ProcessCommand Command(string program, params string[] arguments) => new() { FileName = program, Arguments = arguments, Timeout = _timeout };
}
