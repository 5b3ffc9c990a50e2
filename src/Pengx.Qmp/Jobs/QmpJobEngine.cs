using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pengx.Qmp;

/// <summary>
/// Starts, finds and watches QEMU's long-running jobs. A job belongs to QEMU, not to the connection: it goes on when the client goes
/// away, and <see cref="FindAsync"/> takes it up again by its id. Jobs are started so that QEMU keeps their result until it was read
/// (<c>auto-dismiss</c> off); <see cref="QmpJob.WaitAsync"/> reads and dismisses it. Safe for concurrent use.
/// </summary>
public sealed class QmpJobEngine
{
    private const string StatusChange = "JOB_STATUS_CHANGE";

    private static readonly QmpCommand<QmpEmpty, IReadOnlyList<QmpJobInfo>> s_queryJobs =
        new("query-jobs", QmpJobJsonContext.Default.QmpEmpty, QmpJobJsonContext.Default.IReadOnlyListQmpJobInfo);

    private readonly QmpJobOptions _options;

    /// <summary>Creates the engine.</summary>
    /// <param name="client">The session; it stays its owner's.</param>
    /// <param name="options">How jobs are watched; null for the defaults.</param>
    public QmpJobEngine(IQmpClient client, QmpJobOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        Client = client;
        _options = (options ?? new QmpJobOptions()).Validate();
    }

    /// <summary>The session.</summary>
    public IQmpClient Client { get; }

    internal QmpJobOptions Options => _options;

    /// <summary>Every job that this QEMU has, the concluded ones that nobody dismissed included.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task<IReadOnlyList<QmpJobInfo>> ListAsync(CancellationToken cancellationToken = default) =>
        Client.ExecuteAsync(s_queryJobs, QmpEmpty.Instance, cancellationToken);

    /// <summary>Takes up a job that runs or has ended already, after a restart or a lost connection; null if QEMU has none of this id.</summary>
    /// <param name="jobId">The job's id.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public async Task<QmpJob?> FindAsync(string jobId, CancellationToken cancellationToken = default)
    {
        QmpJobId.Require(jobId, nameof(jobId));
        return await QueryAsync(jobId, cancellationToken).ConfigureAwait(false) is null ? null : new QmpJob(this, jobId);
    }

    /// <summary>
    /// Starts a job by any command that takes a <c>job-id</c>. If this throws <see cref="QmpTimeoutException"/> or
    /// <see cref="QmpDisconnectedException"/>, the job may run nevertheless: <see cref="FindAsync"/> tells.
    /// </summary>
    /// <param name="jobId">The job's id; deterministic, so that it can be found again: see <see cref="QmpJobId"/>.</param>
    /// <param name="command">The command, such as <c>blockdev-mirror</c>.</param>
    /// <param name="arguments">Its other arguments. <c>auto-dismiss</c> is turned off where the command has it and they do not say.
    /// QEMU 7.2 dies of <c>query-block</c> and <c>query-named-block-nodes</c> while a <c>block-stream</c> that is over waits to be
    /// dismissed: let one dismiss itself where something may ask meanwhile.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpCommandException">QEMU refused; also if the id is taken.</exception>
    public async Task<QmpJob> StartAsync(string jobId, string command, JsonObject arguments, CancellationToken cancellationToken = default)
    {
        JsonElement complete = QmpArguments.Create(Complete(jobId, command, arguments));
        await Client.ExecuteRawAsync(command, complete, cancellationToken).ConfigureAwait(false);
        return new QmpJob(this, jobId);
    }

    internal static JsonObject Complete(string jobId, string command, JsonObject arguments)
    {
        QmpJobId.Require(jobId, nameof(jobId));
        ArgumentException.ThrowIfNullOrEmpty(command);
        ArgumentNullException.ThrowIfNull(arguments);
        JsonObject complete = (JsonObject)arguments.DeepClone();
        complete["job-id"] = jobId;
        if (!complete.ContainsKey("auto-dismiss")
            && command is ("block-stream" or "block-commit" or "blockdev-mirror" or "blockdev-backup" or "drive-mirror" or "drive-backup"))
        {
            complete["auto-dismiss"] = false;
        }

        return complete;
    }

    internal async Task<QmpJobInfo?> QueryAsync(string jobId, CancellationToken cancellationToken)
    {
        IReadOnlyList<QmpJobInfo> jobs = await ListAsync(cancellationToken).ConfigureAwait(false);
        return jobs.FirstOrDefault(job => job.Id == jobId);
    }

    /// <summary>Asks at once, at every event about the job and at every poll, until the job is as wanted.</summary>
    internal async Task<QmpJobInfo> WaitAsync(string jobId, Func<QmpJobInfo, bool> isWanted, IProgress<QmpJobProgress>? progress, CancellationToken cancellationToken)
    {
        QmpEventFilter filter = QmpEventFilter.Named(StatusChange);
        using QmpEventSubscription changes = Client is QmpClient session ? session.SubscribeFromNow(filter) : Client.Subscribe(filter);
        QmpJobProgress last = default;
        while (true)
        {
            QmpJobInfo job = await QueryAsync(jobId, cancellationToken).ConfigureAwait(false)
                ?? throw new QmpJobException(jobId, $"The job '{jobId}' vanished before its result was read: somebody else dismissed it, or this is another QEMU.", null);
            QmpJobProgress current = new(job.CurrentProgress, job.TotalProgress, job.IsReady || (job.IsConcluded && job.Error is null));
            if (current != last)
            {
                last = current;
                progress?.Report(current);
            }

            if (isWanted(job))
            {
                return job;
            }

            await NextChangeAsync(changes, jobId, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Waits one poll, or less if the job changes.</summary>
    private async Task NextChangeAsync(QmpEventSubscription changes, string jobId, CancellationToken cancellationToken)
    {
        using CancellationTokenSource poll = new(_options.PollInterval, _options.TimeProvider);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(poll.Token, cancellationToken);
        try
        {
            while (await changes.WaitToReadAsync(either.Token).ConfigureAwait(false))
            {
                while (changes.TryRead(out QmpEvent? change))
                {
                    if (change.Data.TryGetProperty("id", out JsonElement id) && id.ValueEquals(jobId))
                    {
                        return;
                    }
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // Time to ask again.
        }
    }
}
