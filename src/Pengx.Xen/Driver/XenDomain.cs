namespace Pengx.Xen;

/// <summary>One domain: its stored configuration and the verbs on it, one at a time.</summary>
internal sealed partial class XenDomain(DomainId id, XenEnvironment environment, CancellationToken detached) : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);

    private readonly DomainTurns _turns = new(id, detached);
    private readonly XenFiles _files = environment.Places.Of(id);
    private readonly XenMonitor _monitor = new(environment.Places.Of(id).MonitorSocket, new() { Logger = environment.Logger, TimeProvider = environment.Time });

    public void Dispose() => _turns.Dispose();

    /// <summary>The run as it is now, not as it was last read.</summary>
    private async Task<XenRun?> ReadRunAsync(CancellationToken cancellationToken)
    {
        await environment.Table.ReadAsync(cancellationToken).ConfigureAwait(false);
        return environment.Table.Find(id);
    }

    /// <summary>The run as it is now; one whose guest is rebooting or going is waited for.</summary>
    private async Task<XenRun?> ReadSettledRunAsync(CancellationToken cancellationToken)
    {
        var run = await ReadRunAsync(cancellationToken).ConfigureAwait(false);
        if (run is { IsLeaving: true })
        {
            run = await environment.Table.WaitAsync(id, static now => now is not { IsLeaving: true }, cancellationToken).ConfigureAwait(false);
        }

        return run;
    }

    /// <summary>The run, when its guest is there: one that is rebooting is waited for.</summary>
    /// <exception cref="WrongStateException">It does not run.</exception>
    private async Task<XenRun> RequireRunAsync(CancellationToken cancellationToken)
    {
        var run = await ReadSettledRunAsync(cancellationToken).ConfigureAwait(false);
        return run is { IsAlive: true } ? run : throw new WrongStateException($"Domain {id} does not run.");
    }

    private Task<ProcessResult> XlAsync(XlCommand command, CancellationToken cancellationToken) => environment.Xl.RunAsync(command, id, cancellationToken);

    /// <summary>Looks again and again, within a limit, for something that Xen does not tell by itself.</summary>
    private async Task<bool> IsReachedAsync(Func<CancellationToken, Task<bool>> look, TimeSpan limit, CancellationToken cancellationToken)
    {
        var started = environment.Time.GetTimestamp();
        while (!await look(cancellationToken).ConfigureAwait(false))
        {
            if (environment.Time.GetElapsedTime(started) >= limit)
            {
                return false;
            }

            await Task.Delay(s_look, environment.Time, cancellationToken).ConfigureAwait(false);
        }

        return true;
    }

    private HypervisorException StoreFailure(string verb, XenstoreException exception) => new($"Domain {id}: {verb} failed in xenstore: {exception.Message}", exception);
}
