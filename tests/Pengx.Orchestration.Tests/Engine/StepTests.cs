namespace Pengx.Orchestration.Tests;

public sealed class StepTests : EngineTest
{
    [Fact]
    public async Task Steps_run_in_order_and_the_end_is_told()
    {
        var script = new Script(World.Step("a"), World.Step("b", isSwitch: true), World.Step("c"));
        var engine = await StartAsync(script);
        var started = await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/web1"] }, cancellationToken: Token);
        Assert.Equal(OperationState.Running, started.State);

        var ended = await engine.WaitAsync(started.Id, Token);
        Assert.Equal(["a", "b", "c"], World.All);
        Assert.Equal(OperationState.Succeeded, ended.State);
        Assert.Equal("VM web1 is tested: a b c.", ended.Message);
        Assert.Equal("test.script", ended.Kind);
        Assert.Equal("vm/web1", ended.Target);
        Assert.Equal("vm/web1/made", ended.Created);
        Assert.Equal(100, ended.Progress);
        Assert.Equal(Time.GetUtcNow(), ended.FinishedAt);
        Assert.Same(ended, ended.EnsureSucceeded());
        Assert.Equal(ended, await engine.FindAsync(ended.Id, Token));
        Assert.Empty(await engine.ListLockedAsync(Token));
    }

    [Fact]
    public async Task A_failure_undoes_the_failed_step_and_those_before_it_in_reverse()
    {
        var script = new Script(World.Step("a"), World.Step("b"), World.Step("c", work: _ => throw new StorageException("The disk is full.")), World.Step("d", isSwitch: true));
        var engine = await StartAsync(script);
        var ended = await RunAsync(engine, script, new ScriptState { Exclusive = ["vm/web1"] });

        Assert.Equal(["a", "b", "c", "undo c", "undo b", "undo a"], World.All);
        Assert.Equal(OperationState.Failed, ended.State);
        Assert.Equal(PengxErrorCode.StorageFailed, ended.Error);
        Assert.Equal("The disk is full.", ended.Message);
        Assert.Null(ended.Created);
        var thrown = Assert.Throws<OperationFailedException>(ended.EnsureSucceeded);
        Assert.Equal((PengxErrorCode.StorageFailed, "The disk is full."), (thrown.Code, thrown.Message));
        Assert.Empty(await engine.ListLockedAsync(Token));
    }

    [Fact]
    public async Task A_failing_switch_is_undone_too()
    {
        var script = new Script(World.Step("a"), World.Step("b", isSwitch: true, work: _ => throw new HypervisorException("No.")));
        var ended = await RunAsync(await StartAsync(script), script);
        Assert.Equal(["a", "b", "undo b", "undo a"], World.All);
        Assert.Equal(OperationState.Failed, ended.State);
    }

