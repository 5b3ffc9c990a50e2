using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Pengx.Orchestration;

/// <summary>What every run shares with the engine.</summary>
internal sealed record RunSettings(
    IOperationJournal Journal, OrchestrationOptions Options, TimeProvider TimeProvider, ILogger Logger, OperationFeed Feed)
{
    private readonly SlotQueue _places = new(Options.MaxConcurrentOperations);
    private readonly SlotQueue _imagePlaces = new(Options.MaxConcurrentOperations);

    /// <summary>How many operations wait for a place.</summary>
    public int Waiting => _places.Waiting + _imagePlaces.Waiting;

    /// <summary>The places among which a workflow's operations take one.</summary>
    public SlotQueue SlotsOf(Workflow workflow) => workflow.MovesImages ? _imagePlaces : _places;

    /// <summary>Demands what must hold of an operation's claims, once it has them.</summary>
    public Func<IReadOnlyList<ResourceLock>, CancellationToken, Task> DemandAsync { get; init; } = (_, _) => Task.CompletedTask;
}

/// <summary>Drives one operation through its steps, from wherever the journal says it stands, until it has ended, needs attention,
/// rests (the service stops) or is lost to another service.</summary>
internal sealed class OperationRun : IProgress<ByteProgress>, IDisposable
{
    private static readonly TimeSpan ReleaseTimeout = TimeSpan.FromSeconds(5);

    private readonly RunSettings _settings;
    private readonly OperationRecord _record;
    private readonly WorkflowRun _work;
    private readonly SlotQueue _slots;
    private readonly bool _urgent;
    private readonly ActivityContext _parent;
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Set when the service stops: nothing new is begun. Then, when it can wait no longer or the lease is lost: the step at hand ends too.
    private readonly CancellationTokenSource _rest = new();
    private readonly CancellationTokenSource _interrupt = new();
    private readonly CancellationTokenSource _cancel = new();

    private OperationLease _lease;
    private OperationCheckpoint _checkpoint;
    private ByteProgress _bytes;
    private long? _lastNotice;
    private volatile bool _leaseLost;
    private bool _hasSlot;

    // The step at hand may have been carried out in part. One that is only journaled as begun has not: there is nothing of it to undo.
    private bool _mayHaveRun;
    private bool _disposed;
    private int _attempts;

    public OperationRun(RunSettings settings, Workflow workflow, OperationRecord record, OperationLease lease, bool urgent, ActivityContext parent)
    {
        _settings = settings;
        _slots = settings.SlotsOf(workflow);
        _record = record;
        _lease = lease;
        _urgent = urgent;
        _parent = parent;
        _checkpoint = record.Checkpoint;

        // Only who admitted the operation has its first lease; of what another one began, nobody can tell.
        _mayHaveRun = _checkpoint.StepStarted && lease.Token != OperationLease.FirstToken;
        _bytes = new ByteProgress(_checkpoint.BytesDone, _checkpoint.BytesTotal);
        _work = workflow.Bind(record.Id, record.Checkpoint.StateJson, this, settings.TimeProvider);
        if (record.CancelRequested)
        {
            Cancel();
        }
    }

    public OperationId Id => _record.Id;

    public string Description => _record.Description;

    /// <summary>Completes when the run has left the engine, whatever became of it.</summary>
    public Task Ended => _ended.Task;

    public OperationLease Lease
    {
        get
        {
            lock (_gate)
            {
                return _lease;
            }
        }
    }

    /// <summary>The operation with its progress of this moment.</summary>
    public Operation Snapshot
    {
        get
        {
            lock (_gate)
            {
                return (_record with { Checkpoint = WithProgress(_checkpoint) }).ToOperation();
            }
        }
    }

    private bool IsSwitched => _work.SwitchIndex >= 0 && _checkpoint.Position > _work.SwitchIndex;

    private bool IsCancellable =>
        _checkpoint.Direction == StepDirection.Forward && !IsSwitched && !(_mayHaveRun && _checkpoint.Position == _work.SwitchIndex);

    /// <summary>Asks for the operation's end, as far as it can still be had.</summary>
    public void Cancel() => Signal(_cancel);

