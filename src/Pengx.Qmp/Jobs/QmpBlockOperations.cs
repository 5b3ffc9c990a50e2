using System.Text.Json.Nodes;

namespace Pengx.Qmp;

/// <summary>
/// What is done to the disks of a running machine: snapshots, merging, moving, backup, size and limits. Each operation is one call
/// that ends with everything done, or throws <see cref="QmpBlockOperationException"/> that tells where the failure leaves the guest
/// (and <see cref="OperationCanceledException"/> for <see cref="QmpBlockOutcome.Unchanged"/> after a cancellation). Nodes are looked up
/// by the caller at each use (<see cref="QmpBlockGraph"/>): every operation here changes which node a disk uses. Image files are
/// made and deleted by the caller.
/// </summary>
public sealed partial class QmpBlockOperations
{
    private readonly QmpJobEngine _jobs;
    private readonly IQmpClient _client;

    /// <summary>Creates the operations.</summary>
    /// <param name="jobs">The jobs of a session.</param>
    public QmpBlockOperations(QmpJobEngine jobs)
    {
        ArgumentNullException.ThrowIfNull(jobs);
        _jobs = jobs;
        _client = jobs.Client;
    }

    /// <summary>Asks QEMU for its block graph.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task<QmpBlockGraph> QueryGraphAsync(CancellationToken cancellationToken = default) => QmpBlockGraph.QueryAsync(_client, cancellationToken);

