using Moq;

namespace Pengx.Orchestration.Tests;

public sealed class CancelTests : EngineTest
{
    [Fact]
    public async Task Before_the_switch_the_step_at_hand_is_ended_and_all_is_undone()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a"), World.Step("b", work: gate.PassAsync), World.Step("c", isSwitch: true));
        var engine = await StartAsync(script);
        var started = await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/web1"] }, cancellationToken: Token);
        await gate.Reached;
        await engine.CancelAsync(started.Id, Token);

        var ended = await engine.WaitAsync(started.Id, Token);
        Assert.Equal((OperationState.Cancelled, PengxErrorCode.Cancelled), (ended.State, ended.Error));
        Assert.Equal(["a", "b", "undo b", "undo a"], World.All);
        Assert.Empty(await engine.ListLockedAsync(Token));
        await Assert.ThrowsAsync<WrongStateException>(() => engine.CancelAsync(started.Id, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => engine.CancelAsync(OperationId.New(), Token));
    }

    [Theory]
    [InlineData("b")]
    [InlineData("c")]
    public async Task From_the_switch_on_it_is_ignored(string at)
    {
        var gate = new Gate();
        Task Work(string step, CancellationToken token) => step == at ? gate.PassAsync(token) : Task.CompletedTask;
        var script = new Script(World.Step("a"), World.Step("b", isSwitch: true, work: token => Work("b", token)), World.Step("c", work: token => Work("c", token)));
        var engine = await StartAsync(script);
        var started = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        await engine.CancelAsync(started.Id, Token);
        gate.Open();
        Assert.Equal(OperationState.Succeeded, (await engine.WaitAsync(started.Id, Token)).State);
        Assert.Equal(["a", "b", "c"], World.All);
    }

    [Fact]
    public async Task What_waits_for_its_turn_ends_without_a_step()
    {
        Options.MaxConcurrentOperations = 1;
        var gate = new Gate();
        var slow = new Script(World.Step("slow", work: gate.PassAsync)) { Called = "test.slow" };
        var script = new Script(World.Step("a"));
        var engine = await StartAsync(slow, script);
        await engine.StartAsync(slow, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        var waiting = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await engine.CancelAsync(waiting.Id, Token);
        Assert.Equal(OperationState.Cancelled, (await engine.WaitAsync(waiting.Id, Token).WaitAsync(Patience, Token)).State);
        Assert.Equal(["slow"], World.All);
        gate.Open();
    }

    [Theory]
    [InlineData(1, "a, undo a")]
    [InlineData(2, "a, b, undo b, undo a")]
    public async Task A_step_that_was_journaled_as_begun_and_was_not_is_not_undone(int step, string happened)
    {
        // The wish comes with the write that begins the step.
        OperationEngine? engine = null;
        Mock<IOperationJournal> journal = new();
        journal.Setup(to => to.AddAsync(It.IsAny<OperationRecord>(), It.IsAny<IReadOnlyList<ResourceLock>>(), It.IsAny<DateTimeOffset>(), It.IsAny<CancellationToken>()))
            .Returns((OperationRecord operation, IReadOnlyList<ResourceLock> locks, DateTimeOffset expiresAt, CancellationToken token) => Journal.AddAsync(operation, locks, expiresAt, token));
        journal.Setup(to => to.SaveAsync(It.IsAny<OperationLease>(), It.IsAny<OperationCheckpoint>(), It.IsAny<CancellationToken>()))
            .Returns(async (OperationLease lease, OperationCheckpoint checkpoint, CancellationToken token) =>
            {
                await Journal.SaveAsync(lease, checkpoint, token);
                if (checkpoint is { Direction: StepDirection.Forward, StepStarted: true } && checkpoint.Position == step)
                {
                    await engine!.CancelAsync(lease.Operation, token);
                }
            });
        journal.Setup(to => to.FindAsync(It.IsAny<OperationId>(), It.IsAny<CancellationToken>())).Returns((OperationId id, CancellationToken token) => Journal.FindAsync(id, token));
        journal.Setup(to => to.RequestCancelAsync(It.IsAny<OperationId>(), It.IsAny<CancellationToken>())).Returns((OperationId id, CancellationToken token) => Journal.RequestCancelAsync(id, token));
        journal.Setup(to => to.ListAsync(It.IsAny<OperationQuery>(), It.IsAny<CancellationToken>())).Returns((OperationQuery query, CancellationToken token) => Journal.ListAsync(query, token));

        var script = new Script(World.Step("a"), World.Step("b"), World.Step("c", isSwitch: true));
        engine = await StartAsync(journal.Object, script);
        var started = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        Assert.Equal(OperationState.Cancelled, (await engine.WaitAsync(started.Id, Token).WaitAsync(Patience, Token)).State);
        Assert.Equal(happened, string.Join(", ", World.All));
    }

    [Fact]
    public async Task A_wish_survives_a_restart()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a"), World.Step("b", work: gate.PassAsync));
        var first = await StartAsync(script);
        var started = await first.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        await Journal.RequestCancelAsync(started.Id, Token);
        await first.DisposeAsync();

        var second = await StartAsync(script);
        Assert.Equal(OperationState.Cancelled, (await second.WaitAsync(started.Id, Token)).State);
        Assert.Equal(["a", "b", "undo b", "undo a"], World.All);
    }

    [Fact]
    public async Task Another_service_s_wish_arrives_with_the_next_renewal()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync));
        var engine = await StartAsync(script);
        var other = await StartAsync(Journal, new LocalHost { Id = PmId.New(), Name = "pm2" }, null, script);
        var started = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        await other.CancelAsync(started.Id, Token);
        var ended = await PassTimeUntilAsync(other.WaitAsync(started.Id, Token), TimeSpan.FromSeconds(1));
        Assert.Equal(OperationState.Cancelled, ended.State);
    }

    [Fact]
    public async Task Giving_a_wait_up_does_not_cancel()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync));
        var engine = await StartAsync(script);
        var started = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        using var impatient = new CancellationTokenSource();
        var waiting = engine.WaitAsync(started.Id, impatient.Token);
        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        gate.Open();
        Assert.Equal(OperationState.Succeeded, (await engine.WaitAsync(started.Id, Token)).State);
    }
}
