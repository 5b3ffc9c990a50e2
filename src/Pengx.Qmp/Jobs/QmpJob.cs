using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pengx.Qmp;

/// <summary>
/// One job of QEMU's. Cancelling a wait leaves the job alone; <see cref="CancelAsync"/> ends it. After a lost connection the same job
/// is found again through <see cref="QmpJobEngine.FindAsync"/> of a new session.
/// </summary>
public sealed class QmpJob
{
    private const int CompleteAttempts = 50;
    private static readonly TimeSpan s_completeRetry = TimeSpan.FromMilliseconds(100);
    private readonly QmpJobEngine _engine;

    internal QmpJob(QmpJobEngine engine, string id)
    {
        _engine = engine;
        Id = id;
    }

    /// <summary>The job's id.</summary>
    public string Id { get; }

    /// <summary>What QEMU says of it now; null once it was dismissed.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task<QmpJobInfo?> QueryAsync(CancellationToken cancellationToken = default) => _engine.QueryAsync(Id, cancellationToken);

    /// <summary>Waits until the job is in step with its source (mirror, active commit). A job that ends instead is dismissed.</summary>
    /// <param name="progress">Told how far it has come.</param>
    /// <param name="cancellationToken">Gives up the wait, not the job.</param>
    /// <exception cref="QmpJobException">It ended before it was ready.</exception>
    public async Task<QmpJobInfo> WaitReadyAsync(IProgress<QmpJobProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        QmpJobInfo job = await _engine.WaitAsync(Id, job => job.IsReady || job.IsConcluded, progress, cancellationToken).ConfigureAwait(false);
        if (job.IsConcluded)
        {
            await DismissAsync(cancellationToken).ConfigureAwait(false);
            throw job.Error is null
                ? new QmpJobException(Id, $"The job '{Id}' ({job.Type}) ended without ever being ready.", null)
                : Failed(job);
        }

        return job;
    }

    /// <summary>Waits until the job is over, reads its result and dismisses it. A job that has to be completed waits for <see cref="CompleteAsync"/> first.</summary>
    /// <param name="progress">Told how far it has come.</param>
    /// <param name="cancellationToken">Gives up the wait, not the job.</param>
    /// <exception cref="QmpJobException">It failed or was cancelled.</exception>
    public async Task<QmpJobInfo> WaitAsync(IProgress<QmpJobProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        QmpJobInfo job = await _engine.WaitAsync(Id, job => job.IsConcluded, progress, cancellationToken).ConfigureAwait(false);
        await DismissAsync(cancellationToken).ConfigureAwait(false);
        return job.Error is null ? job : throw Failed(job);
    }

    /// <summary>Waits for the first state that a test accepts, and dismisses nothing.</summary>
    /// <param name="isWanted">The test, given what QEMU says.</param>
    /// <param name="progress">Told how far it has come.</param>
    /// <param name="cancellationToken">Gives up the wait, not the job.</param>
    /// <exception cref="QmpJobException">It vanished.</exception>
    public Task<QmpJobInfo> WaitUntilAsync(Func<QmpJobInfo, bool> isWanted, IProgress<QmpJobProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(isWanted);
        return _engine.WaitAsync(Id, isWanted, progress, cancellationToken);
    }

    /// <summary>
    /// Tells a ready job to complete: a mirror pivots to its target, an active commit to its base. QEMU refuses for moments while a
    /// job drains, so a refusal of a job that is still ready is repeated for some seconds. A job that has failed in between is no
    /// error here: <see cref="WaitAsync"/> tells it.
    /// </summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public async Task CompleteAsync(CancellationToken cancellationToken = default)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await RunAsync("job-complete", new JsonObject { ["id"] = Id }, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (QmpCommandException)
            {
                QmpJobInfo? job = await QueryAsync(cancellationToken).ConfigureAwait(false);
                if (job is { IsReady: false, Status: not (QmpJobStatus.Created or QmpJobStatus.Running or QmpJobStatus.Paused) })
                {
                    return;
                }

                if (job is not { IsReady: true } || attempt == CompleteAttempts)
                {
                    throw;
                }
            }

