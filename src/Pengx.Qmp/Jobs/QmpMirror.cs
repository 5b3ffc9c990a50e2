namespace Pengx.Qmp;

/// <summary>
/// Disks being mirrored. After a restart the same is taken up again by <see cref="QmpBlockOperations.StartMirrorAsync"/> with
/// <see cref="QmpBlockJobOptions.AdoptExisting"/>. It has to end with one of its three ends; forgotten, it goes on in QEMU.
/// </summary>
public sealed class QmpMirror
{
    private readonly QmpBlockOperations _operations;
    private readonly QmpBlockOperations.Attempt _attempt;
    private readonly QmpBlockGraph _before;
    private readonly QmpBlockJobOptions _options;
    private readonly bool _isTopOnly;

    internal QmpMirror(QmpBlockOperations operations, QmpBlockOperations.Attempt attempt, QmpBlockGraph before, IReadOnlyList<QmpMirrorDisk> disks, bool isTopOnly, QmpBlockJobOptions options)
    {
        _isTopOnly = isTopOnly;
        _operations = operations;
        _attempt = attempt;
        _before = before;
        _options = options;
        Disks = disks;
    }

    /// <summary>The disks.</summary>
    public IReadOnlyList<QmpMirrorDisk> Disks { get; }

    /// <summary>The jobs, in the order of the disks.</summary>
    public IReadOnlyList<QmpJob> Jobs => _attempt.Jobs;

    /// <summary>Waits until every target is in step with its disk. If one fails, all are cancelled and their targets removed: the guest runs as before.</summary>
    /// <param name="cancellationToken">Gives up; see <see cref="QmpBlockJobOptions.LeaveRunningOnCancel"/>.</param>
    /// <exception cref="QmpBlockOperationException">A job failed, or the connection broke.</exception>
    public async Task WaitReadyAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            QmpProgressSum sum = new(_options.Progress, Jobs.Count);
            using CancellationTokenSource oneFailed = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            await QmpProgressSum.AllOrFirstErrorAsync(Jobs.Select((job, index) => (Func<CancellationToken, Task>)(stop => job.WaitReadyAsync(sum.Part(index), stop))), oneFailed).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_options.LeaveRunningOnCancel && cancellationToken.IsCancellationRequested)
        {
            throw;
        }
        catch (Exception exception) when (QmpBlockOperations.IsFailure(exception))
        {
            throw await _attempt.UndoAsync(exception).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Changes the guest over to the targets, disk by disk, and removes the old nodes. Not to be cancelled: a change-over under way is
    /// seen through. A disk whose change-over fails stays on its old image (<see cref="QmpBlockOutcome.Unchanged"/> if that is all of
    /// them, <see cref="QmpBlockOutcome.Partial"/> otherwise).
    /// </summary>
    /// <exception cref="QmpBlockOperationException">A job failed, or the connection broke.</exception>
    public async Task<QmpBlockResult> PivotAsync()
    {
        List<string> changed = [];
        Exception? first = null;
        for (int index = 0; index < Jobs.Count; index++)
        {
            try
            {
                await QmpBlockOperations.CompleteAsync(Jobs[index], CancellationToken.None).ConfigureAwait(false);
                await Jobs[index].WaitAsync(cancellationToken: CancellationToken.None).ConfigureAwait(false);
                changed.Add(Disks[index].Node);
            }
            catch (Exception exception) when (QmpBlockOperations.IsFailure(exception))
            {
                first = exception;
                break;
            }
        }

        if (first is not null)
        {
            if (changed.Count == 0)
            {
                throw await _attempt.UndoAsync(first).ConfigureAwait(false);
            }

            throw new QmpBlockOperationException($"The change-over failed ({QmpBlockOperations.Attempt.Describe(QmpBlockOutcome.Partial)}): {first.Message}", QmpBlockOutcome.Partial, first)
            {
                NodesChanged = changed,
                JobIds = [.. Jobs.Skip(changed.Count).Select(job => job.Id)],
                NodesLeft = [.. Disks.Skip(changed.Count).Select(disk => disk.Target.NodeName)],
            };
        }

        return await _operations.RemoveUnusedAsync(_before, Disks.SelectMany(disk => _isTopOnly ? [disk.Node] : _before.Chain(disk.Node).Select(node => node.Name)), _options).ConfigureAwait(false);
    }

    /// <summary>
    /// Ends the mirror: the targets are copies of the disks at this moment (of several disks: within moments of each other, unless the
    /// machine is stopped), and are removed from QEMU. The guest stays where it is, also if this fails.
    /// </summary>
    /// <exception cref="QmpBlockOperationException">A job failed, so its copy is worthless, or the connection broke.</exception>
    public async Task<QmpBlockResult> FinishAsync()
    {
        try
        {
            foreach (QmpJob job in Jobs)
            {
                await job.FinishAsync(CancellationToken.None).ConfigureAwait(false);
            }

            foreach (QmpJob job in Jobs)
            {
                await job.WaitAsync(cancellationToken: CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (QmpBlockOperations.IsFailure(exception))
        {
            throw await _attempt.UndoAsync(exception).ConfigureAwait(false);
        }

        return await RemoveTargetsAsync().ConfigureAwait(false);
    }

    /// <summary>Gives the mirror up: the jobs are cancelled, the targets are worthless and removed from QEMU, the guest stays where it is.</summary>
    /// <exception cref="QmpBlockOperationException">Something could not be removed, or the connection broke.</exception>
    public async Task AbandonAsync()
    {
        Exception outcome = await _attempt.UndoAsync(new OperationCanceledException("The mirror was abandoned.")).ConfigureAwait(false);
        if (outcome is QmpBlockOperationException failure)
        {
            throw failure;
        }
    }

    private Task<QmpBlockResult> RemoveTargetsAsync() =>
        _operations.RemoveUnusedAsync(
            _before,
            Disks.Where(disk => disk.Target.Definition is not null).Select(disk => disk.Target.NodeName),
            _options);
}
