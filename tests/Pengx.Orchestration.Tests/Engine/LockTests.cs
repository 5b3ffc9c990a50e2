namespace Pengx.Orchestration.Tests;

public sealed class LockTests : EngineTest
{
    [Fact]
    public async Task A_refusal_names_the_object_and_who_holds_it()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync));
        var engine = await StartAsync(script);
        await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/123"], Shared = ["storlink/3"] }, cancellationToken: Token);
        var refused = await Assert.ThrowsAsync<ResourceLockedException>(() =>
            engine.StartAsync(script, new ScriptState { Name = "web2", Exclusive = ["vm/123"] }, cancellationToken: Token));
        Assert.Equal("VM 123 is locked by the test of VM web1; try again when it has ended.", refused.Message);
        Assert.Equal(["storlink/3", "vm/123"], (await engine.ListLockedAsync(Token)).Order());

        // Shared goes with shared, not with exclusive.
        await engine.StartAsync(script, new ScriptState { Shared = ["storlink/3"] }, cancellationToken: Token);
        await Assert.ThrowsAsync<ResourceLockedException>(() => engine.StartAsync(script, new ScriptState { Exclusive = ["storlink/3"] }, cancellationToken: Token));
        gate.Open();
    }

    [Fact]
    public void Locks_are_taken_once_each_in_a_fixed_order()
    {
        var locks = ResourceLock.Normalize(
            [new("pm/1", true), new("storlink/2", true), new("template/1", true), new("vm/2"), new("name/vm/x"), new("vm/1", true), new("storlink/2"), new("pm/1", true)]);
        Assert.Equal([new("vm/1", true), new("vm/2"), new("template/1", true), new("storlink/2"), new("pm/1", true), new("name/vm/x")], locks);
    }

    [Fact]
    public async Task Force_preempts_what_waits_and_takes_its_place()
    {
        var gate = new Gate();
        var shutdown = new Script(World.Step("wait", work: gate.PassAsync, isWait: true)) { Called = "vm.shutdown", MayBePreempted = true };
        var poweroff = new Script(World.Step("off")) { Called = "vm.poweroff" };
        var engine = await StartAsync(shutdown, poweroff);
        var waiting = await engine.StartAsync(shutdown, new ScriptState { Exclusive = ["vm/1"] }, cancellationToken: Token);
        await gate.Reached;
        await Assert.ThrowsAsync<ResourceLockedException>(() => engine.StartAsync(poweroff, new ScriptState { Exclusive = ["vm/1"] }, cancellationToken: Token));

        var forced = await RunAsync(engine, poweroff, new ScriptState { Exclusive = ["vm/1"] }, new OperationRequest { Force = true });
        Assert.Equal(OperationState.Succeeded, forced.State);
        Assert.Equal(OperationState.Cancelled, (await engine.WaitAsync(waiting.Id, Token)).State);
        Assert.Equal(["wait", "undo wait", "off"], World.All);
    }

    [Fact]
    public async Task Force_does_not_touch_what_is_not_preemptible_and_waits_only_so_long()
    {
        var gate = new Gate();
        var copy = new Script(World.Step("copy", work: gate.PassAsync)) { Called = "vm.copy" };
        var deaf = new Script(World.Step("deaf", work: _ => gate.PassAsync(CancellationToken.None))) { Called = "vm.deaf", MayBePreempted = true };
        var poweroff = new Script(World.Step("off")) { Called = "vm.poweroff" };
        var engine = await StartAsync(copy, deaf, poweroff);
        await engine.StartAsync(copy, new ScriptState { Exclusive = ["vm/1"] }, cancellationToken: Token);
        await engine.StartAsync(deaf, new ScriptState { Exclusive = ["vm/2"] }, cancellationToken: Token);
        await gate.Reached;
        var force = new OperationRequest { Force = true };
        await Assert.ThrowsAsync<ResourceLockedException>(() => engine.StartAsync(poweroff, new ScriptState { Exclusive = ["vm/1"] }, force, Token));

        var begin = Time.GetUtcNow();
        var second = engine.StartAsync(poweroff, new ScriptState { Exclusive = ["vm/2"] }, force, Token);
        await PassTimeUntilAsync(() => second.IsCompleted, TimeSpan.FromSeconds(1));
        await Assert.ThrowsAsync<ResourceLockedException>(() => second);
        Assert.True(Time.GetUtcNow() - begin >= Options.PreemptTimeout);
        gate.Open();
    }

    [Fact]
    public async Task Fifty_at_once_on_the_same_and_on_different_objects_all_end()
    {
        Options.MaxConcurrentOperations = 4;
        var script = new Script(World.Step("a", work: async _ => await Task.Yield()), World.Step("b", isSwitch: true), World.Step("c"));
        var engine = await StartAsync(script);
        var accepted = 0;
        var refused = 0;
        await Task.WhenAll(Enumerable.Range(0, 50).Select(number => Task.Run(async () =>
        {
            // Opposite orders of the same objects: what would deadlock if locks were taken one by one as given.
            string[] resources = [$"vm/{number % 5}", $"storlink/{number % 3}", $"vm/{(number + 1) % 5}"];
            var state = new ScriptState { Exclusive = number % 2 == 0 ? resources : [.. resources.Reverse()], Shared = ["pm/1"] };
            while (true)
            {
                try
                {
                    var started = await engine.StartAsync(script, state, cancellationToken: Token);
                    Assert.Equal(OperationState.Succeeded, (await engine.WaitAsync(started.Id, Token)).State);
                    Interlocked.Increment(ref accepted);
                    return;
                }
                catch (ResourceLockedException)
                {
                    Interlocked.Increment(ref refused);
                    await Task.Yield();
                }
            }
        }, Token))).WaitAsync(Patience, Token);
        Assert.Equal(50, accepted);
        Assert.Empty(await engine.ListLockedAsync(Token));
        Assert.Equal(50, World.All.Count(happening => happening == "c"));
    }
}
