using System.Text.Json.Nodes;

namespace Pengx.Qmp;

public sealed partial class QmpBlockOperations
{
    /// <summary>
    /// Copies disks as they are at one moment, the same for all, while the guest goes on. With a bitmap name for a disk, QEMU notes
    /// from that very moment what changes, for <see cref="BackupIncrementalAsync"/>; the name must not be in use. If one disk fails, all are
    /// given up: the copies are worthless, and the bitmaps made here are removed.
    /// </summary>
    /// <param name="disks">The disks and their targets.</param>
    /// <param name="options">How the jobs run; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up; see <see cref="QmpBlockJobOptions.LeaveRunningOnCancel"/>.</param>
    /// <exception cref="QmpBlockOperationException">A job failed, QEMU refused, or the connection broke.</exception>
    public Task<QmpBlockResult> BackupFullAsync(IReadOnlyList<QmpBackupDisk> disks, QmpBlockJobOptions? options = null, CancellationToken cancellationToken = default) =>
        BackupAsync(disks, isIncremental: false, options, cancellationToken);

    /// <summary>
    /// Copies what has changed since the last successful backup that each disk's bitmap stands for, as of one moment, the same for all.
    /// All disks succeed or none: on success the bitmaps start anew from that moment, after a failure they hold what they held and what
    /// was written since, so that the call may be repeated with new targets.
    /// </summary>
    /// <param name="disks">The disks, their empty targets, and their bitmaps.</param>
    /// <param name="options">How the jobs run; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up; see <see cref="QmpBlockJobOptions.LeaveRunningOnCancel"/>.</param>
    /// <exception cref="QmpBlockOperationException">A job failed, QEMU refused, or the connection broke.</exception>
    public Task<QmpBlockResult> BackupIncrementalAsync(IReadOnlyList<QmpBackupDisk> disks, QmpBlockJobOptions? options = null, CancellationToken cancellationToken = default)
    {
        RequireAny(disks);
        if (disks.FirstOrDefault(disk => disk.Bitmap is null) is { } without)
        {
            throw new ArgumentException($"An incremental backup needs a bitmap, and that of '{without.Node}' is not given.", nameof(disks));
        }

        return BackupAsync(disks, isIncremental: true, options, cancellationToken);
    }