    /// <summary>Ends the run at the next boundary between steps.</summary>
    public void Rest() => Signal(_rest);

    /// <summary>Ends the run within the step at hand.</summary>
    public void Interrupt()
    {
        Signal(_rest);
        Signal(_interrupt);
    }

    /// <summary>Ends the run at once: another service has the operation.</summary>
    public void LoseLease()
    {
        _leaseLost = true;
        Interrupt();
    }

    public void Renewed(DateTimeOffset expiresAt)
    {
        lock (_gate)
        {
            _lease = _lease with { ExpiresAt = expiresAt };
        }
    }

    public void MarkEnded() => _ended.TrySetResult();

    public void Report(ByteProgress value)
    {
        Operation notice;
        lock (_gate)
        {
            _bytes = value;
            var now = _settings.TimeProvider.GetTimestamp();
            if (_lastNotice is { } last && _settings.TimeProvider.GetElapsedTime(last, now) < _settings.Options.ProgressInterval)
            {
                return;
            }

            _lastNotice = now;
            notice = (_record with { Checkpoint = WithProgress(_checkpoint) }).ToOperation();
        }

        _settings.Feed.Publish(notice);
    }

    public async Task RunAsync()
    {
        var kind = _record.ToOperation().Kind;
        using var scope = Log.OperationScope(_settings.Logger, Id, kind);
        using var activity = OrchestrationDiagnostics.Activities.StartActivity(kind, ActivityKind.Internal, _parent);
        activity?.SetTag(OrchestrationDiagnostics.IdTag, Id.ToString()).SetTag(OrchestrationDiagnostics.KindTag, kind);
        OrchestrationDiagnostics.Active.Add(1);
        try
        {
            await DriveAsync().ConfigureAwait(false);
            Measure(kind, activity);
        }
        catch (LeaseLostException)
        {
            _leaseLost = true;
            Log.LeaseLost(_settings.Logger, Id);
        }
        catch (OperationCanceledException) when (_rest.IsCancellationRequested)
        {
            if (_leaseLost)
            {
                Log.LeaseLost(_settings.Logger, Id);
            }
            else
            {
                Log.Resting(_settings.Logger, Id);
            }
        }
        catch (Exception exception)
        {
            Log.Abandoned(_settings.Logger, Id, exception);
        }
        finally
        {
            LeaveSlot();
            OrchestrationDiagnostics.Active.Add(-1);
            await ReleaseLeaseAsync().ConfigureAwait(false);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
        }

        _rest.Dispose();
        _interrupt.Dispose();
        _cancel.Dispose();
    }

    /// <summary>What hangs on a signal runs on the pool, not on the thread that gives it; a run that has ended needs none.</summary>
    private void Signal(CancellationTokenSource source)
    {
        lock (_gate)
        {
            if (!_disposed)
            {
                _ = source.CancelAsync();
            }
        }
    }

    private async Task DriveAsync()
    {
        while (!_checkpoint.IsFinished)
        {
            _rest.Token.ThrowIfCancellationRequested();
            var goesOn = _checkpoint.Direction == StepDirection.Forward
                ? await ForwardAsync().ConfigureAwait(false)
                : await BackwardAsync().ConfigureAwait(false);
            if (!goesOn)
            {
                return;
            }
        }
    }

