using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Pengx.Orchestration;

public sealed partial class OperationEngine
{
    private const string KeyField = "Idempotency-Key";
    private const int MaxKeyLength = 255;

    /// <inheritdoc/>
    public async Task<Operation> StartAsync<TState>(
        Workflow<TState> workflow, TState state, OperationRequest? request = null, CancellationToken cancellationToken = default)
        where TState : class
    {
        ArgumentNullException.ThrowIfNull(workflow);
        ArgumentNullException.ThrowIfNull(state);
        if (!_workflows.TryGetValue(workflow.Kind, out var registered) || registered.GetType() != workflow.GetType())
        {
            throw new InvalidOperationException($"Workflow {workflow.Kind} is not registered: a restart would not find it.");
        }

        request ??= new OperationRequest();
        CheckKey(request.IdempotencyKey);
        ThrowUnlessServing();
        var now = _timeProvider.GetUtcNow();
        var record = new OperationRecord
        {
            Id = OperationId.New(),
            Kind = workflow.Kind,
            Target = workflow.Target(state),
            Description = workflow.Describe(state),
            Pm = _owner,
            RunsAnywhere = workflow.RunsAnywhere,
            Preemptible = workflow.Preemptible,
            IdempotencyKey = request.IdempotencyKey,
            Fingerprint = request.Fingerprint,
            KeyExpiresAt = request.IdempotencyKey is null ? null : now + _options.IdempotencyKeyLifetime,
            CreatedAt = now,
            Checkpoint = Accept(workflow, state, request.Force),
        };

        var locks = ResourceLock.Normalize(workflow.Locks(state));
        var admission = await AdmitAsync(record, locks, request.Force, cancellationToken).ConfigureAwait(false);
        if (admission.Existing is { } existing)
        {
            return CheckFingerprint(existing, request.Fingerprint);
        }

        // From here on the operation is in the journal: whatever happens, it is run.
        Log.Accepted(_logger, record.Id, record.Description);
        OrchestrationDiagnostics.Started.Add(1, new KeyValuePair<string, object?>(OrchestrationDiagnostics.KindTag, workflow.Name));
        var lease = admission.Lease!;
        var run = new OperationRun(_settings, registered, record, lease, request.Force, Activity.Current?.Context ?? default);
        var accepted = record.ToOperation();
        _feed.Publish(accepted);
        if (!TryLaunch(run))
        {
            await _journal.ReleaseAsync(lease, cancellationToken).ConfigureAwait(false);
        }

        return accepted;
    }

