namespace Pengx.Xen;

public sealed partial class XenstoreClient
{
    /// <summary>The first attempts follow at once: the conflict is over when its answer comes.</summary>
    private const int AttemptsWithoutPause = 2;
    private const int LongestPauseMilliseconds = 50;

    /// <inheritdoc/>
    public async Task<TResult> TransactAsync<TResult>(Func<IXenstoreTransaction, CancellationToken, Task<TResult>> body, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(body);
        for (var attempt = 1; ; attempt++)
        {
            var session = _session;
            var id = await session.StartTransactionAsync(cancellationToken).ConfigureAwait(false);
            XenstoreTransaction transaction = new(session, id, attempt);
            try
            {
                TResult result;
                try
                {
                    result = await body(transaction, cancellationToken).ConfigureAwait(false);
                    cancellationToken.ThrowIfCancellationRequested();
                }
                catch
                {
                    transaction.Finish();
                    Abandon(session, id);
                    throw;
                }

                transaction.Finish();

                // Waited for even by a caller that cancels: whether it was carried out is known then, and it takes no longer than a request may.
                await session.EndTransactionAsync(id, commit: true, CancellationToken.None).ConfigureAwait(false);
                return result;
            }
            catch (XenstoreRefusedException conflict) when (conflict.Error == XenstoreError.EAGAIN)
            {
                XenstoreDiagnostics.TransactionConflicts.Add(1);
                if (attempt >= _options.TransactionAttempts)
                {
                    throw new XenstoreConflictException(attempt, conflict);
                }
            }

            if (attempt > AttemptsWithoutPause)
            {
                // A random pause, so that two who met do not meet again and again.
                var longest = Math.Min(1 << Math.Min(attempt - AttemptsWithoutPause, 10), LongestPauseMilliseconds);
#pragma warning disable CA5394 // Nobody gains anything by guessing a pause.
                await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(1, longest + 1)), _options.TimeProvider, cancellationToken).ConfigureAwait(false);
#pragma warning restore CA5394
            }
        }
    }

    /// <summary>Sent when the call returns, and in order with whatever comes next; its answer changes nothing.</summary>
    private static void Abandon(XenstoreSession session, uint id)
    {
        _ = session.EndTransactionAsync(id, commit: false, CancellationToken.None).AsTask().ContinueWith(
            static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }
}