    /// <summary>Removes a bitmap: the next backup of its disk has to be a full one.</summary>
    /// <param name="node">The node that has it.</param>
    /// <param name="bitmap">Its name.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task RemoveBitmapAsync(string node, string bitmap, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(node);
        ArgumentException.ThrowIfNullOrEmpty(bitmap);
        return _client.ExecuteRawAsync("block-dirty-bitmap-remove", QmpArguments.Create(new JsonObject { ["node"] = node, ["name"] = bitmap }), cancellationToken);
    }

    private async Task<QmpBlockResult> BackupAsync(IReadOnlyList<QmpBackupDisk> disks, bool isIncremental, QmpBlockJobOptions? options, CancellationToken cancellationToken)
    {
        RequireAny(disks);
        QmpBlockJobOptions settings = (options ?? new QmpBlockJobOptions()).Validate(disks.Count == 1);
        Attempt attempt = new(this, isIncremental ? "The incremental backup" : "The full backup");
        QmpBlockGraph before;
        try
        {
            before = await QueryGraphAsync(cancellationToken).ConfigureAwait(false);
            await StartBackupAsync(attempt, disks, isIncremental, settings, cancellationToken).ConfigureAwait(false);
            QmpProgressSum sum = new(settings.Progress, attempt.Jobs.Count);
            using CancellationTokenSource oneFailed = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            await QmpProgressSum.AllOrFirstErrorAsync(
                attempt.Jobs.Select((job, index) => (Func<CancellationToken, Task>)(stop => job.WaitAsync(sum.Part(index), stop))), oneFailed).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (settings.LeaveRunningOnCancel && cancellationToken.IsCancellationRequested)
        {
            throw;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw await attempt.UndoAsync(exception).ConfigureAwait(false);
        }

        return await RemoveUnusedAsync(
            before, disks.Where(disk => disk.Target.Definition is not null).Select(disk => disk.Target.NodeName), settings).ConfigureAwait(false);
    }

    private async Task StartBackupAsync(Attempt attempt, IReadOnlyList<QmpBackupDisk> disks, bool isIncremental, QmpBlockJobOptions settings, CancellationToken cancellationToken)
    {
        List<QmpJob> jobs = [.. disks.Select(disk => new QmpJob(_jobs, settings.JobId ?? QmpJobId.Create("backup", disk.Node)))];
        IReadOnlyList<QmpJobInfo> present = await _jobs.ListAsync(cancellationToken).ConfigureAwait(false);
        int running = jobs.Count(job => present.Any(other => other.Id == job.Id));
        if (running > 0)
        {
            // All were started by one transaction: those that are missing have ended and been dismissed, with a result that nobody knows.
            if (!settings.AdoptExisting || running < jobs.Count)
            {
                throw new QmpBlockOperationException("The backup did not start: QEMU has jobs of an earlier one.", QmpBlockOutcome.Unchanged, null)
                {
                    JobIds = [.. jobs.Select(job => job.Id).Where(id => present.Any(other => other.Id == id))],
                };
            }

            for (int index = 0; index < disks.Count; index++)
            {
                Own(attempt, disks[index], jobs[index], isIncremental);
                attempt.OwnNode(disks[index].Target);
            }

            return;
        }

        foreach (QmpBackupDisk disk in disks)
        {
            await attempt.AddNodeAsync(disk.Target, cancellationToken).ConfigureAwait(false);
        }

        QmpTransaction transaction = new() { IsGrouped = isIncremental && disks.Count > 1 };
        for (int index = 0; index < disks.Count; index++)
        {
            QmpBackupDisk disk = disks[index];
            JsonObject arguments = new()
            {
                ["device"] = disk.Node,
                ["target"] = disk.Target.NodeName,
                ["sync"] = isIncremental ? "incremental" : "full",
                ["on-source-error"] = "report",
                ["on-target-error"] = "report",
            };
            if (settings.BytesPerSecond > 0)
            {
                arguments["speed"] = settings.BytesPerSecond;
            }

            if (isIncremental)
            {
                arguments["bitmap"] = disk.Bitmap;
            }
            else if (disk.Bitmap is not null)
            {
                transaction.Add("block-dirty-bitmap-add", new JsonObject { ["node"] = disk.Node, ["name"] = disk.Bitmap });
            }

            transaction.AddJob(jobs[index].Id, "blockdev-backup", arguments);
        }

        cancellationToken.ThrowIfCancellationRequested();
        try
        {
            await transaction.ExecuteAsync(_client, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpTimeoutException or QmpDisconnectedException)
        {
            OwnAll();
            throw;
        }

        OwnAll();

        void OwnAll()
        {
            for (int index = 0; index < disks.Count; index++)
            {
                Own(attempt, disks[index], jobs[index], isIncremental);
            }
        }
    }

    private void Own(Attempt attempt, QmpBackupDisk disk, QmpJob job, bool isIncremental)
    {
        attempt.OwnJob(job);
        if (!isIncremental && disk.Bitmap is { } bitmap)
        {
            attempt.OnUndo(() => RemoveBitmapIfThereAsync(disk.Node, bitmap));
        }
    }

    private async Task RemoveBitmapIfThereAsync(string node, string bitmap)
    {
        QmpBlockGraph graph = await QueryGraphAsync(CancellationToken.None).ConfigureAwait(false);
        if (graph.Nodes.Any(candidate => candidate.Name == node && candidate.Info.DirtyBitmaps?.Any(other => other.Name == bitmap) == true))
        {
            await RemoveBitmapAsync(node, bitmap, CancellationToken.None).ConfigureAwait(false);
        }
    }
}
