using System.Collections.Concurrent;

namespace Pengx.Storage.Tests;

/// <summary>Runs programs, and keeps what was run; a test may look, or answer, before each.</summary>
internal sealed class WatchingRunner : IProcessRunner
{
    private readonly ProcessRunner _runner = new();

    public ConcurrentQueue<string> Commands { get; } = new();

    public Func<ProcessCommand, ProcessResult?> Before { get; set; } = _ => null;

    public Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default)
    {
        Commands.Enqueue(new ToolAction(command).ToString());
        return Before(command) is { } answer ? Task.FromResult(answer) : _runner.RunAsync(command, cancellationToken);
    }
}
