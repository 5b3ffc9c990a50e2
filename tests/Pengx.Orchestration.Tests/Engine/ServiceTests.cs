using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class ServiceTests : EngineTest
{
    [Fact]
    public async Task A_key_leads_to_the_first_operation_and_to_no_other_request()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync));
        var engine = await StartAsync(script);
        var request = new OperationRequest { IdempotencyKey = "k1", Fingerprint = "f1" };
        var first = await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/1"] }, request, Token);
        await gate.Reached;
        Assert.Equal(first.Id, (await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/1"] }, request, Token)).Id);
        gate.Open();
        await engine.WaitAsync(first.Id, Token);

        var repeated = await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/1"] }, request, Token);
        Assert.Equal((first.Id, OperationState.Succeeded), (repeated.Id, repeated.State));
        Assert.Equal(first.Id, (await engine.FindByKeyAsync("k1", "f1", Token))?.Id);
        Assert.Null(await engine.FindByKeyAsync("k2", "f1", Token));
        var other = new OperationRequest { IdempotencyKey = "k1", Fingerprint = "f2" };
        Assert.Equal("Idempotency-Key", (await Assert.ThrowsAsync<InvalidFieldException>(() => engine.StartAsync(script, new ScriptState(), other, Token))).Field);
        await Assert.ThrowsAsync<InvalidFieldException>(() => engine.FindByKeyAsync("k1", "f2", Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => engine.StartAsync(script, new ScriptState(), new OperationRequest { IdempotencyKey = new string('k', 256) }, Token));
        Assert.Equal(["a"], World.All);

        Time.Advance(TimeSpan.FromHours(24));
        Assert.NotEqual(first.Id, (await engine.StartAsync(script, new ScriptState(), request, Token)).Id);
    }

    [Fact]
    public async Task Stopping_lets_the_step_at_hand_finish_and_begins_no_other()
    {
        var gate = new Gate();
        var wait = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync), World.Step("b"));
        var waiting = new Script(World.Step("wait", work: token => World.All.Count(one => one == "wait") == 1 ? wait.PassAsync(token) : Task.CompletedTask, isWait: true)) { Called = "test.wait" };
        var engine = await StartAsync(script, waiting);
        var first = await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/1"] }, cancellationToken: Token);
        var second = await engine.StartAsync(waiting, new ScriptState(), cancellationToken: Token);
        await Task.WhenAll(gate.Reached, wait.Reached);

        var stopping = engine.StopAsync(Token);
        await Assert.ThrowsAsync<UnavailableException>(() => engine.StartAsync(script, new ScriptState(), cancellationToken: Token));
        Assert.False(stopping.IsCompleted);
        gate.Open();
        await stopping.WaitAsync(Patience, Token);
        Assert.DoesNotContain("b", World.All);
        await Assert.ThrowsAsync<UnavailableException>(() => engine.WaitAsync(first.Id, Token));
        Assert.Null((await Journal.FindAsync(first.Id, Token))?.Lease);

        var next = await StartAsync(script, waiting);
        Assert.Equal(OperationState.Succeeded, (await next.WaitAsync(first.Id, Token)).State);
        Assert.Equal(OperationState.Succeeded, (await next.WaitAsync(second.Id, Token)).State);
        Assert.Single(World.All, happening => happening == "a");
        Assert.Equal(2, World.All.Count(happening => happening == "wait"));
        Assert.DoesNotContain(World.All, happening => happening.StartsWith("undo", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Stopping_does_not_wait_for_ever()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync));
        var engine = await StartAsync(script);
        await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        var begin = Time.GetUtcNow();
        var stopping = engine.StopAsync(Token);
        await PassTimeUntilAsync(() => stopping.IsCompleted, TimeSpan.FromSeconds(1));
        await stopping;
        Assert.True(Time.GetUtcNow() - begin >= Options.StopTimeout);
        Assert.Equal(["a"], World.All);
    }

    [Fact]
    public async Task Nothing_is_accepted_before_the_start()
    {
        var script = new Script(World.Step("a"));
        await using var engine = new OperationEngine(
            Journal, [script], Host, Microsoft.Extensions.Options.Options.Create(Options), Time, Microsoft.Extensions.Logging.Abstractions.NullLogger<OperationEngine>.Instance);
        await Assert.ThrowsAsync<UnavailableException>(() => engine.StartAsync(script, new ScriptState(), cancellationToken: Token));
    }

    [Fact]
    public async Task Progress_is_seen_at_once_told_now_and_then_and_never_journaled()
    {
        var reported = new Gate();
        var script = new Script(
            World.Step("first"),
            new Step<ScriptState>("copy", async (context, token) =>
            {
                for (var done = 1; done <= 100; done++)
                {
                    context.Progress.Report(new ByteProgress(done, 200));
                }

                await reported.PassAsync(token);
            }));
        var journal = new CrashingJournal(Journal, int.MaxValue, CrashMoment.Before);
        var engine = await StartAsync(journal, script);
        using var enough = new CancellationTokenSource();
        var notices = engine.WatchAsync(enough.Token);
        var started = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await reported.Reached;

        // Added with first begun; first done and copy begun: two writes for a hundred reports.
        Assert.Equal(2, journal.Writes);
        var now = await engine.FindAsync(started.Id, Token);
        Assert.Equal((100, 200, 75, "copy"), (now!.BytesDone, now.BytesTotal, now.Progress, now.Step));
        await foreach (var listed in engine.ListAsync(cancellationToken: Token))
        {
            Assert.Equal(now, listed);
        }

        reported.Open();
        var ended = await engine.WaitAsync(started.Id, Token);
        var seen = new List<Operation>();
        await foreach (var notice in notices)
        {
            seen.Add(notice);
            if (notice.IsFinished)
            {
                break;
            }
        }

        Assert.Equal(ended, seen[^1]);
        Assert.Equal((OperationState.Running, "first"), (seen[0].State, seen[0].Step));
        Assert.Single(seen, notice => notice is { Step: "copy", BytesDone: 1 });
        Assert.True(seen.Count < 10, $"{seen.Count} notices");
        Assert.Equal(seen.Select(notice => notice.Progress).Order(), seen.Select(notice => notice.Progress));
    }

    [Fact]
    public async Task A_watcher_that_lags_loses_the_oldest_and_the_stop_ends_it()
    {
        Options.WatchBuffer = 3;
        var script = new Script(World.Step("a"), World.Step("b"), World.Step("c"));
        var engine = await StartAsync(script);
        var notices = engine.WatchAsync(Token);
        var ended = await RunAsync(engine, script);
        await engine.StopAsync(Token);
        var seen = new List<Operation>();
        await foreach (var notice in notices.WithCancellation(Token))
        {
            seen.Add(notice);
        }

        Assert.Equal(3, seen.Count);
        Assert.Equal(ended, seen[^1]);
        await foreach (var _ in engine.WatchAsync(Token))
        {
            Assert.Fail("A stopped engine has nothing to tell.");
        }
    }

    [Fact]
    public async Task A_journal_that_cannot_be_reached_for_a_while_delays_only()
    {
        var failures = 3;
        var journal = new Moq.Mock<IOperationJournal>();
        journal.Setup(port => port.AddAsync(Moq.It.IsAny<OperationRecord>(), Moq.It.IsAny<IReadOnlyList<ResourceLock>>(), Moq.It.IsAny<DateTimeOffset>(), Moq.It.IsAny<CancellationToken>()))
            .Returns((OperationRecord record, IReadOnlyList<ResourceLock> locks, DateTimeOffset end, CancellationToken token) => Journal.AddAsync(record, locks, end, token));
        journal.Setup(port => port.SaveAsync(Moq.It.IsAny<OperationLease>(), Moq.It.IsAny<OperationCheckpoint>(), Moq.It.IsAny<CancellationToken>()))
            .Returns((OperationLease lease, OperationCheckpoint checkpoint, CancellationToken token) =>
                checkpoint.Position == 1 && failures-- > 0 ? throw new UnavailableException("The database is away.") : Journal.SaveAsync(lease, checkpoint, token));
        journal.Setup(port => port.ListAsync(Moq.It.IsAny<OperationQuery>(), Moq.It.IsAny<CancellationToken>()))
            .Returns((OperationQuery query, CancellationToken token) => Journal.ListAsync(query, token));
        var script = new Script(World.Step("a"), World.Step("b"));
        var engine = await StartAsync(journal.Object, script);
        var ended = await PassTimeUntilAsync(RunAsync(engine, script), TimeSpan.FromMilliseconds(500));
        Assert.Equal(OperationState.Succeeded, ended.State);
        Assert.Equal(["a", "b"], World.All);
    }

    [Fact]
    public async Task Old_operations_are_pruned()
    {
        var script = new Script(World.Step("a"));
        var engine = await StartAsync(script);
        var old = await RunAsync(engine, script);
        Time.Advance(Options.Retention + TimeSpan.FromMinutes(1));
        await UntilAsync(() => Journal.FindAsync(old.Id, Token).Result is null);
    }

    [Fact]
    public async Task Telemetry_and_log_tell_of_each_operation()
    {
        var measured = new List<(string Instrument, string? Kind, string? Outcome)>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == OrchestrationDiagnostics.Name)
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, _, tags, _) => Note(instrument, tags));
        listener.SetMeasurementEventCallback<double>((instrument, _, tags, _) => Note(instrument, tags));
        listener.Start();
        var activities = new List<Activity>();
        using var traces = new ActivityListener
        {
            ShouldListenTo = source => source.Name == OrchestrationDiagnostics.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity => { lock (activities) { activities.Add(activity); } },
        };
        ActivitySource.AddActivityListener(traces);

        var log = new ScopeLogger();
        var script = new Script(World.Step("a", work: _ => throw new StorageException("No."))) { Called = "test.telemetry" };
        var engine = await StartAsync(Journal, Host, log, script);
        var ended = await RunAsync(engine, script);

        lock (measured)
        {
            Assert.Contains(("pengx.operation.started", "test.telemetry", null), measured);
            Assert.Contains(("pengx.operation.finished", "test.telemetry", "Failed"), measured);
            Assert.Contains(("pengx.operation.duration", "test.telemetry", "Failed"), measured);
        }

        lock (activities)
        {
            var activity = Assert.Single(activities, one => one.OperationName == "test.telemetry");
            Assert.Equal(ended.Id.ToString(), activity.GetTagItem("pengx.operation.id"));
            Assert.Equal(ActivityStatusCode.Error, activity.Status);
        }

        Assert.Contains($"operation {ended.Id} test.telemetry", log.Scopes);
        Assert.Contains(log.Events, id => id == 5005);

        void Note(Instrument instrument, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            string? kind = null;
            string? outcome = null;
            foreach (var (key, value) in tags)
            {
                kind = key == "pengx.operation.kind" ? value as string : kind;
                outcome = key == "pengx.operation.outcome" ? value as string : outcome;
            }

            lock (measured)
            {
                measured.Add((instrument.Name, kind, outcome));
            }
        }
    }

    private sealed class ScopeLogger : ILogger<OperationEngine>
    {
        private readonly System.Collections.Concurrent.ConcurrentQueue<string?> _scopes = new();
        private readonly System.Collections.Concurrent.ConcurrentQueue<int> _events = new();

        public string?[] Scopes => [.. _scopes];

        public int[] Events => [.. _events];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull
        {
            _scopes.Enqueue(state.ToString());
            return null;
        }

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            _events.Enqueue(eventId.Id);
    }
}