    [Fact]
    public async Task Details_of_an_unexpected_error_stay_in_the_log()
    {
        var script = new Script(World.Step("a", work: _ => throw new InvalidOperationException("password=hunter2")));
        var ended = await RunAsync(await StartAsync(script), script);
        Assert.Equal(PengxErrorCode.Internal, ended.Error);
        Assert.DoesNotContain("hunter2", ended.Message, StringComparison.Ordinal);
        Assert.Contains(ended.Id.ToString(), ended.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_caller_s_state_is_copied()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync), World.Step("b"));
        var engine = await StartAsync(script);
        var state = new ScriptState();
        var started = await engine.StartAsync(script, state, cancellationToken: Token);
        await gate.Reached;
        state.Name = "changed";
        gate.Open();
        Assert.Equal("VM web1 is tested: a b.", (await engine.WaitAsync(started.Id, Token)).Message);
        Assert.Empty(state.Trace);
    }

    [Fact]
    public async Task A_transient_error_before_the_switch_is_tried_again()
    {
        var tries = 0;
        var script = new Script(World.Step("a", work: _ => ++tries < 3 ? throw new ConcurrencyException("Changed.") : Task.CompletedTask));
        var engine = await StartAsync(script);
        var running = RunAsync(engine, script);
        Assert.Equal(OperationState.Succeeded, (await PassTimeUntilAsync(running, TimeSpan.FromSeconds(1))).State);
        Assert.Equal(3, tries);
    }

    [Fact]
    public async Task After_the_switch_a_step_is_repeated_until_it_succeeds()
    {
        var tries = 0;
        var script = new Script(World.Step("a", isSwitch: true), World.Step("b", work: _ => ++tries < 4 ? throw new StorageException("Busy.") : Task.CompletedTask));
        var engine = await StartAsync(script);
        var begin = Time.GetUtcNow();
        var running = RunAsync(engine, script);
        var ended = await PassTimeUntilAsync(running, TimeSpan.FromMilliseconds(500));
        Assert.Equal(OperationState.Succeeded, ended.State);
        Assert.Null(ended.Error);
        Assert.DoesNotContain("undo a", World.All);
        Assert.True(ended.FinishedAt - begin >= TimeSpan.FromSeconds(1 + 2 + 4), "The pauses double.");
    }

    [Fact]
    public async Task What_cannot_be_rolled_forward_needs_attention_and_is_tried_again_at_the_next_start()
    {
        var broken = true;
        var script = new Script(World.Step("a", isSwitch: true), World.Step("b", work: _ => broken ? throw new StorageException("Not mounted.") : Task.CompletedTask));
        var engine = await StartAsync(script);
        var stuck = await PassTimeUntilAsync(RunAsync(engine, script, new ScriptState { Exclusive = ["vm/web1"] }), TimeSpan.FromSeconds(10));
        Assert.True(stuck.NeedsAttention);
        Assert.False(stuck.IsFinished);
        Assert.Equal(("Not mounted.", PengxErrorCode.StorageFailed), (stuck.Message, stuck.Error));
        Assert.Throws<OperationFailedException>(stuck.EnsureSucceeded);
        Assert.Equal(Options.RollForwardAttempts, World.All.Count(happening => happening == "b"));
        Assert.Equal(["vm/web1"], await engine.ListLockedAsync(Token));

        // It rests: the upkeep of a running service does not try it yet, nor is it gone.
        Time.Advance(Options.AttentionRetryInterval / 2);
        Assert.Equal(Options.RollForwardAttempts, World.All.Count(happening => happening == "b"));
        await engine.StopAsync(Token);

        broken = false;
        var next = await StartAsync(script);
        var ended = await next.WaitAsync(stuck.Id, Token);
        Assert.Equal(OperationState.Succeeded, ended.State);
        Assert.False(ended.NeedsAttention);
        Assert.Null(ended.Error);
        Assert.Single(World.All, happening => happening == "a");
        Assert.Empty(await next.ListLockedAsync(Token));
    }

    /// <summary>A storage server that was away for longer than the repetitions take.</summary>
    [Fact]
    public async Task What_needs_attention_is_tried_again_now_and_then()
    {
        var broken = true;
        int Tries() => World.All.Count(happening => happening == "b");
        var script = new Script(World.Step("a", isSwitch: true), World.Step("b", work: _ => broken ? throw new StorageException("Not mounted.") : Task.CompletedTask));
        var engine = await StartAsync(script);
        var stuck = await PassTimeUntilAsync(RunAsync(engine, script, new ScriptState { Exclusive = ["vm/web1"] }), TimeSpan.FromSeconds(10));
        Assert.True(stuck.NeedsAttention);
        var since = Time.GetUtcNow();
        await PassTimeUntilAsync(() => Tries() == 2 * Options.RollForwardAttempts, TimeSpan.FromSeconds(10));
        Assert.True(Time.GetUtcNow() - since >= Options.AttentionRetryInterval);
        await UntilAsync(() => engine.FindAsync(stuck.Id, Token).GetAwaiter().GetResult()!.NeedsAttention);

        broken = false;
        await PassTimeUntilAsync(() => engine.FindAsync(stuck.Id, Token).GetAwaiter().GetResult()!.IsFinished, TimeSpan.FromSeconds(10));
        Assert.Equal(OperationState.Succeeded, (await engine.FindAsync(stuck.Id, Token))!.State);
        Assert.Equal((2 * Options.RollForwardAttempts) + 1, Tries());
        Assert.Empty(await engine.ListLockedAsync(Token));
    }

    [Fact]
    public async Task An_undo_that_keeps_failing_needs_attention_and_the_first_error_is_kept()
    {
        var broken = true;
        var script = new Script(
            World.Step("a"),
            World.Step("b", undo: _ => broken ? throw new StorageException("Still busy.") : Task.CompletedTask),
            World.Step("c", work: _ => throw new HypervisorException("It refused.")));
        var engine = await StartAsync(script);
        var stuck = await PassTimeUntilAsync(RunAsync(engine, script), TimeSpan.FromSeconds(10));
        Assert.True(stuck.NeedsAttention);
        Assert.Equal("It refused. Undoing it failed too: Still busy.", stuck.Message);
        Assert.DoesNotContain("undo a", World.All);
        await engine.StopAsync(Token);

        broken = false;
        var next = await StartAsync(script);
        var ended = await next.WaitAsync(stuck.Id, Token);
        Assert.Equal((OperationState.Failed, "It refused.", PengxErrorCode.HypervisorFailed), (ended.State, ended.Message, ended.Error));
        Assert.Single(World.All, happening => happening == "undo c");
        Assert.Equal("undo a", World.All[^1]);
    }

    [Fact]
    public async Task Workflows_that_contradict_themselves_are_refused_at_once()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(new Script()));
        await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(new Script(World.Step("a"), World.Step("a"))));
        await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(new Script(World.Step("a", isSwitch: true), World.Step("b", isSwitch: true))));
        await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(new Script(World.Step("a")), new Script(World.Step("a"))));
        var engine = await StartAsync(new Script(World.Step("a")));
        await Assert.ThrowsAsync<InvalidOperationException>(() => engine.StartAsync(new Script(World.Step("a")) { Called = "other" }, new ScriptState(), cancellationToken: Token));
        Options.LeaseDuration = TimeSpan.Zero;
        await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(new Script(World.Step("a"))));
    }
}
