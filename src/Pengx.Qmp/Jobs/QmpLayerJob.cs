using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pengx.Qmp;

/// <summary>
/// A job on the layers of a disk that a guest uses, step by step: a commit into a layer beneath (<c>block-commit</c>) or a pull of those
/// beneath (<c>block-stream</c>), for callers that have to do something of their own at the moment when the disk changes over. It goes on
/// without its caller, and whoever makes the same object for the same id takes it up. <see cref="QmpBlockOperations"/> has both as
/// single calls.
/// </summary>
/// <example>
/// <code>
/// using QmpLayerJob job = new(new QmpJobEngine(client), QmpJobId.Create("commit", "disk0"));
/// if (!await job.TakeUpAsync())
/// {
///     await job.StartCommitAsync("top", "top", "base");
/// }
///
/// if (await job.FollowAsync() is { IsReady: true })
/// {
///     await job.Job.CompleteWithinAsync(TimeSpan.FromSeconds(30));
/// }
/// </code>
/// </example>
public sealed class QmpLayerJob : IDisposable
{
    private const string Completed = "BLOCK_JOB_COMPLETED";

    private readonly QmpJobEngine _jobs;
    private readonly QmpBlockGraphNode? _taker;
    private readonly JsonObject? _opened;
    private readonly QmpEventSubscription _ends;

    /// <summary>Listens for the job's end, before it begins: some are over at once, and only the event of their end says why.</summary>
    /// <param name="jobs">Where the job runs.</param>
    /// <param name="jobId">Its id, made of what it does: see <see cref="QmpJobId"/>.</param>
    /// <param name="taker">The node that a stream pulls into, as it is before; null for a commit.</param>
    public QmpLayerJob(QmpJobEngine jobs, string jobId, QmpBlockGraphNode? taker = null)
    {
        ArgumentNullException.ThrowIfNull(jobs);
        QmpJobId.Require(jobId, nameof(jobId));
        _jobs = jobs;
        Job = new QmpJob(jobs, jobId);
        _taker = taker;
        _opened = taker?.DescribeOpen();
        _ends = jobs.Client.Subscribe(QmpEventFilter.Named(Completed));
    }

    /// <summary>The job, whether QEMU has it or not.</summary>
    public QmpJob Job { get; }

    /// <summary>Finds the job under way. The result of an earlier one of its id, which nobody heard of, is dismissed.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <returns>Whether it is; otherwise it can be started.</returns>
    public async Task<bool> TakeUpAsync(CancellationToken cancellationToken = default)
    {
        QmpJobInfo? state = await Job.QueryAsync(cancellationToken).ConfigureAwait(false);
        if (state is { IsConcluded: true })
        {
            await Job.DismissAsync(cancellationToken).ConfigureAwait(false);
        }

        return state is { IsConcluded: false };
    }

