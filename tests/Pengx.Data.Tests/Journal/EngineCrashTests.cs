using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Pengx.Orchestration;
using Pengx.Testing;

namespace Pengx.Data.Tests;

public sealed partial class EngineCrashTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Rows_and_journal_stay_of_one_mind_through_a_crash_at_every_write()
    {
        var crashes = await CrashSuite.RunAsync(async () => await World.CreateAsync(), cancellationToken: Token);
        Assert.True(crashes > 4, $"Only {crashes} crashes.");
    }

    /// <summary>An operation that renames a machine and takes a snapshot of it, all in one real file.</summary>
    private sealed class World(TemporaryDatabase database, SqlitePengxStore store, PhysicalMachine pm, VirtualMachine vm) : CrashWorld
    {
        public override IOperationJournal Journal => store.Journal;

        public static async Task<World> CreateAsync()
        {
            var database = new TemporaryDatabase();
            var store = await database.ReadyStoreAsync();
            var pm = SampleRows.Pm();
            var vm = SampleRows.Vm(pm.Id, "old");
            await using var session = await store.OpenAsync(Token);
            session.PhysicalMachines.Add(pm);
            session.VirtualMachines.Add(vm);
            await session.SaveAsync(Token);
            return new(database, store, pm, vm);
        }

        public override async Task<OperationEngine> StartAsync(IOperationJournal journal, CancellationToken cancellationToken)
        {
            var engine = new OperationEngine(
                journal, [new Rename(store)], new LocalHost { Id = pm.Id, Name = pm.Name }, Options.Create(new OrchestrationOptions()), TimeProvider.System,
                NullLogger<OperationEngine>.Instance);
            await engine.StartAsync(cancellationToken);
            return engine;
        }

        public override async Task ActAsync(OperationEngine engine, CancellationToken cancellationToken)
        {
            var state = new RenameState { Vm = vm.Id.Value, Snapshot = Guid.NewGuid(), Name = "new" };
            var started = await engine.StartAsync(new Rename(store), state, cancellationToken: cancellationToken);
            await engine.WaitAsync(started.Id, cancellationToken);
        }

        public override async Task VerifyAsync(IReadOnlyList<Operation> operations, CancellationToken cancellationToken)
        {
            await using var session = await store.OpenAsync(cancellationToken);
            var done = operations.SingleOrDefault()?.State == OperationState.Succeeded;
            Assert.Equal(done ? "new" : "old", (await session.VirtualMachines.FindAsync(vm.Id, cancellationToken))!.Name);
            Assert.Equal(done ? 1 : 0, (await session.Snapshots.ListByVmAsync(vm.Id, cancellationToken)).Count);
            Assert.Empty(await store.Journal.ListLocksAsync(cancellationToken));
        }

        public override async ValueTask DisposeAsync()
        {
            await database.DisposeAsync();
            await base.DisposeAsync();
        }
    }

    private sealed class Rename(SqlitePengxStore store) : Workflow<RenameState>
    {
        public override string Name => "test.rename";

        public override JsonTypeInfo<RenameState> StateType => RenameJson.Default.RenameState;

        public override IReadOnlyList<Step<RenameState>> Steps =>
        [
            new("take snapshot", (context, token) => SnapshotAsync(context.State, exists: true, token), (context, token) => SnapshotAsync(context.State, exists: false, token)),
            new("rename", (context, token) => RenameAsync(context.State, token)) { IsSwitch = true },
        ];

        public override string Target(RenameState state) => ResourceLock.On(new VmId(state.Vm)).Resource;

        public override string Describe(RenameState state) => "the renaming of a VM";

        public override IReadOnlyList<ResourceLock> Locks(RenameState state) => [ResourceLock.On(new VmId(state.Vm))];

        public override string Succeeded(RenameState state) => "It was renamed.";

        private async Task SnapshotAsync(RenameState state, bool exists, CancellationToken cancellationToken)
        {
            await using var session = await store.OpenAsync(cancellationToken);
            var found = await session.Snapshots.FindAsync(new(state.Snapshot), cancellationToken);
            if (exists && found is null)
            {
                session.Snapshots.Add(SampleRows.Snapshot(new(state.Vm)) with { Id = new(state.Snapshot) });
            }
            else if (!exists && found is not null)
            {
                session.Snapshots.Delete(found);
            }

            await session.SaveAsync(cancellationToken);
        }

        private async Task RenameAsync(RenameState state, CancellationToken cancellationToken)
        {
            await using var session = await store.OpenAsync(cancellationToken);
            var vm = await session.VirtualMachines.FindAsync(new(state.Vm), cancellationToken);
            session.VirtualMachines.Update(vm! with { Name = state.Name });
            await session.SaveAsync(cancellationToken);
        }
    }

    internal sealed class RenameState
    {
        public required Guid Vm { get; init; }

        public required Guid Snapshot { get; init; }

        public required string Name { get; init; }
    }

    [JsonSerializable(typeof(RenameState))]
    internal sealed partial class RenameJson : JsonSerializerContext;
}