    /// <summary>Carries the next step out, or ends the operation when there is none. False: it needs attention.</summary>
    private async Task<bool> ForwardAsync()
    {
        var step = _checkpoint.Position;
        if (_cancel.IsCancellationRequested && IsCancellable)
        {
            Log.Cancelling(_settings.Logger, Id);
            await TurnBackAsync(PengxErrorCode.Cancelled, $"Cancelled: {Description} was cancelled before it took effect.").ConfigureAwait(false);
            return true;
        }

        if (step == _work.StepCount)
        {
            await EndAsync(_checkpoint, OperationState.Succeeded, _work.Succeeded, _work.Created).ConfigureAwait(false);
            return true;
        }

        if (!await EnterSlotAsync(step).ConfigureAwait(false))
        {
            return true;
        }

        if (!_checkpoint.StepStarted || _checkpoint.NeedsAttention || _checkpoint.State == OperationState.Pending)
        {
            await BeginAsync(_checkpoint).ConfigureAwait(false);
        }

        Log.StepStarts(_settings.Logger, Id, _work.NameOf(step));
        var failure = await TryStepAsync(step).ConfigureAwait(false);
        if (failure is null)
        {
            _attempts = 0;
            await AdvanceAsync(_checkpoint with { Position = step + 1, StepStarted = false, StateJson = _work.WriteState() }).ConfigureAwait(false);
            _mayHaveRun = false;
            return true;
        }

        if (_cancel.IsCancellationRequested && IsCancellable)
        {
            // What the step threw is the cancellation's doing; the next turn undoes.
            return true;
        }

        _attempts++;
        var limit = IsSwitched ? _settings.Options.RollForwardAttempts
            : failure is PengxException { IsTransient: true } ? _settings.Options.TransientAttempts
            : 1;
        if (_attempts < limit)
        {
            await BackOffAsync(_work.NameOf(step), failure).ConfigureAwait(false);
            return true;
        }

        var (error, message) = Explain(failure);
        if (IsSwitched)
        {
            await GiveUpAsync(step, failure, error, message).ConfigureAwait(false);
            return false;
        }

        Log.Undoing(_settings.Logger, Id, _work.NameOf(step), failure);
        await TurnBackAsync(error, message).ConfigureAwait(false);
        return true;
    }

    /// <summary>Undoes the last step that is not undone yet, or ends the operation when there is none. False: it needs attention.</summary>
    private async Task<bool> BackwardAsync()
    {
        var step = _checkpoint.Position - 1;
        if (step < 0)
        {
            var state = _checkpoint.Error == PengxErrorCode.Cancelled ? OperationState.Cancelled : OperationState.Failed;
            await EndAsync(_checkpoint, state, _work.Remark is { } remark ? $"{_checkpoint.Message?.TrimEnd()} {remark.TrimStart()}" : _checkpoint.Message, created: null).ConfigureAwait(false);
            return true;
        }

        if (!_work.HasUndo(step))
        {
            // Nothing happens, so nothing is journaled; the next write carries the position.
            lock (_gate)
            {
                _checkpoint = _checkpoint with { Position = step, StepStarted = false };
            }

            return true;
        }

        if (!_checkpoint.StepStarted || _checkpoint.NeedsAttention)
        {
            await SaveAsync(_checkpoint with
            {
                State = OperationState.Running,
                NeedsAttention = false,
                AttentionMessage = null,
                StepStarted = true,
                Step = _work.NameOf(step),
            }).ConfigureAwait(false);
        }

        Log.UndoStarts(_settings.Logger, Id, _work.NameOf(step));
        var failure = await TryAsync(token => _work.UndoAsync(step, token), _interrupt.Token).ConfigureAwait(false);
        if (failure is null)
        {
            _attempts = 0;
            await SaveAsync(_checkpoint with { Position = step, StepStarted = false, StateJson = _work.WriteState() }).ConfigureAwait(false);
            return true;
        }

        if (++_attempts < _settings.Options.UndoAttempts)
        {
            await BackOffAsync(_work.NameOf(step), failure).ConfigureAwait(false);
            return true;
        }

        var (_, message) = Explain(failure);
        await GiveUpAsync(step, failure, _checkpoint.Error, $"{_checkpoint.Message} Undoing it failed too: {message}").ConfigureAwait(false);
        return false;
    }

    /// <summary>Journals that a step is done, and with the same write what comes next where nothing can come between: every write is
    /// a flush.</summary>
    private Task AdvanceAsync(OperationCheckpoint done)
    {
        if (_rest.IsCancellationRequested || _cancel.IsCancellationRequested)
        {
            return SaveAsync(done);
        }

        if (done.Position == _work.StepCount)
        {
            return EndAsync(done, OperationState.Succeeded, _work.Succeeded, _work.Created);
        }

        return _hasSlot || _work.IsWait(done.Position) ? BeginAsync(done) : SaveAsync(done);
    }

