namespace Pengx;

/// <summary>Lets one verb at a time work on a domain; a destroy ends the one that is under way and goes before all that wait.</summary>
/// <param name="id">The domain.</param>
/// <param name="detached">Cancelled when the driver lets go of the domain.</param>
internal sealed class DomainTurns(DomainId id, CancellationToken detached) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _turn = new(1, 1);
    private CancellationTokenSource? _current;
    private TaskCompletionSource? _destroying;
    private int _destroyers;

    /// <summary>Runs a verb when its turn comes.</summary>
    /// <typeparam name="T">What it answers.</typeparam>
    /// <param name="verb">The verb, for the error.</param>
    /// <param name="body">What it does.</param>
    /// <param name="cancellationToken">Ends the wait, and the verb.</param>
    /// <exception cref="HypervisorException">A destroy, or the driver's end, came in between.</exception>
    public async Task<T> TakeAsync<T>(string verb, Func<CancellationToken, Task<T>> body, CancellationToken cancellationToken)
    {
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, detached);
        await EnterAsync(linked, cancellationToken).ConfigureAwait(false);
        try
        {
            return await body(linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested && linked.IsCancellationRequested)
        {
            throw new HypervisorException(detached.IsCancellationRequested
                ? $"Domain {id}: the driver was closed during {verb}."
                : $"Domain {id} was destroyed during {verb}.");
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Runs a verb that answers nothing.</summary>
    /// <param name="verb">The verb, for the error.</param>
    /// <param name="body">What it does.</param>
    /// <param name="cancellationToken">Ends the wait, and the verb.</param>
    /// <exception cref="HypervisorException">A destroy, or the driver's end, came in between.</exception>
    public Task TakeAsync(string verb, Func<CancellationToken, Task> body, CancellationToken cancellationToken) =>
        TakeAsync(
            verb,
            async token =>
            {
                await body(token).ConfigureAwait(false);
                return true;
            },
            cancellationToken);

    /// <summary>Runs a destroy: the verb under way is cancelled, and nothing else gets its turn before it is done.</summary>
    /// <param name="destroy">What it does.</param>
    /// <param name="cancellationToken">Ends the wait, and the destroy.</param>
    public async Task TakeFirstAsync(Func<CancellationToken, Task> destroy, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _destroyers++;
            _destroying ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
            _current?.Cancel();
        }

        try
        {
            await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                await destroy(cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                _turn.Release();
            }
        }
        finally
        {
            lock (_gate)
            {
                if (--_destroyers == 0)
                {
                    _destroying!.SetResult();
                    _destroying = null;
                }
            }
        }
    }

    /// <summary>Lets go; no verb may be under way.</summary>
    public void Dispose() => _turn.Dispose();

    private async Task EnterAsync(CancellationTokenSource linked, CancellationToken cancellationToken)
    {
        while (true)
        {
            await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
            Task? destroying;
            lock (_gate)
            {
                destroying = _destroying?.Task;
                if (destroying is null)
                {
                    _current = linked;
                    return;
                }
            }

            _turn.Release();
            await destroying.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private void Leave()
    {
        lock (_gate)
        {
            _current = null;
        }

        _turn.Release();
    }
}
