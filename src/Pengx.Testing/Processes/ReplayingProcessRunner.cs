namespace Pengx.Testing;

/// <summary>Answers programs from a transcript that <see cref="RecordingProcessRunner"/> wrote, in its order; starts none. A
/// command that the transcript does not have next fails the test.</summary>
public sealed class ReplayingProcessRunner : IProcessRunner
{
    private readonly Lock _gate = new();
    private readonly Queue<ProcessTranscriptEntry> _entries;
    private readonly ProcessTranscriptOptions _options;

    /// <summary>Makes a runner.</summary>
    /// <param name="lines">The transcript's lines; empty ones and those that begin with <c>#</c> are left out.</param>
    /// <param name="options">The names that stand for this run's texts; a secret cannot be brought back.</param>
    public ReplayingProcessRunner(IEnumerable<string> lines, ProcessTranscriptOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(lines);
        _entries = new(lines.Where(line => line.Length > 0 && line[0] != '#').Select(ProcessTranscriptEntry.Parse));
        _options = options ?? new();
    }

    /// <summary>The commands that were not asked for yet.</summary>
    public IReadOnlyList<ProcessTranscriptEntry> Remaining
    {
        get
        {
            lock (_gate)
            {
                return [.. _entries];
            }
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">The transcript has another command next, or none.</exception>
    public Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        cancellationToken.ThrowIfCancellationRequested();
        ProcessTranscriptEntry? entry;
        lock (_gate)
        {
            _entries.TryPeek(out entry);
            string[] asked = [command.FileName, .. command.Arguments];
            if (entry is null || !entry.Command.Select(Restore).SequenceEqual(asked, StringComparer.Ordinal))
            {
                throw new InvalidOperationException(
                    $"The transcript has {(entry is null ? "nothing" : $"'{string.Join(' ', entry.Command.Select(Restore))}'")} next, but '{string.Join(' ', asked)}' was run.");
            }

            _entries.Dequeue();
        }

        if (entry.ExitCode is not { } exitCode)
        {
            throw ProcessFailedException.NotStarted(command, new InvalidOperationException(entry.Failure));
        }

        var output = Restore(entry.Output);
        if (command.OnOutputLine is { } tell)
        {
            foreach (var line in output.Split(['\n', '\r'], StringSplitOptions.RemoveEmptyEntries))
            {
                tell(line);
            }
        }

        return Task.FromResult(new ProcessResult(command, exitCode, output, Restore(entry.Error)));
    }

    private string Restore(string text)
    {
        foreach (var (value, name) in _options.Names)
        {
            text = text.Replace(name, value, StringComparison.Ordinal);
        }

        return text;
    }
}