    /// <inheritdoc/>
    public async Task<Operation> WaitAsync(OperationId id, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            if (_runs.TryGetValue(id, out var run))
            {
                await run.Ended.WaitAsync(cancellationToken).ConfigureAwait(false);
                if (run.Snapshot is { } last && (last.IsFinished || last.NeedsAttention))
                {
                    return last;
                }
            }

            var record = await _journal.FindAsync(id, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("operation", id.ToString());
            if (record.Checkpoint.IsFinished || (record.Checkpoint.NeedsAttention && !_runs.ContainsKey(id)))
            {
                return record.ToOperation();
            }

            ThrowUnlessServing();
            await Task.Delay(_options.PollInterval, _timeProvider, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async Task<Operation?> FindAsync(OperationId id, CancellationToken cancellationToken = default)
    {
        if (_runs.TryGetValue(id, out var run))
        {
            return run.Snapshot;
        }

        var record = await _journal.FindAsync(id, cancellationToken).ConfigureAwait(false);
        return record?.ToOperation();
    }

    /// <inheritdoc/>
    public async Task<Operation?> FindByKeyAsync(string idempotencyKey, string? fingerprint = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(idempotencyKey);
        CheckKey(idempotencyKey);
        var record = await _journal.FindByKeyAsync(idempotencyKey, _timeProvider.GetUtcNow(), cancellationToken).ConfigureAwait(false);
        return record is null ? null : CheckFingerprint(record, fingerprint);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<Operation> ListAsync(OperationQuery? query = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var record in _journal.ListAsync(query ?? OperationQuery.All, cancellationToken).ConfigureAwait(false))
        {
            yield return Show(record);
        }
    }

    /// <inheritdoc/>
    public async Task<Operation> CancelAsync(OperationId id, CancellationToken cancellationToken = default)
    {
        var record = await _journal.FindAsync(id, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("operation", id.ToString());
        if (record.Checkpoint.IsFinished || !await _journal.RequestCancelAsync(id, cancellationToken).ConfigureAwait(false))
        {
            throw new WrongStateException($"Operation {id} has already ended; it cannot be cancelled.");
        }

        if (_runs.TryGetValue(id, out var run))
        {
            run.Cancel();
        }

        return await FindAsync(id, cancellationToken).ConfigureAwait(false) ?? record.ToOperation();
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<Operation> WatchAsync(CancellationToken cancellationToken = default) => _feed.Watch(cancellationToken);

    /// <inheritdoc/>
    public async Task<IReadOnlySet<string>> ListLockedAsync(CancellationToken cancellationToken = default)
    {
        var locks = await _journal.ListLocksAsync(cancellationToken).ConfigureAwait(false);
        return locks.Select(held => held.Resource).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>How an operation enters the journal. One that need not wait for a place enters it with its first step started, which
    /// saves it a write of its own.</summary>
    private OperationCheckpoint Accept<TState>(Workflow<TState> workflow, TState state, bool urgent)
        where TState : class
    {
        var first = workflow.Steps[0];
        var isStarted = first.IsWait || _settings.SlotsOf(workflow).HasRoom(urgent);
        return new()
        {
            State = isStarted ? OperationState.Running : OperationState.Pending,
            StateJson = JsonSerializer.Serialize(state, workflow.StateType),
            StepStarted = isStarted,
            Step = isStarted ? first.Name : null,
        };
    }

    private static void CheckKey(string? key)
    {
        if (key is not null && (key.Length is 0 or > MaxKeyLength || key.Any(char.IsControl)))
        {
            throw new InvalidFieldException(KeyField, key, $"it has 1 to {MaxKeyLength} characters, none of them a control character.");
        }
    }

    private Operation CheckFingerprint(OperationRecord record, string? fingerprint) =>
        string.Equals(record.Fingerprint, fingerprint, StringComparison.Ordinal)
            ? Show(record)
            : throw new InvalidFieldException(KeyField, record.IdempotencyKey, $"operation {record.Id} was started with it for another request; use a new key.");

    private Operation Show(OperationRecord record) => _runs.TryGetValue(record.Id, out var run) ? run.Snapshot : record.ToOperation();

    private void ThrowUnlessServing()
    {
        switch (_phase)
        {
            case Phase.Created:
                throw new UnavailableException("The service is not ready yet; try again in a moment.");
            case Phase.Stopping:
                throw new UnavailableException("The service is stopping; try again when it is back.");
            case Phase.Serving:
                break;
        }
    }

    /// <summary>Adds the operation to the journal; pre-empts what is in its way if it is forced.</summary>
    private async Task<JournalAdmission> AdmitAsync(
        OperationRecord record, IReadOnlyList<ResourceLock> locks, bool force, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(_options.PreemptTimeout, _timeProvider);
        while (true)
        {
            ThrowUnlessServing();
            if (_runs.Count >= _options.MaxPendingOperations)
            {
                throw new UnavailableException($"{_options.MaxPendingOperations} operations are under way, which is the limit; try again when some have ended.");
            }

            var admission = await _journal.AddAsync(record, locks, LeaseEnd, cancellationToken).ConfigureAwait(false);
            if (admission.Conflict is not { } conflict)
            {
                return admission;
            }

            var preemptible = force && conflict.Holder is { Preemptible: true, Checkpoint.NeedsAttention: false };
            if (!preemptible || !await PreemptAsync(conflict.Holder, record.Description, patience.Token, cancellationToken).ConfigureAwait(false))
            {
                throw new ResourceLockedException(ResourceLock.Describe(conflict.Resource), conflict.Holder.Description);
            }
        }
    }

    /// <summary>Cancels an operation and waits for its end. False: it did not end in time.</summary>
    private async Task<bool> PreemptAsync(OperationRecord holder, string description, CancellationToken patience, CancellationToken cancellationToken)
    {
        Log.Preempting(_logger, holder.Id, description);
        if (!await _journal.RequestCancelAsync(holder.Id, cancellationToken).ConfigureAwait(false))
        {
            return true;
        }

        if (_runs.TryGetValue(holder.Id, out var run))
        {
            run.Cancel();
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(patience, cancellationToken);
        try
        {
            var ended = await WaitAsync(holder.Id, limit.Token).ConfigureAwait(false);
            return ended.IsFinished;
        }
        catch (NotFoundException)
        {
            return true;
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }
}
