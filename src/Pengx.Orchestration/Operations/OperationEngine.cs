using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Pengx.Orchestration;

/// <summary>Runs operations: journals them, drives them through their steps, takes them up again after a stop or a crash.
/// One engine per PM; several PMs may share a journal.</summary>
public sealed partial class OperationEngine : IOperations, IAsyncDisposable
{
    private static readonly TimeSpan s_interruptTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_pruneInterval = TimeSpan.FromHours(1);

    private readonly IOperationJournal _journal;
    private readonly Dictionary<string, Workflow> _workflows;
    private readonly PmId _owner;
    private readonly OrchestrationOptions _options;
    private readonly TimeProvider _timeProvider;
    private readonly ILogger _logger;
    private readonly RunSettings _settings;
    private readonly OperationFeed _feed;

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<OperationId, OperationRun> _runs = new();

    // When this engine last tried in vain to finish or undo an operation.
    private readonly ConcurrentDictionary<OperationId, DateTimeOffset> _givenUp = new();
    private readonly CancellationTokenSource _upkeepEnd = new();
    private Task _upkeep = Task.CompletedTask;
    private Task? _stopping;
    private Phase _phase;
    private DateTimeOffset _nextPrune;

    /// <summary>Makes an engine; <see cref="StartAsync(CancellationToken)"/> sets it to work.</summary>
    /// <param name="journal">The journal.</param>
    /// <param name="workflows">Every workflow that may be started here or found in the journal.</param>
    /// <param name="host">The PM it runs on: the owner of its leases.</param>
    /// <param name="options">How to run operations.</param>
    /// <param name="timeProvider">The clock.</param>
    /// <param name="logger">The log.</param>
    /// <exception cref="InvalidOperationException">Options or workflows contradict themselves.</exception>
    public OperationEngine(
        IOperationJournal journal,
        IEnumerable<Workflow> workflows,
        LocalHost host,
        IOptions<OrchestrationOptions> options,
        TimeProvider timeProvider,
        ILogger<OperationEngine> logger)
    {
        ArgumentNullException.ThrowIfNull(journal);
        ArgumentNullException.ThrowIfNull(workflows);
        ArgumentNullException.ThrowIfNull(host);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(timeProvider);
        ArgumentNullException.ThrowIfNull(logger);
        _journal = journal;
        _owner = host.Id;
        _options = options.Value;
        _options.Check();
        _timeProvider = timeProvider;
        _logger = logger;
        _feed = new OperationFeed(_options.WatchBuffer);
        _settings = new RunSettings(journal, _options, timeProvider, logger, _feed);
        _workflows = new Dictionary<string, Workflow>(StringComparer.Ordinal);
        foreach (var workflow in workflows)
        {
            workflow.Check();
            if (!_workflows.TryAdd(workflow.Kind, workflow))
            {
                throw new InvalidOperationException($"Two workflows are called {workflow.Kind}.");
            }
        }
    }

    private enum Phase
    {
        Created,
        Serving,
        Stopping,
    }

    /// <summary>Demands what must hold of an operation's claims, once it has them and before its first step; nothing when not set.</summary>
    internal Func<IReadOnlyList<ResourceLock>, CancellationToken, Task> DemandAsync
    {
        init => _settings = _settings with { DemandAsync = value };
    }

    /// <summary>How many operations wait for a place among the working ones.</summary>
    internal int Queued => _settings.Waiting;

    private TimeSpan UpkeepInterval => _options.LeaseDuration / 3;

    private DateTimeOffset LeaseEnd => _timeProvider.GetUtcNow() + _options.LeaseDuration;

    /// <summary>Takes up the unfinished operations of this PM, also those that need attention, and serves from then on.</summary>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <exception cref="UnavailableException">The journal cannot be reached.</exception>
    /// <exception cref="InvalidOperationException">The engine was started before.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (_phase != Phase.Created)
            {
                throw new InvalidOperationException("The engine was started or stopped before; make a new one.");
            }

