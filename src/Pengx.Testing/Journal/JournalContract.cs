using Pengx.Orchestration;
using Xunit;

namespace Pengx.Testing;

/// <summary>What every <see cref="IOperationJournal"/> must do. Derive a sealed class in a test project and give it an empty journal.</summary>
public abstract class JournalContract
{
    private static readonly DateTimeOffset s_now = new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
    private static readonly TimeSpan s_lease = TimeSpan.FromSeconds(30);
    private static readonly PmId s_pm = PmId.New();
    private static readonly PmId s_otherPm = PmId.New();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Makes an empty journal; the test class disposes of it.</summary>
    protected abstract Task<IOperationJournal> CreateAsync();

    /// <summary>A test.</summary>
    [Fact]
    public async Task What_was_added_is_found_as_it_was()
    {
        var journal = await CreateAsync();
        var record = Record() with { IdempotencyKey = "key 1 ✓", Fingerprint = "abc", KeyExpiresAt = s_now.AddHours(24), Preemptible = true, RunsAnywhere = true };
        var lease = await AddAsync(journal, record, new ResourceLock("vm/1"));

        Assert.Equal(new OperationLease(record.Id, s_pm, 1, s_now + s_lease), lease);
        Assert.Equal(record with { Lease = lease }, await journal.FindAsync(record.Id, Token));
        Assert.Equal(record with { Lease = lease }, await journal.FindByKeyAsync("key 1 ✓", s_now, Token));
        Assert.Null(await journal.FindAsync(OperationId.New(), Token));
        Assert.Null(await journal.FindByKeyAsync("KEY 1 ✓", s_now, Token));
        Assert.Equal([new LockRecord("vm/1", false, record.Id)], await journal.ListLocksAsync(Token));
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Saving_replaces_the_checkpoint_whole()
    {
        var journal = await CreateAsync();
        var record = Record();
        var lease = await AddAsync(journal, record);
        var full = new OperationCheckpoint
        {
            State = OperationState.Running,
            StateJson = """{"name":"vm ü \"1\""}""",
            NeedsAttention = true,
            AttentionMessage = "It is stuck.",
            Direction = StepDirection.Undo,
            Position = 3,
            StepStarted = true,
            Step = "create disk",
            Progress = 42,
            BytesDone = 5_000_000_000,
            BytesTotal = 10_000_000_000,
            Message = "It failed.",
            Error = PengxErrorCode.StorageFailed,
            Created = "vm/1",
            FinishedAt = null,
        };

        await journal.SaveAsync(lease, full, Token);
        Assert.Equal(full, (await journal.FindAsync(record.Id, Token))?.Checkpoint);

        var bare = new OperationCheckpoint { State = OperationState.Running, StateJson = "{}" };
        await journal.SaveAsync(lease, bare, Token);
        Assert.Equal(bare, (await journal.FindAsync(record.Id, Token))?.Checkpoint);
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Exclusive_locks_exclude_and_shared_ones_go_together()
    {
        var journal = await CreateAsync();
        var shared = new ResourceLock("storlink/1", Shared: true);
        var exclusive = new ResourceLock("storlink/1");
        var first = Record();
        await AddAsync(journal, first, shared, new ResourceLock("vm/1"));
        await AddAsync(journal, Record(), shared);

        var blocked = await journal.AddAsync(Record(), [new ResourceLock("vm/2"), exclusive], s_now + s_lease, Token);
        Assert.Equal("storlink/1", blocked.Conflict?.Resource);
        var sharedOnExclusive = await journal.AddAsync(Record(), [new ResourceLock("vm/1", Shared: true)], s_now + s_lease, Token);
        Assert.Equal(first.Id, sharedOnExclusive.Conflict?.Holder.Id);
        Assert.Equal(first.Description, sharedOnExclusive.Conflict?.Holder.Description);

        // A refusal leaves nothing behind: neither the operation nor the lock that could be had.
        Assert.Null(blocked.Lease);
        Assert.Equal(2, await CountAsync(journal, OperationQuery.All));
        Assert.DoesNotContain(await journal.ListLocksAsync(Token), held => held.Resource == "vm/2");
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task The_end_releases_locks_and_lease_and_nothing_is_written_after_it()
    {
        var journal = await CreateAsync();
        var record = Record();
        var other = Record();
        var lease = await AddAsync(journal, record, new ResourceLock("vm/1"), new ResourceLock("pm/1", Shared: true));
        await AddAsync(journal, other, new ResourceLock("pm/1", Shared: true));
        var end = Finished(s_now.AddSeconds(1));
        await journal.SaveAsync(lease, end, Token);

        var found = await journal.FindAsync(record.Id, Token);
        Assert.Equal(end, found?.Checkpoint);
        Assert.Null(found?.Lease);
        Assert.Equal([new LockRecord("pm/1", true, other.Id)], await journal.ListLocksAsync(Token));
        await Assert.ThrowsAsync<LeaseLostException>(() => journal.SaveAsync(lease, Checkpoint(), Token));
        await Assert.ThrowsAsync<LeaseLostException>(() => journal.RenewAsync(lease, s_now.AddHours(1), Token));
        Assert.Null(await journal.ClaimAsync(record.Id, s_pm, s_now.AddDays(1), s_now.AddDays(2), ownToo: true, Token));
        Assert.False(await journal.RequestCancelAsync(record.Id, Token));
        Assert.Equal(end, (await journal.FindAsync(record.Id, Token))?.Checkpoint);
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task A_lease_is_taken_over_when_it_has_expired_and_the_old_owner_is_fenced_out()
    {
        var journal = await CreateAsync();
        var record = Record();
        var old = await AddAsync(journal, record, new ResourceLock("vm/1"));

        Assert.Null(await journal.ClaimAsync(record.Id, s_otherPm, s_now + s_lease - TimeSpan.FromMilliseconds(1), s_now.AddHours(1), ownToo: true, Token));
        var taken = await journal.ClaimAsync(record.Id, s_otherPm, s_now + s_lease, s_now.AddHours(1), ownToo: false, Token);
        Assert.Equal(new OperationLease(record.Id, s_otherPm, 2, s_now.AddHours(1)), taken?.Lease);
        Assert.Equal(taken, await journal.FindAsync(record.Id, Token));

        var lost = await Assert.ThrowsAsync<LeaseLostException>(() => journal.SaveAsync(old, Finished(s_now), Token));
        Assert.Equal(record.Id, lost.Operation);
        await Assert.ThrowsAsync<LeaseLostException>(() => journal.RenewAsync(old, s_now.AddHours(2), Token));
        await journal.ReleaseAsync(old, Token);
        Assert.Equal(taken, await journal.FindAsync(record.Id, Token));
        Assert.Single(await journal.ListLocksAsync(Token));
        await journal.SaveAsync(taken!.Lease!, Finished(s_now), Token);
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task A_restart_takes_its_own_leases_over_at_once()
    {
        var journal = await CreateAsync();
        var record = Record();
        var old = await AddAsync(journal, record);

        Assert.Null(await journal.ClaimAsync(record.Id, s_pm, s_now, s_now.AddHours(1), ownToo: false, Token));
        var taken = await journal.ClaimAsync(record.Id, s_pm, s_now, s_now.AddHours(1), ownToo: true, Token);
        Assert.Equal(2, taken?.Lease?.Token);
        await Assert.ThrowsAsync<LeaseLostException>(() => journal.SaveAsync(old, Checkpoint(), Token));
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Tokens_grow_even_when_leases_were_given_up()
    {
        var journal = await CreateAsync();
        var record = Record();
        var lease = await AddAsync(journal, record);
        for (var token = 2; token <= 4; token++)
        {
            await journal.ReleaseAsync(lease, Token);
            await journal.ReleaseAsync(lease, Token);
            Assert.Null((await journal.FindAsync(record.Id, Token))?.Lease);
            await Assert.ThrowsAsync<LeaseLostException>(() => journal.SaveAsync(lease, Checkpoint(), Token));
            lease = (await journal.ClaimAsync(record.Id, s_otherPm, s_now, s_now + s_lease, ownToo: false, Token))!.Lease!;
            Assert.Equal(token, lease.Token);
        }
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Renewing_prolongs_and_tells_of_a_cancellation()
    {
        var journal = await CreateAsync();
        var record = Record();
        var lease = await AddAsync(journal, record);
        Assert.False(await journal.RenewAsync(lease, s_now.AddMinutes(5), Token));
        Assert.Equal(lease with { ExpiresAt = s_now.AddMinutes(5) }, (await journal.FindAsync(record.Id, Token))?.Lease);
        Assert.Null(await journal.ClaimAsync(record.Id, s_otherPm, s_now.AddMinutes(1), s_now.AddHours(1), ownToo: false, Token));

        Assert.True(await journal.RequestCancelAsync(record.Id, Token));
        Assert.True(await journal.RenewAsync(lease, s_now.AddMinutes(6), Token));

        // A checkpoint does not touch the wish, nor the lease.
        await journal.SaveAsync(lease, Checkpoint(), Token);
        var found = await journal.FindAsync(record.Id, Token);
        Assert.True(found?.CancelRequested);
        Assert.Equal(s_now.AddMinutes(6), found?.Lease?.ExpiresAt);
        Assert.False(await journal.RequestCancelAsync(OperationId.New(), Token));
        await Assert.ThrowsAsync<LeaseLostException>(() => journal.RenewAsync(lease with { Operation = OperationId.New() }, s_now, Token));
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task A_key_leads_to_its_operation_until_it_expires()
    {
        var journal = await CreateAsync();
        var first = Record() with { IdempotencyKey = "k", Fingerprint = "f", KeyExpiresAt = s_now.AddHours(24) };
        await AddAsync(journal, first, new ResourceLock("vm/1"));

        // The key comes before the locks: the repeated request must not meet the lock of the first one.
        var repeated = await journal.AddAsync(Record() with { IdempotencyKey = "k", KeyExpiresAt = s_now.AddHours(25) }, [new ResourceLock("vm/1")], s_now + s_lease, Token);
        Assert.Equal(first.Id, repeated.Existing?.Id);
        Assert.Equal("f", repeated.Existing?.Fingerprint);

        Assert.NotNull(await journal.FindByKeyAsync("k", s_now.AddHours(24).AddMilliseconds(-1), Token));
        Assert.Null(await journal.FindByKeyAsync("k", s_now.AddHours(24), Token));
        var later = Record() with { IdempotencyKey = "k", CreatedAt = s_now.AddHours(24), KeyExpiresAt = s_now.AddHours(48) };
        Assert.NotNull((await journal.AddAsync(later, [], s_now.AddHours(25), Token)).Lease);
        Assert.Equal(later.Id, (await journal.FindByKeyAsync("k", s_now.AddHours(24), Token))?.Id);
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Lists_are_the_newest_first_and_filtered()
    {
        var journal = await CreateAsync();
        var records = Enumerable.Range(0, 5).Select(number => Record() with { CreatedAt = s_now.AddSeconds(number), Target = $"vm/{number % 2}" }).ToList();
        foreach (var record in records)
        {
            var lease = await AddAsync(journal, record);
            if (record == records[3])
            {
                await journal.SaveAsync(lease, Finished(s_now), Token);
            }
        }

        Assert.Equal([4, 3, 2, 1, 0], await NumbersAsync(OperationQuery.All));
        Assert.Equal([4, 2, 1, 0], await NumbersAsync(new OperationQuery { UnfinishedOnly = true, Limit = int.MaxValue }));
        Assert.Equal([3, 1], await NumbersAsync(new OperationQuery { Target = "vm/1" }));
        Assert.Equal([4, 3], await NumbersAsync(new OperationQuery { Limit = 2 }));

        async Task<List<int>> NumbersAsync(OperationQuery query)
        {
            var numbers = new List<int>();
            await foreach (var record in journal.ListAsync(query, Token))
            {
                numbers.Add(records.FindIndex(known => known.Id == record.Id));
            }

            return numbers;
        }
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Pruning_spares_what_is_unfinished_recent_or_has_a_live_key()
    {
        var journal = await CreateAsync();
        var old = Record();
        var recent = Record();
        var keyed = Record() with { IdempotencyKey = "live", KeyExpiresAt = s_now.AddHours(10) };
        var expired = Record() with { IdempotencyKey = "dead", KeyExpiresAt = s_now.AddHours(1) };
        var unfinished = Record() with { CreatedAt = s_now.AddYears(-1) };
        await journal.SaveAsync(await AddAsync(journal, old), Finished(s_now), Token);
        await journal.SaveAsync(await AddAsync(journal, recent), Finished(s_now.AddHours(2)), Token);
        await journal.SaveAsync(await AddAsync(journal, keyed), Finished(s_now), Token);
        await journal.SaveAsync(await AddAsync(journal, expired), Finished(s_now), Token);
        await AddAsync(journal, unfinished, new ResourceLock("vm/1"));

        Assert.Equal(2, await journal.PruneAsync(s_now.AddHours(1), s_now.AddHours(2), Token));
        Assert.Null(await journal.FindAsync(old.Id, Token));
        Assert.Null(await journal.FindAsync(expired.Id, Token));
        Assert.NotNull(await journal.FindAsync(recent.Id, Token));
        Assert.NotNull(await journal.FindAsync(keyed.Id, Token));
        Assert.NotNull(await journal.FindAsync(unfinished.Id, Token));
        Assert.Single(await journal.ListLocksAsync(Token));
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Of_many_at_once_one_gets_the_lock()
    {
        var journal = await CreateAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(number => Task.Run(() =>
            journal.AddAsync(Record(), [new ResourceLock("vm/1"), new ResourceLock($"storlink/{number}", Shared: true)], s_now + s_lease, Token))));
        Assert.Single(answers, answer => answer.Lease is not null);
        Assert.Equal(19, answers.Count(answer => answer.Conflict is not null));
        Assert.Equal(2, (await journal.ListLocksAsync(Token)).Count);
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Of_many_at_once_one_claims()
    {
        var journal = await CreateAsync();
        var record = Record();
        await journal.ReleaseAsync(await AddAsync(journal, record), Token);
        var claims = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() =>
            journal.ClaimAsync(record.Id, PmId.New(), s_now, s_now + s_lease, ownToo: true, Token))));
        Assert.Single(claims, claim => claim is not null);
    }

    /// <summary>A test.</summary>
    [Fact]
    public async Task Of_many_at_once_with_one_key_one_is_added()
    {
        var journal = await CreateAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() =>
            journal.AddAsync(Record() with { IdempotencyKey = "k", KeyExpiresAt = s_now.AddHours(24) }, [], s_now + s_lease, Token))));
        var added = Assert.Single(answers, answer => answer.Lease is not null);
        Assert.All(answers.Where(answer => answer != added), answer => Assert.Equal(added.Lease!.Operation, answer.Existing?.Id));
    }

    private static async Task<int> CountAsync(IOperationJournal journal, OperationQuery query)
    {
        var count = 0;
        await foreach (var _ in journal.ListAsync(query, Token))
        {
            count++;
        }

        return count;
    }

    private static async Task<OperationLease> AddAsync(IOperationJournal journal, OperationRecord record, params ResourceLock[] locks)
    {
        var admission = await journal.AddAsync(record, locks, s_now + s_lease, Token);
        Assert.Null(admission.Existing);
        Assert.Null(admission.Conflict);
        Assert.NotNull(admission.Lease);
        return admission.Lease;
    }

    private static OperationRecord Record() => new()
    {
        Id = OperationId.New(),
        Kind = "vm.create@1",
        Target = "vm/1",
        Description = "the creation of VM web1",
        Pm = s_pm,
        CreatedAt = s_now,
        Checkpoint = Checkpoint(),
    };

    private static OperationCheckpoint Checkpoint() => new() { State = OperationState.Pending, StateJson = """{"a":1}""" };

    private static OperationCheckpoint Finished(DateTimeOffset at) =>
        new() { State = OperationState.Succeeded, StateJson = "{}", Progress = 100, Message = "Done.", FinishedAt = at };
}
