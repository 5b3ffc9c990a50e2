namespace Pengx;

/// <summary>Runs external programs.</summary>
public sealed class ProcessRunner : IProcessRunner
{
    /// <inheritdoc/>
    public Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default) =>
        throw new InvalidOperationException(command?.FileName);
}