            _phase = Phase.Serving;
        }

        try
        {
            var count = await TakeUpAsync(restart: true, cancellationToken).ConfigureAwait(false);
            Log.Serving(_logger, count);
        }
        catch
        {
            await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
            throw;
        }

        // The timer exists before the start returns, so that a clock under a test's control finds it.
        var timer = new PeriodicTimer(UpkeepInterval, _timeProvider);
        lock (_gate)
        {
            _upkeep = Task.Run(() => UpkeepAsync(timer), CancellationToken.None);
        }
    }

    /// <summary>Stops: nothing new is accepted or begun, running steps may finish for <see cref="OrchestrationOptions.StopTimeout"/>
    /// (steps that wait end at once), then they are cancelled. What has not ended is taken up at the next start.</summary>
    /// <param name="cancellationToken">Cancels running steps at once.</param>
    public Task StopAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            _phase = Phase.Stopping;
            if (_stopping is null)
            {
                var runs = _runs.Values.ToList();
                runs.ForEach(run => run.Rest());
                _stopping = StopOnceAsync(runs, cancellationToken);
            }

            return _stopping;
        }
    }

    /// <summary>Stops without waiting for running steps, unless <see cref="StopAsync"/> was called before.</summary>
    public async ValueTask DisposeAsync() => await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);

    private async Task StopOnceAsync(IReadOnlyList<OperationRun> runs, CancellationToken cancellationToken)
    {
        // The caller holds the lock; nothing is waited for under it.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        var ended = Task.WhenAll(runs.Select(run => run.Ended));
        try
        {
            await ended.WaitAsync(_options.StopTimeout, _timeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is TimeoutException or OperationCanceledException)
        {
            await InterruptAsync(runs, ended).ConfigureAwait(false);
        }

        await _upkeepEnd.CancelAsync().ConfigureAwait(false);
        await _upkeep.ConfigureAwait(false);
        _feed.Close();
        Log.Stopped(_logger);
    }

    private async Task InterruptAsync(IReadOnlyList<OperationRun> runs, Task ended)
    {
        foreach (var run in runs)
        {
            run.Interrupt();
        }

        try
        {
            await ended.WaitAsync(s_interruptTimeout, _timeProvider).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            foreach (var run in runs.Where(run => !run.Ended.IsCompleted))
            {
                Log.LeftBehind(_logger, run.Id);
            }
        }
    }

    /// <summary>Claims and runs what nobody runs: at a restart all of this PM's own, later only what was left or given up.</summary>
    private async Task<int> TakeUpAsync(bool restart, CancellationToken cancellationToken)
    {
        var query = new OperationQuery { UnfinishedOnly = true, Limit = int.MaxValue };
        var now = _timeProvider.GetUtcNow();
        var left = new List<OperationRecord>();
        await foreach (var record in _journal.ListAsync(query, cancellationToken).ConfigureAwait(false))
        {
            var free = record.Lease is null || record.Lease.ExpiresAt <= now || (restart && record.Lease.Owner == _owner);
            var ours = record.Pm == _owner || record.RunsAnywhere;
            if (free && ours && (restart || !record.Checkpoint.NeedsAttention || IsTriedAgain(record.Id, now)) && !_runs.ContainsKey(record.Id))
            {
                left.Add(record);
            }
        }

        var count = 0;
        foreach (var record in left.OrderBy(record => record.CreatedAt))
        {
            var claimed = await _journal.ClaimAsync(record.Id, _owner, now, LeaseEnd, restart, cancellationToken).ConfigureAwait(false);
            if (claimed?.Lease is { } lease && await ResumeAsync(claimed, lease, cancellationToken).ConfigureAwait(false))
            {
                count++;
            }
        }

        return count;
    }

    /// <summary>Whether an operation that needs attention is tried again by itself: what was in its way may be over.</summary>
    private bool IsTriedAgain(OperationId id, DateTimeOffset now) => _givenUp.TryGetValue(id, out var last) && last + _options.AttentionRetryInterval <= now;

    private async Task<bool> ResumeAsync(OperationRecord record, OperationLease lease, CancellationToken cancellationToken)
    {
        string? obstacle = null;
        if (_workflows.TryGetValue(record.Kind, out var workflow))
        {
            try
            {
                var run = new OperationRun(_settings, workflow, record, lease, urgent: false, default);
                Log.TakenUp(_logger, record.Id, record.Description, record.Checkpoint.Direction, record.Checkpoint.Position);
                if (!TryLaunch(run))
                {
                    await _journal.ReleaseAsync(lease, cancellationToken).ConfigureAwait(false);
                }

                return true;
            }
            catch (JsonException exception)
            {
                obstacle = $"The journaled state of {record.Kind} cannot be read; the log has the details under operation {record.Id}.";
                Log.NeedsAttention(_logger, record.Id, record.Description, record.Checkpoint.Step ?? string.Empty, exception);
            }
        }
        else
        {
            obstacle = $"This version of the service does not know {record.Kind}.";
            Log.NeedsAttention(_logger, record.Id, record.Description, record.Checkpoint.Step ?? string.Empty, null);
        }

        var checkpoint = record.Checkpoint with { NeedsAttention = true, AttentionMessage = obstacle };
        await _journal.SaveAsync(lease, checkpoint, cancellationToken).ConfigureAwait(false);
        await _journal.ReleaseAsync(lease, cancellationToken).ConfigureAwait(false);
        return false;
    }

    /// <summary>Sets a run to work. False: the engine is stopping; whoever holds the lease gives it up.</summary>
    private bool TryLaunch(OperationRun run)
    {
        lock (_gate)
        {
            if (_phase != Phase.Serving)
            {
                return false;
            }

            _runs[run.Id] = run;
        }

        // The work outlives the call that started it, so nothing of the caller's context goes along.
        using (ExecutionContext.SuppressFlow())
        {
            _ = Task.Run(() => HostAsync(run));
        }

        return true;
    }

    private async Task HostAsync(OperationRun run)
    {
        try
        {
            await run.RunAsync().ConfigureAwait(false);
        }
        finally
        {
            if (run.Snapshot.NeedsAttention)
            {
                _givenUp[run.Id] = _timeProvider.GetUtcNow();
            }
            else
            {
                _givenUp.TryRemove(run.Id, out _);
            }

            _runs.TryRemove(KeyValuePair.Create(run.Id, run));
            run.Dispose();
            run.MarkEnded();
        }
    }

    private async Task UpkeepAsync(PeriodicTimer timer)
    {
        using (timer)
        {
            try
            {
                while (await timer.WaitForNextTickAsync(_upkeepEnd.Token).ConfigureAwait(false))
                {
                    await RenewAsync(_upkeepEnd.Token).ConfigureAwait(false);
                    if (_phase == Phase.Serving)
                    {
                        await TidyAsync(_upkeepEnd.Token).ConfigureAwait(false);
                    }
                }
            }
            catch (OperationCanceledException) when (_upkeepEnd.IsCancellationRequested)
            {
                // The engine has stopped.
            }
        }
    }

    private async Task RenewAsync(CancellationToken cancellationToken)
    {
        foreach (var run in _runs.Values)
        {
            try
            {
                var end = LeaseEnd;
                var cancel = await _journal.RenewAsync(run.Lease, end, cancellationToken).ConfigureAwait(false);
                run.Renewed(end);
                if (cancel)
                {
                    run.Cancel();
                }
            }
            catch (LeaseLostException)
            {
                // Also what a run meets that ended a moment ago, and then it does no harm.
                run.LoseLease();
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                Log.NotRenewed(_logger, run.Id, exception);
                if (run.Lease.ExpiresAt <= _timeProvider.GetUtcNow())
                {
                    // From now on another may work on it.
                    run.LoseLease();
                }
            }
        }
    }

    private async Task TidyAsync(CancellationToken cancellationToken)
    {
        try
        {
            await TakeUpAsync(restart: false, cancellationToken).ConfigureAwait(false);
            var now = _timeProvider.GetUtcNow();
            if (now >= _nextPrune)
            {
                var count = await _journal.PruneAsync(now - _options.Retention, now, cancellationToken).ConfigureAwait(false);
                _nextPrune = now + s_pruneInterval;
                if (count > 0)
                {
                    Log.Pruned(_logger, count);
                }
            }
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            Log.UpkeepFailed(_logger, exception);
        }
    }
}