    /// <summary>Journals that the step at a checkpoint's position is started.</summary>
    private Task BeginAsync(OperationCheckpoint checkpoint)
    {
        SetBytes(default);
        return SaveAsync(checkpoint with
        {
            State = OperationState.Running,
            NeedsAttention = false,
            AttentionMessage = null,
            Error = null,
            Message = null,
            StepStarted = true,
            Step = _work.NameOf(checkpoint.Position),
        });
    }

    private async Task<Exception?> TryStepAsync(int step)
    {
        // What the request was judged by may have changed until the claims were held; from then on it stays.
        if (step == 0 && await TryAsync(token => _settings.DemandAsync(_work.Locks, token), _interrupt.Token).ConfigureAwait(false) is { } refusal)
        {
            return refusal;
        }

        _mayHaveRun = true;
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(
            _interrupt.Token,
            _work.IsWait(step) ? _rest.Token : CancellationToken.None,
            IsCancellable ? _cancel.Token : CancellationToken.None);
        return await TryAsync(token => _work.ExecuteAsync(step, token), linked.Token, _work.IsWait(step)).ConfigureAwait(false);
    }

    /// <summary>Runs a piece of a workflow and returns what it threw. When the run is being interrupted, nothing can be told from that:
    /// the piece counts as started and is run again.</summary>
    private async Task<Exception?> TryAsync(Func<CancellationToken, Task> piece, CancellationToken cancellationToken, bool restEndsIt = false)
    {
        try
        {
            await piece(cancellationToken).ConfigureAwait(false);

            // A state that cannot be written is the step's failure, not the journal's.
            _ = _work.WriteState();
            return null;
        }
        catch (Exception exception)
        {
            _interrupt.Token.ThrowIfCancellationRequested();
            if (restEndsIt)
            {
                _rest.Token.ThrowIfCancellationRequested();
            }

            return exception;
        }
    }

    /// <summary>Journals that the operation is undone from here on.</summary>
    private Task TurnBackAsync(PengxErrorCode error, string message)
    {
        _attempts = 0;
        return SaveAsync(_checkpoint with
        {
            State = OperationState.Running,
            Direction = StepDirection.Undo,
            Position = _mayHaveRun ? _checkpoint.Position + 1 : _checkpoint.Position,
            StepStarted = false,
            NeedsAttention = false,
            AttentionMessage = null,
            Error = error,
            Message = message,
            StateJson = _work.WriteState(),
        });
    }

    private async Task EndAsync(OperationCheckpoint checkpoint, OperationState state, string? message, string? created)
    {
        await SaveAsync(checkpoint with
        {
            State = state,
            StepStarted = false,
            NeedsAttention = false,
            AttentionMessage = null,
            Message = message,
            Created = created,
            FinishedAt = _settings.TimeProvider.GetUtcNow(),
        }).ConfigureAwait(false);
        Log.Ended(_settings.Logger, Id, state, message);
    }

    private async Task GiveUpAsync(int step, Exception failure, PengxErrorCode? error, string message)
    {
        Log.NeedsAttention(_settings.Logger, Id, Description, _work.NameOf(step), failure);
        await SaveAsync(_checkpoint with { NeedsAttention = true, Error = error, AttentionMessage = message }).ConfigureAwait(false);
    }

    /// <summary>Takes a place among the working operations, or leaves it for a step that only waits. False: cancelled meanwhile.</summary>
    private async Task<bool> EnterSlotAsync(int step)
    {
        if (_work.IsWait(step))
        {
            LeaveSlot();
            return true;
        }

        if (_hasSlot)
        {
            return true;
        }

        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(_rest.Token, IsCancellable ? _cancel.Token : CancellationToken.None);
        try
        {
            await _slots.AcquireAsync(_urgent, waiting.Token).ConfigureAwait(false);
            _hasSlot = true;
            return true;
        }
        catch (OperationCanceledException) when (!_rest.IsCancellationRequested)
        {
            return false;
        }
    }

    private void LeaveSlot()
    {
        if (_hasSlot)
        {
            _hasSlot = false;
            _slots.Release();
        }
    }