    /// <summary>
    /// Puts an overlay over each disk, all at the same moment: what was written before stays in the old images, which are read-only
    /// from then on. For a consistent file system freeze it around this call (the guest agent does it). After a failure
    /// the overlays are gone from QEMU and the guest writes where it wrote.
    /// </summary>
    /// <param name="disks">The disks and their overlays.</param>
    /// <param name="cancellationToken">Gives up; either all disks have their overlays afterwards or none.</param>
    /// <exception cref="QmpBlockOperationException">QEMU refused, or the connection broke.</exception>
    public async Task SnapshotAsync(IReadOnlyList<QmpSnapshotDisk> disks, CancellationToken cancellationToken = default)
    {
        RequireAny(disks);
        Attempt attempt = new(this, "The snapshot");
        try
        {
            QmpTransaction transaction = new();
            foreach (QmpSnapshotDisk disk in disks)
            {
                await attempt.AddNodeAsync(disk.Overlay, cancellationToken).ConfigureAwait(false);
                transaction.Add("blockdev-snapshot", new JsonObject { ["node"] = disk.Node, ["overlay"] = disk.Overlay.NodeName });
            }

            // Its moment is QEMU's: giving up the wait would leave open whether it has come.
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                await transaction.ExecuteAsync(_client, CancellationToken.None).ConfigureAwait(false);
            }
            catch (QmpTimeoutException exception) when (exception.IsOutcomeUnknown)
            {
                // Commands are carried out in order, so the answer to this look tells what became of the transaction.
                QmpBlockGraph graph = await QueryGraphAsync(CancellationToken.None).ConfigureAwait(false);
                if (graph.Find(disks[0].Overlay.NodeName) is not { Info.BackingFileDepth: > 0 })
                {
                    throw;
                }
            }
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw await attempt.UndoAsync(exception).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Copies what a disk reads from the images beneath it into its own, so that it needs them no more. After a failure the disk is as
    /// before (what was copied up already does no harm), and the call may be repeated.
    /// </summary>
    /// <param name="node">The node that the guest uses.</param>
    /// <param name="baseNode">The image that stays beneath; null for none.</param>
    /// <param name="options">How the job runs; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up; see <see cref="QmpBlockJobOptions.LeaveRunningOnCancel"/>.</param>
    /// <exception cref="QmpBlockOperationException">The job failed, QEMU refused, or the connection broke.</exception>
    public async Task<QmpBlockResult> StreamAsync(string node, string? baseNode = null, QmpBlockJobOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(node);
        QmpBlockJobOptions settings = (options ?? new QmpBlockJobOptions()).Validate(isSingle: true);
        JsonObject arguments = new() { ["device"] = node, ["on-error"] = "report", ["auto-finalize"] = false };
        if (baseNode is not null)
        {
            arguments["base-node"] = baseNode;
        }

        Attempt attempt = new(this, $"Streaming into '{node}'");
        QmpBlockGraph before;
        try
        {
            before = await QueryGraphAsync(cancellationToken).ConfigureAwait(false);
            QmpJob job = await attempt.StartAsync(settings.JobId ?? QmpJobId.Create("stream", node), "block-stream", arguments, settings, cancellationToken).ConfigureAwait(false);
            QmpJobInfo state = await job.WaitUntilAsync(static state => state.IsConcluded || state.Status == QmpJobStatus.Pending, settings.Progress, cancellationToken).ConfigureAwait(false);
            if (state.Status == QmpJobStatus.Pending)
            {
                await FinalizeStreamAsync(job, before.Find(node)?.DescribeOpen(), cancellationToken).ConfigureAwait(false);
            }

            await job.WaitAsync(settings.Progress, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (settings.LeaveRunningOnCancel)
        {
            throw;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw await attempt.UndoAsync(exception).ConfigureAwait(false);
        }

        return await RemoveUnusedAsync(before, before.Chain(node).Skip(1).Select(image => image.Name).TakeWhile(name => name != baseNode), settings).ConfigureAwait(false);
    }

    /// <summary>
    /// Lets a stream take its end that was started with <c>auto-finalize</c> off and is pending: what it pulled in is flushed first. QEMU
    /// keeps in memory where in a qcow2 image that lies until the guest flushes, which it may never do on a disk that it only reads, and
    /// what lay beneath may be deleted once the stream is over. QEMU before 6.1 cannot be told to flush.
    /// </summary>
    /// <param name="job">The job.</param>
    /// <param name="taker">How the node that it pulls into is opened anew (<see cref="QmpBlockGraphNode.DescribeOpen"/>); null where nothing lay beneath.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpCommandException">What was pulled in could not be flushed, and the job still waits; or QEMU refused its end.</exception>
    internal async Task FinalizeStreamAsync(QmpJob job, JsonObject? taker, CancellationToken cancellationToken)
    {
        if (taker is not null)
        {
            try
            {
                JsonObject arguments = new() { ["options"] = new JsonArray(taker.DeepClone()) };
                await _client.ExecuteAsync(QmpCommands.BlockdevReopen, QmpArguments.Create(arguments), cancellationToken).ConfigureAwait(false);
            }
            catch (QmpCommandException exception) when (exception.Class == QmpErrorClass.CommandNotFound)
            {
                // Its end is as it was before there was the command.
            }
        }

        await job.FinalizeAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Merges a disk's upper images into one beneath them. If the topmost is among them, the guest changes over to the base at the
    /// end (pivot). After a failure the guest uses the images that it used; the base holds a part of the newer data by then, which the
    /// images above it hide, so the chain is whole and the call may be repeated. Never open the base by itself after a failure.
    /// </summary>
    /// <param name="node">The node that the guest uses.</param>
    /// <param name="baseNode">The image that takes the data.</param>
    /// <param name="topNode">The uppermost image to be merged; null for the one that the guest uses.</param>
    /// <param name="options">How the job runs; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up; see <see cref="QmpBlockJobOptions.LeaveRunningOnCancel"/>.</param>
    /// <exception cref="QmpBlockOperationException">The job failed, QEMU refused, or the connection broke.</exception>
    public async Task<QmpBlockResult> CommitAsync(
        string node, string baseNode, string? topNode = null, QmpBlockJobOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(node);
        ArgumentException.ThrowIfNullOrEmpty(baseNode);
        QmpBlockJobOptions settings = (options ?? new QmpBlockJobOptions()).Validate(isSingle: true);
        JsonObject arguments = new() { ["device"] = node, ["base-node"] = baseNode, ["top-node"] = topNode ?? node, ["on-error"] = "report" };
        Attempt attempt = new(this, $"Committing '{topNode ?? node}' to '{baseNode}'");
        QmpBlockGraph before;
        try
        {
            before = await QueryGraphAsync(cancellationToken).ConfigureAwait(false);
            QmpJob job = await attempt.StartAsync(settings.JobId ?? QmpJobId.Create("commit", node), "block-commit", arguments, settings, cancellationToken).ConfigureAwait(false);
            QmpJobInfo state = await job.WaitUntilAsync(state => state.IsReady || state.IsConcluded, settings.Progress, cancellationToken).ConfigureAwait(false);
            if (state.IsReady)
            {
                await CompleteAsync(job, cancellationToken).ConfigureAwait(false);
            }

            await job.WaitAsync(settings.Progress, CancellationToken.None).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (settings.LeaveRunningOnCancel)
        {
            throw;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw await attempt.UndoAsync(exception).ConfigureAwait(false);
        }

        IEnumerable<string> merged = before.Chain(topNode ?? node).Select(image => image.Name).TakeWhile(name => name != baseNode);
        return await RemoveUnusedAsync(before, merged, settings).ConfigureAwait(false);
    }

    internal static bool IsFailure(Exception exception) =>
        exception is QmpException or OperationCanceledException or TimeoutException;

    /// <summary>Told once, a job goes its way: only its own end tells what became of it.</summary>
    internal static async Task CompleteAsync(QmpJob job, CancellationToken cancellationToken)
    {
        try
        {
            await job.CompleteAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (QmpTimeoutException exception) when (exception.IsOutcomeUnknown)
        {
            // Its conclusion is waited for.
        }
    }

    private static void RequireAny<T>(IReadOnlyList<T> disks)
    {
        ArgumentNullException.ThrowIfNull(disks);
        ArgumentOutOfRangeException.ThrowIfZero(disks.Count, nameof(disks));
    }

    /// <summary>Removes what the guest has left; what is still in use elsewhere stays and is told.</summary>
    internal async Task<QmpBlockResult> RemoveUnusedAsync(QmpBlockGraph before, IEnumerable<string> nodes, QmpBlockJobOptions settings)
    {
        if (!settings.RemoveUnusedNodes)
        {
            return new QmpBlockResult();
        }

        List<string> left = [];
        Queue<string> candidates = new(nodes);
        HashSet<string> seen = [];
        try
        {
            HashSet<string> existing = await NodeNamesAsync().ConfigureAwait(false);
            while (candidates.TryDequeue(out string? name))
            {
                // A node with a made-up name belongs to its parent and goes with it.
                if (name.StartsWith('#') || !seen.Add(name))
                {
                    continue;
                }

                foreach (QmpBlockEdge child in before.Find(name)?.Children.Where(child => child.Role != "backing") ?? [])
                {
                    candidates.Enqueue(child.Node);
                }

                if (!existing.Contains(name))
                {
                    continue;
                }

                try
                {
                    await RemoveNodeAsync(name).ConfigureAwait(false);
                    existing = await NodeNamesAsync().ConfigureAwait(false);
                }
                catch (QmpCommandException)
                {
                    left.Add(name);
                }
            }
        }
        catch (QmpException)
        {
            // The operation itself has succeeded: what is left is told, not thrown.
            left.AddRange(candidates.Where(name => !name.StartsWith('#') && !left.Contains(name)));
        }

        return new QmpBlockResult { NodesLeft = left };
    }

    private Task<QmpEmpty> RemoveNodeAsync(string name) => _client.ExecuteAsync(QmpCommands.BlockdevDel, new QmpNodeName { NodeName = name }, CancellationToken.None);

    private async Task<HashSet<string>> NodeNamesAsync()
    {
        IReadOnlyList<QmpBlockNode> nodes = await _client
            .ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new QmpNamedNodesQuery { Flat = true }, CancellationToken.None).ConfigureAwait(false);
        return [.. nodes.Select(node => node.NodeName).OfType<string>()];
    }

    /// <summary>What one operation has begun, and how it is taken back.</summary>
    internal sealed class Attempt(QmpBlockOperations operations, string what)
    {
        private readonly List<string> _nodes = [];
        private readonly List<QmpJob> _started = [];
        private readonly List<Func<Task>> _undo = [];

        internal IReadOnlyList<QmpJob> Jobs => _started;

        internal async Task AddNodeAsync(QmpBlockTarget target, CancellationToken cancellationToken)
        {
            if (target.Definition is not { } definition)
            {
                return;
            }

            // Noted first only where the outcome is open: a node of this name that was there before is not ours to remove.
            try
            {
                await operations._client.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(definition), cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is not QmpCommandException)
            {
                _nodes.Add(target.NodeName);
                throw;
            }

            _nodes.Add(target.NodeName);
        }

        /// <summary>Takes note of nodes that an earlier run has added.</summary>
        internal void OwnNode(QmpBlockTarget target)
        {
            if (target.Definition is not null)
            {
                _nodes.Add(target.NodeName);
            }
        }

        internal void OwnJob(QmpJob job) => _started.Add(job);

        internal void OnUndo(Func<Task> undo) => _undo.Add(undo);

        internal async Task<QmpJob> StartAsync(string jobId, string command, JsonObject arguments, QmpBlockJobOptions settings, CancellationToken cancellationToken)
        {
            if (await operations._jobs.FindAsync(jobId, cancellationToken).ConfigureAwait(false) is { } existing)
            {
                if (!settings.AdoptExisting)
                {
                    throw new QmpBlockOperationException(
                        $"{what} did not start: QEMU has a job '{jobId}' already.", QmpBlockOutcome.Unchanged, null) { JobIds = [jobId] };
                }

                OwnJob(existing);
                return existing;
            }

            if (settings.BytesPerSecond > 0)
            {
                arguments["speed"] = settings.BytesPerSecond;
            }

            QmpJob job = new(operations._jobs, jobId);
            OwnJob(job);
            try
            {
                await operations._jobs.StartAsync(jobId, command, arguments, cancellationToken).ConfigureAwait(false);
            }
            catch (QmpCommandException)
            {
                _started.Remove(job);
                throw;
            }

            return job;
        }

        /// <summary>Cancels the jobs, removes the nodes, and says how that went.</summary>
        internal async Task<Exception> UndoAsync(Exception cause)
        {
            if (cause is QmpBlockOperationException)
            {
                return cause;
            }

            List<string> jobsLeft = [];
            List<string> nodesLeft = [];
            bool isUndone = true;
            bool isConnected = operations._client.State == QmpConnectionState.Ready;
            foreach (QmpJob job in _started)
            {
                if (!await TryAsync(() => job.AbandonAsync(CancellationToken.None)).ConfigureAwait(false))
                {
                    jobsLeft.Add(job.Id);
                }
            }

            foreach (Func<Task> undo in Enumerable.Reverse(_undo))
            {
                isUndone &= await TryAsync(undo).ConfigureAwait(false);
            }

            foreach (string node in Enumerable.Reverse(_nodes))
            {
                if (!await TryAsync(() => RemoveIfThereAsync(node)).ConfigureAwait(false))
                {
                    nodesLeft.Add(node);
                }
            }

            isConnected &= operations._client.State == QmpConnectionState.Ready;
            QmpBlockOutcome outcome = !isConnected ? QmpBlockOutcome.Unknown
                : isUndone && jobsLeft.Count == 0 && nodesLeft.Count == 0 ? QmpBlockOutcome.Unchanged
                : QmpBlockOutcome.LeftBehind;
            return outcome == QmpBlockOutcome.Unchanged && cause is OperationCanceledException
                ? cause
                : new QmpBlockOperationException($"{what} failed ({Describe(outcome)}): {cause.Message}", outcome, cause) { JobIds = jobsLeft, NodesLeft = nodesLeft };
        }

        internal static string Describe(QmpBlockOutcome outcome) => outcome switch
        {
            QmpBlockOutcome.Unchanged => "the guest runs as before",
            QmpBlockOutcome.LeftBehind => "the guest runs as before, but not everything could be removed",
            QmpBlockOutcome.Partial => "some disks have changed over",
            _ => "the connection broke, so the outcome is unknown",
        };

        private static async Task<bool> TryAsync(Func<Task> step)
        {
            try
            {
                await step().ConfigureAwait(false);
                return true;
            }
            catch (Exception exception) when (exception is QmpException or TimeoutException)
            {
                return false;
            }
        }

        private async Task RemoveIfThereAsync(string node)
        {
            if ((await operations.NodeNamesAsync().ConfigureAwait(false)).Contains(node))
            {
                await operations.RemoveNodeAsync(node).ConfigureAwait(false);
            }
        }
    }
}
