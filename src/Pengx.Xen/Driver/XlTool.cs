namespace Pengx.Xen;

/// <summary>Runs xl, and says in its own words what went wrong.</summary>
internal sealed class XlTool(IProcessRunner processes, string xl)
{
    /// <summary>Runs a command to its end, whatever comes of it.</summary>
    /// <exception cref="UnavailableException">xl is not there, or did not end in time.</exception>
    public async Task<ProcessResult> TryAsync(XlCommand command, CancellationToken cancellationToken)
    {
        try
        {
            return await processes.RunAsync(command.ToProcess(xl), cancellationToken).ConfigureAwait(false);
        }
        catch (ProcessFailedException exception)
        {
            throw new UnavailableException($"xl {command.Verb} could not be carried out: {exception.Message}", exception);
        }
    }

    /// <summary>Runs a command that must succeed.</summary>
    /// <exception cref="HypervisorException">It did not.</exception>
    public async Task<ProcessResult> RunAsync(XlCommand command, DomainId id, CancellationToken cancellationToken)
    {
        var result = await TryAsync(command, cancellationToken).ConfigureAwait(false);
        return result.ExitCode == 0 ? result : throw Failure(command, id, result);
    }

    /// <summary>All domains but the control domain.</summary>
    public async Task<IReadOnlyList<XlListEntry>> ListAsync(CancellationToken cancellationToken)
    {
        var command = XlCommand.List();
        var result = await TryAsync(command, cancellationToken).ConfigureAwait(false);
        return result.ExitCode == 0 ? XlListEntry.Parse(result.Output) : throw Unreachable(command, result);
    }

    public async Task<XlInfo> GetInfoAsync(CancellationToken cancellationToken)
    {
        var command = XlCommand.Info();
        var result = await TryAsync(command, cancellationToken).ConfigureAwait(false);
        return result.ExitCode == 0 ? XlInfo.Parse(result.Output) : throw Unreachable(command, result);
    }

    public static HypervisorException Failure(XlCommand command, DomainId id, ProcessResult result) =>
        new($"Domain {id}: xl {command.Verb} failed: {XlError.Parse(result.Error).Message}.");

    private static UnavailableException Unreachable(XlCommand command, ProcessResult result) =>
        new($"Xen does not answer: xl {command.Verb} failed: {XlError.Parse(result.Error).Message}.");
}
