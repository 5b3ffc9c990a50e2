using Pengx.Orchestration;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>The process dies at every write of a real journal while backups that lie upon one another are made, restored and deleted, on
/// real images held against a model of what every one must hold.</summary>
public sealed class StoredBackupTests(ITestOutputHelper output)
{
    /// <summary>Set to <c>all</c>, every act is tried, and not the making of one alone; in memory all of them always are.</summary>
    private const string Variable = "PENGX_BACKUP_CRASHES";

    private static readonly Dictionary<string, Func<StoredMachine, Task<Operation>>> s_acts = new()
    {
        ["create"] = machine => machine.BackUpAsync("third"),
        ["restore"] = machine => machine.RestoreBackupAsync("first"),
        ["delete"] = machine => machine.DeleteBackupAsync("second"),
    };

    public static TheoryData<string> Acts => [.. s_acts.Keys.Where(act => act == "create" || Environment.GetEnvironmentVariable(Variable) == "all")];

    [Theory]
    [MemberData(nameof(Acts))]
    public async Task Crash_at_any_write_of_the_real_journal_loses_no_backup(string name)
    {
        var crashes = await CrashSuite.RunAsync(
            async () =>
            {
                var world = new StoredWorld(name);
                await world.PrepareAsync();
                return world;
            },
            cancellationToken: TestContext.Current.CancellationToken);
        output.WriteLine($"{crashes} crashes.");
        Assert.InRange(crashes, 8, int.MaxValue);
    }

    [Fact]
    public async Task Backups_upon_one_another_are_restored_and_deleted()
    {
        await using var machine = new StoredMachine();
        await machine.StartAsync();
        await PrepareAsync(machine);
        foreach (var (name, held) in machine.Backups.AsEnumerable().Reverse())
        {
            await machine.DoneAsync(machine.RestoreBackupAsync(name));
            machine.Now = held;
            await machine.AssertNowAsync();
        }

        await Assert.ThrowsAsync<InUseException>(() => machine.DeleteBackupAsync("first"));
        await machine.AssertBackupsAsync();
        while (machine.Backups.Count > 0)
        {
            await machine.DoneAsync(machine.DeleteBackupAsync(machine.Backups[^1].Name));
            machine.Backups.RemoveAt(machine.Backups.Count - 1);
            await machine.AssertBackupsAsync();
        }

        await machine.AssertAllAsync();
    }

    private static async Task PrepareAsync(StoredMachine machine, bool running = false)
    {
        await machine.AddAsync();
        await machine.RunAsync();
        await machine.WriteAsync(1, 1);
        await TakeAsync(machine, "first");
        await machine.WriteAsync(1, 2);
        await machine.WriteAsync(2, 2);
        await TakeAsync(machine, "second");
        await machine.WriteAsync(2, 3);
        await machine.WriteAsync(3, 3);
        if (!running)
        {
            await machine.EndAsync();
        }
    }

    private static async Task TakeAsync(StoredMachine machine, string name)
    {
        await machine.DoneAsync(machine.BackUpAsync(name));
        machine.Backups.Add((name, machine.Now));
    }

    private sealed class StoredWorld(string act) : CrashWorld
    {
        private readonly StoredMachine _machine = new();
        private int _operationsBefore;

        public override IOperationJournal Journal => _machine.Journal;

        public async Task PrepareAsync()
        {
            await _machine.StartAsync();
            await StoredBackupTests.PrepareAsync(_machine, running: act == "create");
            await _machine.StopAsync();
            await foreach (var _ in Journal.ListAsync(OperationQuery.All, TestContext.Current.CancellationToken))
            {
                _operationsBefore++;
            }
        }

        public override Task<OperationEngine> StartAsync(IOperationJournal journal, CancellationToken cancellationToken) => _machine.StartAsync(journal);

        public override async Task ActAsync(OperationEngine engine, CancellationToken cancellationToken) =>
            (await engine.WaitAsync((await s_acts[act](_machine)).Id, cancellationToken)).EnsureSucceeded();

        public override async Task VerifyAsync(IReadOnlyList<Operation> operations, CancellationToken cancellationToken)
        {
            Assert.All(operations, operation => Assert.True(operation.State == OperationState.Succeeded, $"{operation.Description}: {operation.Message}"));
            if (operations.Count > _operationsBefore)
            {
                switch (act)
                {
                    case "create":
                        _machine.Backups.Add(("third", _machine.Now));
                        break;
                    case "restore":
                        _machine.Now = _machine.Backups[0].Held;
                        break;
                    default:
                        _machine.Backups.RemoveAt(1);
                        break;
                }
            }

            await _machine.AssertAllAsync();
            await _machine.AssertBackupsAsync();
        }

        public override async ValueTask DisposeAsync()
        {
            await _machine.DisposeAsync();
            await base.DisposeAsync();
        }
    }
}