            await Task.Delay(s_completeRetry, _engine.Options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Tells a ready job to complete, waits for its end and dismisses it. One that does not come to its end in time is given up: the
    /// guest stays where it is.</summary>
    /// <param name="patience">How long it may take.</param>
    /// <exception cref="QmpJobException">It failed.</exception>
    /// <exception cref="TimeoutException">It was given up, or does not end even then.</exception>
    public async Task CompleteWithinAsync(TimeSpan patience)
    {
        using CancellationTokenSource limit = new(patience, _engine.Options.TimeProvider);
        try
        {
            await CompleteAsync(limit.Token).ConfigureAwait(false);
            await WaitAsync(cancellationToken: limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException exception)
        {
            await AbandonAsync(CancellationToken.None).ConfigureAwait(false);
            throw new TimeoutException($"The job '{Id}' did not complete within {patience.TotalSeconds:0.###} s.", exception);
        }
    }

    /// <summary>Ends a ready mirror without a pivot: the target is then a copy of the source at this moment, and the guest stays where it is.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task FinishAsync(CancellationToken cancellationToken = default) =>
        RunAsync("block-job-cancel", new JsonObject { ["device"] = Id, ["force"] = false }, cancellationToken);

    /// <summary>Cancels the job: its result is worthless, a ready mirror's too. It ends soon after with an error that says so.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public async Task CancelAsync(CancellationToken cancellationToken = default)
    {
        // What job-cancel means to a ready mirror has changed over the versions; block-job-cancel with force never did.
        QmpJobInfo? job = await QueryAsync(cancellationToken).ConfigureAwait(false);
        bool isBlockJob = job?.Type is "mirror" or "commit" or "stream" or "backup";
        await (isBlockJob
            ? RunAsync("block-job-cancel", new JsonObject { ["device"] = Id, ["force"] = true }, cancellationToken)
            : RunAsync("job-cancel", new JsonObject { ["id"] = Id }, cancellationToken)).ConfigureAwait(false);
    }

    /// <summary>Lets a job without automatic finalization take effect (<c>pending</c> to <c>concluded</c>).</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task FinalizeAsync(CancellationToken cancellationToken = default) => RunAsync("job-finalize", new JsonObject { ["id"] = Id }, cancellationToken);

    /// <summary>Pauses it.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task PauseAsync(CancellationToken cancellationToken = default) => RunAsync("job-pause", new JsonObject { ["id"] = Id }, cancellationToken);

    /// <summary>Lets it go on.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task ResumeAsync(CancellationToken cancellationToken = default) => RunAsync("job-resume", new JsonObject { ["id"] = Id }, cancellationToken);

    /// <summary>Limits a block job. One whose work is done has nothing left to limit, and is let be.</summary>
    /// <param name="bytesPerSecond">Bytes per second; 0 for no limit.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpCommandException">QEMU refused, and the job is still at work.</exception>
    public async Task SetSpeedAsync(long bytesPerSecond, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytesPerSecond);
        try
        {
            await RunAsync("block-job-set-speed", new JsonObject { ["device"] = Id, ["speed"] = bytesPerSecond }, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpCommandException)
        {
            if (await QueryAsync(cancellationToken).ConfigureAwait(false) is
                {
                    Status: not (QmpJobStatus.Waiting or QmpJobStatus.Pending or QmpJobStatus.Aborting or QmpJobStatus.Concluded or QmpJobStatus.Null),
                })
            {
                throw;
            }
        }
    }

    /// <summary>Forgets a concluded job and its result.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task DismissAsync(CancellationToken cancellationToken = default) => RunAsync("job-dismiss", new JsonObject { ["id"] = Id }, cancellationToken);

    /// <summary>Ends the job whatever its state, waits for its end and dismisses it. Without such a job it does nothing.</summary>
    /// <param name="cancellationToken">Gives up the wait; <see cref="QmpJobOptions.AbandonTimeout"/> limits it too.</param>
    /// <exception cref="TimeoutException">The job does not end.</exception>
    public async Task AbandonAsync(CancellationToken cancellationToken = default)
    {
        using CancellationTokenSource limit = new(_engine.Options.AbandonTimeout, _engine.Options.TimeProvider);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            QmpJobInfo? job = await QueryAsync(either.Token).ConfigureAwait(false);
            if (job is { IsConcluded: false })
            {
                try
                {
                    await CancelAsync(either.Token).ConfigureAwait(false);
                }
                catch (QmpCommandException)
                {
                    // It is ending by itself, which is waited for like everything else.
                }

                job = await _engine.WaitAsync(Id, job => job.IsConcluded, null, either.Token).ConfigureAwait(false);
            }

            if (job is not null)
            {
                await DismissAsync(either.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"The job '{Id}' did not end within {_engine.Options.AbandonTimeout.TotalSeconds:0.###} s after it was cancelled.");
        }
        catch (QmpJobException exception) when (exception.Error is null)
        {
            // Dismissed by somebody else: gone is gone.
        }
    }

    private static QmpJobException Failed(QmpJobInfo job) => new(job.Id, $"The job '{job.Id}' ({job.Type}) failed: {job.Error}", job.Error);

    private Task<JsonElement> RunAsync(string command, JsonObject arguments, CancellationToken cancellationToken) =>
        _engine.Client.ExecuteRawAsync(command, QmpArguments.Create(arguments), cancellationToken);
}