    /// <summary>Starts a commit.</summary>
    /// <param name="device">The node that the guest uses.</param>
    /// <param name="topNode">The uppermost layer that is merged. Where the guest uses it, the job waits to be completed.</param>
    /// <param name="baseNode">The layer that takes the others in.</param>
    /// <param name="backingFile">What the header of the layer above is to name then; left to itself, QEMU writes a name of its own making.</param>
    /// <param name="bytesPerSecond">How fast; null for no limit.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    public Task StartCommitAsync(
        string device, string topNode, string baseNode, string? backingFile = null, long? bytesPerSecond = null, CancellationToken cancellationToken = default)
    {
        JsonObject arguments = new() { ["device"] = device, ["top-node"] = topNode, ["base-node"] = baseNode, ["on-error"] = "report" };
        return StartAsync("block-commit", arguments, backingFile, bytesPerSecond, cancellationToken);
    }

    /// <summary>Starts a stream into the node that the object was made with.</summary>
    /// <param name="baseNode">The layer that stays beneath; null for none.</param>
    /// <param name="backingFile">What the header is to name then; left to itself, QEMU writes a name of its own making.</param>
    /// <param name="bytesPerSecond">How fast; null for no limit.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="InvalidOperationException">The object was made without a node to pull into.</exception>
    public Task StartStreamAsync(string? baseNode, string? backingFile = null, long? bytesPerSecond = null, CancellationToken cancellationToken = default)
    {
        if (_taker is null)
        {
            throw new InvalidOperationException("A stream needs a node to pull into.");
        }

        // QEMU 7.2 dies of a look at its nodes while a stream that is over waits to be dismissed, so none of them waits. Before the
        // header says that nothing lies beneath any more, each waits for what was pulled in to be flushed.
        JsonObject arguments = new() { ["device"] = _taker.Name, ["on-error"] = "report", ["auto-finalize"] = false, ["auto-dismiss"] = true };
        if (baseNode is not null)
        {
            arguments["base-node"] = baseNode;
        }

        return StartAsync("block-stream", arguments, backingFile, bytesPerSecond, cancellationToken);
    }

    /// <summary>Waits until the job is over (<see cref="EndAsync"/>), or waits for its guest to change over
    /// (<see cref="QmpJob.CompleteWithinAsync"/>).</summary>
    /// <param name="progress">Told how far it has come.</param>
    /// <param name="cancellationToken">Gives up the wait, not the job.</param>
    /// <returns>How it stands; with the state <see cref="QmpJobStatus.Null"/> and what was told of its end where QEMU has dismissed it.</returns>
    public async Task<QmpJobInfo> FollowAsync(IProgress<QmpJobProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        QmpJobInfo? last = null;
        try
        {
            return await Job.WaitUntilAsync(
                state =>
                {
                    last = state;
                    return state.IsReady || state.IsConcluded || (_taker is not null && state.Status == QmpJobStatus.Pending);
                },
                progress,
                cancellationToken).ConfigureAwait(false);
        }
        catch (QmpJobException exception) when (exception.Error is null)
        {
            return ReadEnd(last);
        }
    }

    /// <summary>Lets a job take its end that waits for no guest: what a stream has pulled in is flushed first, and what QEMU kept of the
    /// job is dismissed.</summary>
    /// <param name="state">How it stands, as <see cref="FollowAsync"/> returned it.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpJobException">What was pulled in could not be flushed. The job was given up, and the disk is as before.</exception>
    public async Task EndAsync(QmpJobInfo state, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Status == QmpJobStatus.Pending)
        {
            await FinalizeAsync(cancellationToken).ConfigureAwait(false);
        }
        else if (state.Status != QmpJobStatus.Null)
        {
            await Job.DismissAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Listens no more. The job goes on.</summary>
    public void Dispose() => _ends.Dispose();

    private Task<QmpJob> StartAsync(string command, JsonObject arguments, string? backingFile, long? bytesPerSecond, CancellationToken cancellationToken)
    {
        if (backingFile is not null)
        {
            arguments["backing-file"] = backingFile;
        }

        if (bytesPerSecond is { } speed)
        {
            arguments["speed"] = speed;
        }

        return _jobs.StartAsync(Job.Id, command, arguments, cancellationToken);
    }

    private async Task FinalizeAsync(CancellationToken cancellationToken)
    {
        try
        {
            await new QmpBlockOperations(_jobs).FinalizeStreamAsync(Job, _opened, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpCommandException exception)
        {
            await Job.AbandonAsync(CancellationToken.None).ConfigureAwait(false);
            throw new QmpJobException(Job.Id, $"What the job '{Job.Id}' moved could not be flushed: {exception.Message}", exception.Message);
        }

        try
        {
            await Job.WaitUntilAsync(static state => state.IsConcluded, null, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpJobException exception) when (exception.Error is null)
        {
            // It has dismissed itself.
        }
    }

    private QmpJobInfo ReadEnd(QmpJobInfo? last)
    {
        QmpJobInfo end = new()
        {
            Id = Job.Id,
            Type = last?.Type ?? (_taker is null ? "commit" : "stream"),
            Status = QmpJobStatus.Null,
            CurrentProgress = last?.TotalProgress ?? 0,
            TotalProgress = last?.TotalProgress ?? 0,
        };
        while (_ends.TryRead(out QmpEvent? told))
        {
            if (told.Data.TryGetProperty("device", out JsonElement device) && device.ValueEquals(Job.Id))
            {
                long length = told.Data.TryGetProperty("len", out JsonElement bytes) ? bytes.GetInt64() : end.TotalProgress;
                end = end with { CurrentProgress = length, TotalProgress = length, Error = told.Data.TryGetProperty("error", out JsonElement error) ? error.GetString() : null };
            }
        }

        return end;
    }
}
