using System.Globalization;
using Pengx.Orchestration;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>Snapshots of machines that do not run, on a real database file and real images, held against a model of what every disk must
/// hold.</summary>
public sealed class StoredSnapshotTests(ITestOutputHelper output)
{
    /// <summary>How many random sequences are tried.</summary>
    private const string Variable = "PENGX_SNAPSHOT_SEQUENCES";

    private const int Sequences = 24;
    private const int Steps = 10;

    private static readonly Dictionary<string, Func<StoredMachine, Task<Operation>>> s_acts = new()
    {
        ["create"] = machine => machine.CreateAsync("new"),
        ["delete root"] = machine => machine.DeleteAsync("s1"),
        ["delete middle"] = machine => machine.DeleteAsync("s2"),
        ["delete top"] = machine => machine.DeleteAsync("s3"),
        ["restore"] = machine => machine.RestoreAsync("s1"),
        ["delete machine"] = machine => machine.DeleteMachineAsync(),
    };

    public static TheoryData<string> Acts => [.. s_acts.Keys];

    [Fact]
    public async Task Random_sequences_leave_every_disk_with_what_it_must_hold()
    {
        var count = int.TryParse(Environment.GetEnvironmentVariable(Variable), CultureInfo.InvariantCulture, out var wanted) ? wanted : Sequences;
        Dictionary<string, int> done = [];
        for (var seed = 1; seed <= count; seed++)
        {
            await using var machine = new StoredMachine();
            await machine.StartAsync();
            await machine.AddAsync();
            var random = new Random(seed);
            List<string> told = [];
            try
            {
                for (var step = 0; step < Steps; step++)
                {
                    var names = machine.Kept.Keys.Order().ToList();
                    var act = random.Next(10) switch
                    {
                        < 3 => "write",
                        < 6 => "take",
                        < 8 when names.Count > 0 => "drop",
                        _ when names.Count > 0 => "back",
                        _ => "write",
                    };
                    var name = act == "take" ? $"s{step}" : act == "write" ? "" : names[random.Next(names.Count)];
                    told.Add($"{act} {name}");
                    done[act] = done.GetValueOrDefault(act) + 1;
                    await (act switch
                    {
                        "take" => machine.TakeAsync(name),
                        "drop" => machine.DropAsync(name),
                        "back" => machine.BackAsync(name),
                        _ => WriteAsync(machine, random),
                    });
                    await machine.AssertNowAsync();
                }

                await machine.AssertAllAsync();
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                throw new InvalidOperationException($"Sequence {seed} ({string.Join(", ", told)}): {exception.Message}", exception);
            }
        }

        output.WriteLine($"{count} sequences: {string.Join(", ", done.Select(one => $"{one.Value} {one.Key}"))}.");
        Assert.All((string[])["write", "take", "drop", "back"], act => Assert.InRange(done.GetValueOrDefault(act), Math.Min(count, 10), int.MaxValue));
    }

    [Theory]
    [MemberData(nameof(Acts))]
    public async Task Crash_at_any_write_of_the_real_journal_loses_no_byte(string name)
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

    private static async Task WriteAsync(StoredMachine machine, Random random)
    {
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            await machine.WriteAsync(random.Next(64), (byte)random.Next(1, 256));
        }
    }

    private sealed class StoredWorld(string act) : CrashWorld
    {
        private readonly StoredMachine _machine = new();
        private int _operationsBefore;

        public override IOperationJournal Journal => _machine.Journal;

        public async Task PrepareAsync()
        {
            await _machine.StartAsync();
            await _machine.AddAsync();
            await _machine.WriteAsync(1, 1);
            await _machine.TakeAsync("s1");
            await _machine.WriteAsync(2, 2);
            await _machine.TakeAsync("s2");
            await _machine.WriteAsync(1, 3);
            await _machine.WriteAsync(3, 3);
            await _machine.WriteAsync(4, 3);
            await _machine.TakeAsync("s3");
            await _machine.WriteAsync(4, 4);
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
            if (operations.Count == _operationsBefore)
            {
                await _machine.AssertAllAsync();
                return;
            }

            switch (act)
            {
                case "delete machine":
                    Assert.Empty(Directory.GetFileSystemEntries(_machine.Images));
                    return;
                case "create":
                    _machine.Kept["new"] = _machine.Now;
                    break;
                case "restore":
                    _machine.Now = _machine.Kept["s1"];
                    break;
                default:
                    _machine.Kept.Remove(act switch { "delete root" => "s1", "delete middle" => "s2", _ => "s3" });
                    break;
            }

            await _machine.AssertAllAsync();
        }

        public override async ValueTask DisposeAsync()
        {
            await _machine.DisposeAsync();
            await base.DisposeAsync();
        }
    }
}
