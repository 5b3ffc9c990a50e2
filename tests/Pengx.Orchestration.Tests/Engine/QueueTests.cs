namespace Pengx.Orchestration.Tests;

public sealed class QueueTests : EngineTest
{
    [Fact]
    public async Task So_many_work_at_once_and_the_others_follow_in_their_order()
    {
        Options.MaxConcurrentOperations = 2;
        var gates = Enumerable.Range(0, 6).Select(_ => new Gate()).ToArray();
        var script = new Script(new Step<ScriptState>("a", async (context, token) =>
        {
            World.Add(context.State.Name);
            await gates[int.Parse(context.State.Name, System.Globalization.CultureInfo.InvariantCulture)].PassAsync(token);
        }));
        var engine = await StartAsync(script);
        var all = new List<Operation>();
        for (var number = 0; number < gates.Length; number++)
        {
            all.Add(await engine.StartAsync(script, new ScriptState { Name = $"{number}" }, cancellationToken: Token));
            if (number < 2)
            {
                await gates[number].Reached;
            }
            else
            {
                // In the queue for sure before the next one comes.
                await UntilAsync(() => engine.Queued == all.Count - 2);
            }
        }

        Assert.Equal(["0", "1"], World.All);
        for (var number = 0; number < gates.Length; number++)
        {
            Assert.Equal(Math.Min(number + 2, gates.Length), World.All.Length);
            gates[number].Open();
            await engine.WaitAsync(all[number].Id, Token);
            if (number + 2 < gates.Length)
            {
                await gates[number + 2].Reached;
            }
        }

        Assert.Equal(["0", "1", "2", "3", "4", "5"], World.All);
    }

    [Fact]
    public async Task Steps_that_wait_and_forced_operations_take_no_place()
    {
        Options.MaxConcurrentOperations = 1;
        var wait = new Gate();
        var work = new Gate();
        var waiting = new Script(World.Step("wait", work: wait.PassAsync, isWait: true), World.Step("after wait")) { Called = "test.wait" };
        var working = new Script(World.Step("work", work: work.PassAsync)) { Called = "test.work" };
        var quick = new Script(World.Step("quick")) { Called = "test.quick" };
        var engine = await StartAsync(waiting, working, quick);
        var first = await engine.StartAsync(waiting, new ScriptState(), cancellationToken: Token);
        await wait.Reached;
        var second = await engine.StartAsync(working, new ScriptState(), cancellationToken: Token);
        await work.Reached;
        Assert.Equal(OperationState.Succeeded, (await RunAsync(engine, quick, request: new OperationRequest { Force = true })).State);

        // After its wait it needs a place again.
        wait.Open();
        await UntilAsync(() => engine.Queued == 1);
        Assert.DoesNotContain("after wait", World.All);
        work.Open();
        await engine.WaitAsync(first.Id, Token);
        await engine.WaitAsync(second.Id, Token);
        Assert.Equal("after wait", World.All[^1]);
    }

    /// <summary>Backups that take all night let machines be started.</summary>
    [Fact]
    public async Task What_moves_images_takes_no_place_of_the_others()
    {
        Options.MaxConcurrentOperations = 1;
        var gate = new Gate();
        var moving = new Script(World.Step("move", work: gate.PassAsync)) { Called = "test.move", DoesMoveImages = true };
        var quick = new Script(World.Step("quick")) { Called = "test.quick" };
        var engine = await StartAsync(moving, quick);
        var first = await engine.StartAsync(moving, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        var second = await engine.StartAsync(moving, new ScriptState(), cancellationToken: Token);
        await UntilAsync(() => engine.Queued == 1);
        Assert.Equal(OperationState.Pending, second.State);

        Assert.Equal(OperationState.Succeeded, (await RunAsync(engine, quick)).State);
        Assert.Equal(["move", "quick"], World.All);
        gate.Open();
        await engine.WaitAsync(first.Id, Token);
        await engine.WaitAsync(second.Id, Token);
        Assert.Equal(["move", "quick", "move"], World.All);
    }

    [Fact]
    public async Task Too_many_are_refused()
    {
        Options.MaxPendingOperations = 2;
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync));
        var engine = await StartAsync(script);
        await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await Assert.ThrowsAsync<UnavailableException>(() => engine.StartAsync(script, new ScriptState(), cancellationToken: Token));
        gate.Open();
    }

    [Fact]
    public async Task A_place_given_up_and_granted_at_once_is_never_lost()
    {
        var slots = new SlotQueue(3);
        var most = 0;
        var inside = 0;
        await Task.WhenAll(Enumerable.Range(0, 300).Select(number => Task.Run(async () =>
        {
            using var impatient = new CancellationTokenSource();
            var turn = slots.AcquireAsync(urgent: false, impatient.Token);
            if (number % 3 == 0)
            {
                await Task.Yield();
                await impatient.CancelAsync();
            }

            try
            {
                await turn;
            }
            catch (OperationCanceledException)
            {
                return;
            }

            InterlockedMax(ref most, Interlocked.Increment(ref inside));
            await Task.Yield();
            Interlocked.Decrement(ref inside);
            slots.Release();
        }, Token))).WaitAsync(Patience, Token);
        Assert.InRange(most, 1, 3);

        // All three places are back.
        for (var place = 0; place < 3; place++)
        {
            Assert.True(slots.AcquireAsync(urgent: false, Token).IsCompletedSuccessfully);
        }

        Assert.False(slots.AcquireAsync(urgent: false, Token).IsCompleted);
        Assert.True(slots.AcquireAsync(urgent: true, Token).IsCompletedSuccessfully);
    }

    private static void InterlockedMax(ref int target, int value)
    {
        int seen;
        while (value > (seen = Volatile.Read(ref target)) && Interlocked.CompareExchange(ref target, value, seen) != seen)
        {
        }
    }
}
