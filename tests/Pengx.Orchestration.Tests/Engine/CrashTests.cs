using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class CrashTests : EngineTest
{
    [Fact]
    public async Task With_a_switch_it_ends_old_or_new_whatever_the_crash()
    {
        var crashes = await CrashSuite.RunAsync(() => Task.FromResult<CrashWorld>(new Machines()), crashTwice: true, Token);

        // Add with the first intent, then three outcomes, each with the next intent or the end: four writes, each crashed before and
        // after, and those of the recoveries.
        Assert.True(crashes > 16, $"Only {crashes} crashes.");
    }

    [Fact]
    public async Task Without_a_switch_too() =>
        await CrashSuite.RunAsync(() => Task.FromResult<CrashWorld>(new Machines { HasSwitch = false }), crashTwice: true, Token);

    [Fact]
    public async Task While_it_is_undone_too() =>
        await CrashSuite.RunAsync(() => Task.FromResult<CrashWorld>(new Machines { FailsAtSwitch = true }), crashTwice: true, Token);

    [Fact]
    public async Task A_step_that_cannot_be_run_twice_is_found_out()
    {
        var found = await Assert.ThrowsAsync<CrashSuiteException>(() =>
            CrashSuite.RunAsync(() => Task.FromResult<CrashWorld>(new Machines { IsCareless = true }), cancellationToken: Token));
        Assert.StartsWith("crash before write 2:", found.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_missing_undo_is_found_out()
    {
        var found = await Assert.ThrowsAsync<CrashSuiteException>(() =>
            CrashSuite.RunAsync(() => Task.FromResult<CrashWorld>(new Machines { FailsAtSwitch = true, ForgetsUndo = true }), cancellationToken: Token));
        Assert.StartsWith("crash after write 1:", found.Message, StringComparison.Ordinal);
    }

    /// <summary>Files and rows that survive the process; an operation makes one of each and removes an old file.</summary>
    private sealed class Machines : CrashWorld
    {
        private static readonly LocalHost s_host = new() { Id = PmId.New(), Name = "pm1" };
        private readonly HashSet<string> _files = ["old"];
        private string _row = "old";

        public bool HasSwitch { get; init; } = true;

        public bool FailsAtSwitch { get; init; }

        public bool IsCareless { get; init; }

        public bool ForgetsUndo { get; init; }

        public override InMemoryJournal Journal { get; } = new();

        public override async Task<OperationEngine> StartAsync(IOperationJournal journal, CancellationToken cancellationToken)
        {
            var engine = new OperationEngine(
                journal, [Build()], s_host, Microsoft.Extensions.Options.Options.Create(new OrchestrationOptions()), TimeProvider.System, NullLogger<OperationEngine>.Instance);
            await engine.StartAsync(cancellationToken);
            return engine;
        }

        public override async Task ActAsync(OperationEngine engine, CancellationToken cancellationToken)
        {
            var started = await engine.StartAsync(Build(), new ScriptState { Name = "new", Exclusive = ["vm/1"] }, cancellationToken: cancellationToken);
            await engine.WaitAsync(started.Id, cancellationToken);
        }

        public override Task VerifyAsync(IReadOnlyList<Operation> operations, CancellationToken cancellationToken)
        {
            var succeeded = operations.SingleOrDefault()?.State == OperationState.Succeeded;
            Assert.Equal(succeeded ? "new" : "old", _row);
            Assert.Equal([_row], _files);
            Assert.True(operations.Count == 0 || succeeded != FailsAtSwitch, "It ended as neither a crash nor its steps explain.");
            return Task.CompletedTask;
        }

        private Script Build() => new(
            new Step<ScriptState>(
                "create",
                (context, _) => _files.Add(context.State.Name) || !IsCareless ? Task.CompletedTask : throw new StorageException("It exists."),
                (context, _) => Task.FromResult(ForgetsUndo || _files.Remove(context.State.Name))),
            new Step<ScriptState>(
                "switch",
                (context, _) =>
                {
                    _row = context.State.Name;
                    return FailsAtSwitch ? throw new StorageException("No.") : Task.CompletedTask;
                },
                (_, _) => Task.FromResult(_row = "old")) { IsSwitch = HasSwitch },
            new Step<ScriptState>("remove", (_, _) => Task.FromResult(_files.Remove("old")), (_, _) => Task.FromResult(_files.Add("old"))));
    }
}