    private async Task BackOffAsync(string step, Exception failure)
    {
        var delay = Backoff(_attempts);
        Log.Retrying(_settings.Logger, Id, step, _attempts, delay, failure);
        LeaveSlot();
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(_rest.Token, IsCancellable ? _cancel.Token : CancellationToken.None);
        try
        {
            await Task.Delay(delay, _settings.TimeProvider, waiting.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!_rest.IsCancellationRequested)
        {
            // Cancelled: the next turn undoes.
        }
    }

    private TimeSpan Backoff(int attempt)
    {
        var factor = Math.Pow(2, Math.Min(attempt - 1, 30));
        return TimeSpan.FromTicks((long)Math.Min(_settings.Options.RetryDelay.Ticks * factor, _settings.Options.MaxRetryDelay.Ticks));
    }

    private async Task SaveAsync(OperationCheckpoint next)
    {
        lock (_gate)
        {
            next = WithProgress(next);
        }

        for (var attempt = 1; ; attempt++)
        {
            _interrupt.Token.ThrowIfCancellationRequested();
            try
            {
                await _settings.Journal.SaveAsync(Lease, next, _interrupt.Token).ConfigureAwait(false);
                break;
            }
            catch (PengxException exception) when (exception.IsTransient)
            {
                var delay = Backoff(attempt);
                Log.JournalUnavailable(_settings.Logger, Id, delay, exception);
                await Task.Delay(delay, _settings.TimeProvider, _interrupt.Token).ConfigureAwait(false);
            }
        }

        lock (_gate)
        {
            _checkpoint = next;
        }

        _settings.Feed.Publish((_record with { Checkpoint = next }).ToOperation());
    }

    private void SetBytes(ByteProgress bytes)
    {
        lock (_gate)
        {
            _bytes = bytes;
        }
    }

    private OperationCheckpoint WithProgress(OperationCheckpoint checkpoint)
    {
        if (checkpoint.State == OperationState.Succeeded)
        {
            return checkpoint with { Progress = 100, BytesDone = _bytes.Done, BytesTotal = _bytes.Total };
        }

        if (checkpoint.Direction == StepDirection.Undo)
        {
            return checkpoint;
        }

        var part = checkpoint.StepStarted && _bytes.Total > 0 ? Math.Clamp((double)_bytes.Done / _bytes.Total, 0, 1) : 0;
        var percent = (int)((checkpoint.Position + part) * 100 / _work.StepCount);
        return checkpoint with { Progress = Math.Clamp(percent, 0, 99), BytesDone = _bytes.Done, BytesTotal = _bytes.Total };
    }

    private (PengxErrorCode Error, string Message) Explain(Exception failure) => failure is PengxException known
        ? (known.Code, known.Message)
        : (PengxErrorCode.Internal, $"An internal error stopped {Description}; the log has the details under operation {Id}.");

    private void Measure(string kind, Activity? activity)
    {
        var outcome = _checkpoint.NeedsAttention ? "NeedsAttention" : _checkpoint.State.ToString();
        var tags = new TagList { { OrchestrationDiagnostics.KindTag, kind }, { OrchestrationDiagnostics.OutcomeTag, outcome } };
        OrchestrationDiagnostics.Finished.Add(1, tags);
        OrchestrationDiagnostics.Duration.Record((_settings.TimeProvider.GetUtcNow() - _record.CreatedAt).TotalSeconds, tags);
        activity?.SetTag(OrchestrationDiagnostics.OutcomeTag, outcome)
            .SetStatus(_checkpoint.State == OperationState.Succeeded ? ActivityStatusCode.Ok : ActivityStatusCode.Error);
    }

    private async Task ReleaseLeaseAsync()
    {
        if (_checkpoint.IsFinished || _leaseLost)
        {
            return;
        }

        try
        {
            using var limit = new CancellationTokenSource(ReleaseTimeout, _settings.TimeProvider);
            await _settings.Journal.ReleaseAsync(Lease, limit.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            Log.NotReleased(_settings.Logger, Id, exception);
        }
    }
}
