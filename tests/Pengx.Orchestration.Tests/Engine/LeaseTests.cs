using CsCheck;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class LeaseTests : EngineTest
{
    [Fact]
    public async Task A_restart_takes_over_and_the_old_engine_s_late_write_is_fenced_out()
    {
        var gate = new Gate();
        var runs = 0;
        var script = new Script(
            World.Step("a", work: _ => Interlocked.Increment(ref runs) == 1 ? gate.PassAsync(CancellationToken.None) : Task.CompletedTask),
            World.Step("b"));
        var old = await StartAsync(script);
        var started = await old.StartAsync(script, new ScriptState { Exclusive = ["vm/1"] }, cancellationToken: Token);
        await gate.Reached;

        // A second engine of the same PM: as after a crash that the first one does not know of.
        var restarted = await StartAsync(script);
        var ended = await restarted.WaitAsync(started.Id, Token);
        Assert.Equal("VM web1 is tested: a b.", ended.Message);

        gate.Open();
        Assert.Equal(ended, await PassTimeUntilAsync(old.WaitAsync(started.Id, Token), TimeSpan.FromMilliseconds(100)));
        Assert.Equal(["a", "a", "b"], World.All);
    }

    [Fact]
    public async Task A_lost_lease_ends_the_step_at_the_next_renewal()
    {
        var gate = new Gate();
        var ended = new TaskCompletionSource();
        var script = new Script(World.Step("a", work: async token =>
        {
            try
            {
                await gate.PassAsync(token);
            }
            finally
            {
                ended.TrySetResult();
            }
        }));
        var engine = await StartAsync(script);
        var started = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        var taken = await Journal.ClaimAsync(started.Id, Host.Id, Time.GetUtcNow(), Time.GetUtcNow().AddDays(1), ownToo: true, Token);
        await PassTimeUntilAsync(() => ended.Task.IsCompleted, TimeSpan.FromSeconds(1));

        // It was not undone, and the lease of the other was not touched.
        Assert.Equal(["a"], World.All);
        Assert.Equal(taken?.Lease, (await Journal.FindAsync(started.Id, Token))?.Lease);
    }

    [Fact]
    public async Task Leases_are_renewed_while_a_step_takes_long()
    {
        var gate = new Gate();
        var script = new Script(World.Step("a", work: gate.PassAsync)) { MayRunAnywhere = true };
        var engine = await StartAsync(script);
        var peer = await StartAsync(Journal, new LocalHost { Id = PmId.New(), Name = "pm2" }, null, script);
        var started = await engine.StartAsync(script, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        for (var second = 0; second < 300; second += 5)
        {
            Time.Advance(TimeSpan.FromSeconds(5));
            await UntilLeaseIsFreshAsync(started.Id);
        }

        gate.Open();
        await engine.WaitAsync(started.Id, Token);
        Assert.Equal(["a"], World.All);
    }

    [Fact]
    public async Task A_peer_takes_over_a_dead_service_s_shared_work_only()
    {
        var gate = new Gate();
        var shared = new Script(World.Step("shared")) { Called = "test.shared", MayRunAnywhere = true };
        var bound = new Script(World.Step("bound")) { Called = "test.bound" };

        // The first service goes away while both wait for their turn.
        Options.MaxConcurrentOperations = 1;
        var slow = new Script(World.Step("slow", work: gate.PassAsync)) { Called = "test.slow" };
        var dead = await StartAsync(Journal, slow, shared, bound);
        await dead.StartAsync(slow, new ScriptState(), cancellationToken: Token);
        await gate.Reached;
        var left = await dead.StartAsync(shared, new ScriptState(), cancellationToken: Token);
        var own = await dead.StartAsync(bound, new ScriptState(), cancellationToken: Token);
        await dead.DisposeAsync();

        var peer = await StartAsync(Journal, new LocalHost { Id = PmId.New(), Name = "pm2" }, null, slow, shared, bound);
        var ended = await PassTimeUntilAsync(peer.WaitAsync(left.Id, Token), TimeSpan.FromSeconds(5));
        Assert.Equal(OperationState.Succeeded, ended.State);
        Time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(OperationState.Pending, (await peer.FindAsync(own.Id, Token))?.State);
    }

    [Fact]
    public async Task A_workflow_nobody_knows_any_more_needs_attention()
    {
        var script = new Script(World.Step("a", work: new Gate().PassAsync));
        var engine = await StartAsync(script);
        var started = await engine.StartAsync(script, new ScriptState { Exclusive = ["vm/1"] }, cancellationToken: Token);
        await engine.DisposeAsync();

        var next = await StartAsync();
        var stuck = await next.WaitAsync(started.Id, Token);
        Assert.True(stuck.NeedsAttention);
        Assert.Contains("test.script@1", stuck.Message, StringComparison.Ordinal);
        Assert.Equal(["vm/1"], await next.ListLockedAsync(Token));
    }

    [Fact]
    public void Whatever_the_services_do_locks_and_leases_stay_sound()
    {
        // Two PMs, three objects, the clock, and calls in any order and with stale leases, against the rules themselves.
        var call = Gen.Select(Gen.Int[0, 6], Gen.Int[0, 9], Gen.Int[0, 2], Gen.Bool, Gen.Bool);
        call.Array[1, 40].Sample(calls => CheckAsync(calls).GetAwaiter().GetResult(), iter: 2000);
    }

    private static async Task CheckAsync((int Verb, int Pick, int Resource, bool Shared, bool Second)[] calls)
    {
        var journal = new InMemoryJournal();
        PmId[] pms = [PmId.New(), PmId.New()];
        var now = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
        var leases = new List<OperationLease>();
        var newest = new Dictionary<OperationId, long>();
        var claims = new Dictionary<OperationId, ResourceLock>();
        foreach (var (verb, pick, resource, shared, second) in calls)
        {
            var pm = pms[second ? 1 : 0];
            var lease = leases.Count == 0 ? null : leases[pick % leases.Count];
            switch (verb)
            {
                case 0 or 1:
                    var record = new OperationRecord
                    {
                        Id = OperationId.New(), Kind = "k@1", Target = "t", Description = "d", Pm = pm, CreatedAt = now,
                        Checkpoint = new OperationCheckpoint { State = OperationState.Pending, StateJson = "{}" },
                    };
                    var claim = new ResourceLock($"vm/{resource}", shared);
                    var free = claims.Values.All(held => held.Resource != claim.Resource || (held.Shared && claim.Shared));
                    var answer = await journal.AddAsync(record, [claim], now.AddSeconds(30));
                    Assert.Equal(free, answer.Lease is not null);
                    if (answer.Lease is { } first)
                    {
                        claims.Add(record.Id, claim);
                        leases.Add(first);
                        newest[record.Id] = first.Token;
                    }

                    break;
                case 2 when lease is not null:
                    if ((await journal.ClaimAsync(lease.Operation, pm, now, now.AddSeconds(30), shared))?.Lease is { } taken)
                    {
                        Assert.True(taken.Token > newest[lease.Operation]);
                        leases.Add(taken);
                        newest[lease.Operation] = taken.Token;
                    }

                    break;
                case 3 or 4 when lease is not null:
                    var ends = verb == 4;
                    var checkpoint = new OperationCheckpoint { State = ends ? OperationState.Succeeded : OperationState.Running, StateJson = "{}", FinishedAt = ends ? now : null };
                    var current = claims.ContainsKey(lease.Operation) && newest[lease.Operation] == lease.Token
                        && (await journal.FindAsync(lease.Operation))?.Lease is not null;
                    var thrown = await Xunit.Record.ExceptionAsync(() => journal.SaveAsync(lease, checkpoint));
                    Assert.Equal(current, thrown is null);
                    Assert.True(thrown is null or LeaseLostException);
                    if (thrown is null && ends)
                    {
                        claims.Remove(lease.Operation);
                    }

                    break;
                case 5 when lease is not null:
                    await journal.ReleaseAsync(lease);
                    break;
                default:
                    now = now.AddSeconds(pick * 5);
                    break;
            }

            var held = await journal.ListLocksAsync();
            Assert.Equal(claims.Select(pair => (pair.Key, pair.Value)).ToHashSet(), held.Select(one => (one.Operation, new ResourceLock(one.Resource, one.Shared))).ToHashSet());
        }
    }

    private async Task UntilLeaseIsFreshAsync(OperationId id)
    {
        // At most one interval of upkeep (10 of 30 seconds) may have passed unnoticed.
        for (var left = 0; ; left++)
        {
            var record = await Journal.FindAsync(id, Token);
            if (record?.Lease?.ExpiresAt - Time.GetUtcNow() > TimeSpan.FromSeconds(15))
            {
                return;
            }

            Assert.True(left < 10_000, "The lease is not renewed.");
            await Task.Yield();
        }
    }
}
