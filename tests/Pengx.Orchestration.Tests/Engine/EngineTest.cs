using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

/// <summary>A journal that survives engines, and a clock in the test's hand.</summary>
public abstract class EngineTest : IAsyncDisposable
{
    private readonly List<OperationEngine> _engines = [];
    private readonly CancellationTokenSource _limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);

    /// <summary>A test that waits for what never comes fails instead of hanging: the engine's own clock does not move by itself.</summary>
    protected EngineTest() => _limit.CancelAfter(Patience * 2);

    internal static TimeSpan Patience { get; } = TimeSpan.FromSeconds(30);

    private protected CancellationToken Token => _limit.Token;

    private protected InMemoryJournal Journal { get; } = new();

    private protected FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    private protected LocalHost Host { get; } = new() { Id = PmId.New(), Name = "pm1" };

    private protected OrchestrationOptions Options { get; } = new();

    private protected Happenings World { get; } = new();

    private protected async Task<OperationEngine> StartAsync(params Workflow[] workflows) => await StartAsync(Journal, workflows);

    private protected Task<OperationEngine> StartAsync(IOperationJournal journal, params Workflow[] workflows) => StartAsync(journal, Host, null, workflows);

    private protected async Task<OperationEngine> StartAsync(IOperationJournal journal, LocalHost host, ILogger<OperationEngine>? logger, params Workflow[] workflows)
    {
        var engine = new OperationEngine(
            journal, workflows, host, Microsoft.Extensions.Options.Options.Create(Options), Time, logger ?? NullLogger<OperationEngine>.Instance);
        _engines.Add(engine);
        await engine.StartAsync(Token);
        return engine;
    }

    private protected async Task<Operation> RunAsync(OperationEngine engine, Script script, ScriptState? state = null, OperationRequest? request = null)
    {
        var started = await engine.StartAsync(script, state ?? new ScriptState(), request, Token);
        return await engine.WaitAsync(started.Id, Token).WaitAsync(Patience, Token);
    }

    /// <summary>Lets time pass in small pieces until something has come about.</summary>
    private protected async Task PassTimeUntilAsync(Func<bool> condition, TimeSpan piece)
    {
        using var limit = new CancellationTokenSource(Patience);
        while (!condition())
        {
            Assert.False(limit.IsCancellationRequested, "It has not come about in time.");
            Time.Advance(piece);
            await Task.Delay(TimeSpan.FromMilliseconds(1), Token);
        }
    }

    private protected async Task<T> PassTimeUntilAsync<T>(Task<T> task, TimeSpan piece)
    {
        await PassTimeUntilAsync(() => task.IsCompleted, piece);
        return await task;
    }

    /// <summary>Waits, without letting the clock of the engine move, until something has come about.</summary>
    private protected async Task UntilAsync(Func<bool> condition)
    {
        using var limit = new CancellationTokenSource(Patience);
        while (!condition())
        {
            Assert.False(limit.IsCancellationRequested, "It has not come about in time.");
            await Task.Delay(TimeSpan.FromMilliseconds(1), Token);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var engine in _engines)
        {
            await engine.DisposeAsync().AsTask().WaitAsync(Patience);
        }

        _limit.Dispose();
        GC.SuppressFinalize(this);
    }
}
