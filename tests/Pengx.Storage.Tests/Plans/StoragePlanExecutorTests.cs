namespace Pengx.Storage.Tests;

public sealed class StoragePlanExecutorTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-plan-").FullName;
    private readonly StoragePlanExecutor _executor = new(new ProcessRunner());

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Steps_run_in_order_and_their_postconditions_are_read_back()
    {
        var outcome = await _executor.ExecuteAsync(Plan(Make("a"), Make("a/b")), Token);

        Assert.Equal(2, outcome.Done.Count);
        Assert.True(Directory.Exists(PathOf("a/b")));
    }

    [Fact]
    public async Task A_plan_says_exactly_what_it_would_run_and_runs_nothing()
    {
        var plan = Plan(Make("a b"), Make("c") with { Undo = null, Risk = StorageRisk.Destructive, NoReturn = true }) with { Warnings = ["The pool is nearly full."] };
        var text = plan.ToString();

        Assert.Equal(
            $"""
            Make directories
            ! The pool is nearly full.
            1. Make a b (reversible)
               run:    mkdir '{PathOf("a b")}'
               after:  there is a directory {PathOf("a b")}
               undo:   rmdir '{PathOf("a b")}'
            2. Make c (destructive, no way back)
               run:    mkdir {PathOf("c")}
               after:  there is a directory {PathOf("c")}
               undo:   none
            """,
            text);
        Assert.Equal(StorageRisk.Destructive, plan.Risk);
        Assert.Empty(Directory.GetFileSystemEntries(_directory));
        await Task.CompletedTask;
    }

    [Fact]
    public void What_goes_to_standard_input_is_never_told()
    {
        ToolAction action = new(new() { FileName = "iscsiadm", Arguments = ["it's"], Input = "hunter2"u8.ToArray() });
        Assert.Equal(@"iscsiadm 'it'\''s'   # with 7 bytes on standard input", action.ToString());
    }

    [Fact]
    public async Task A_failure_takes_back_what_was_done_in_reverse_and_keeps_the_tools_words()
    {
        var plan = Plan(Make("a"), Make("a/b"), Make("missing/c"));
        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(plan, Token));

        Assert.Contains("No such file or directory", failure.Message, StringComparison.Ordinal);
        Assert.Contains("Make missing/c", failure.Message, StringComparison.Ordinal);
        Assert.Equal(PengxErrorCode.ToolFailed, failure.Code);

        // "a" could not have gone before "a/b".
        Assert.Equal(["Make a/b", "Make a"], failure.Outcome.Undone.Select(step => step.Description));
        Assert.Empty(Directory.GetFileSystemEntries(_directory));
    }

    [Fact]
    public async Task Success_that_is_not_so_is_a_failure()
    {
        var lying = Make("a") with { Action = ToolAction.Of("true") };
        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(Plan(lying), Token));

        Assert.Contains($"there is a directory {PathOf("a")}", failure.Message, StringComparison.Ordinal);
        Assert.Contains("there is none", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_step_that_failed_half_way_is_taken_back_when_there_is_something_to_take_back()
    {
        // It does its work, and then reports failure.
        var half = Make("a") with { Action = ToolAction.Of("mkdir", PathOf("a"), PathOf("missing/x")) };
        var kept = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(Plan(half), Token));
        Assert.Empty(kept.Outcome.Undone);
        Assert.True(Directory.Exists(PathOf("a")));
        Directory.Delete(PathOf("a"));

        var needed = half with { Undo = half.Undo! with { Needed = half.After } };
        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(Plan(needed), Token));
        Assert.Single(failure.Outcome.Undone);
        Assert.False(Directory.Exists(PathOf("a")));
    }

    [Fact]
    public async Task What_must_be_so_before_is_verified_before()
    {
        var guarded = Make("a") with { Before = [new("the device is still the same", _ => Task.FromResult<string?>("it is another"))] };
        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(Plan(guarded), Token));

        Assert.Contains("the device is still the same, but it is another", failure.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_directory));
    }

    [Fact]
    public async Task After_a_step_without_return_nothing_is_taken_back()
    {
        var plan = Plan(Make("a"), Make("b") with { NoReturn = true }, Make("missing/c"));
        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(plan, Token));

        Assert.Empty(failure.Outcome.Undone);
        Assert.Contains("order it again", failure.Message, StringComparison.Ordinal);
        Assert.True(Directory.Exists(PathOf("a")));
    }

    [Fact]
    public async Task What_cannot_be_taken_back_is_told()
    {
        var stuck = Make("a") with { Undo = new(ToolAction.Of("rmdir", PathOf("elsewhere"))) };
        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(Plan(stuck, Make("missing/c")), Token));

        var (step, reason) = Assert.Single(failure.Outcome.NotUndone);
        Assert.Equal("Make a", step.Description);
        Assert.Contains("elsewhere", reason, StringComparison.Ordinal);
        Assert.Contains($"rmdir {PathOf("elsewhere")}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancelling_stops_the_program_and_takes_back()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        StorageStep hanging = new()
        {
            Description = "Hang",
            Action = new NativeAction("hang", async token =>
            {
                await cancel.CancelAsync();
                await Task.Delay(Timeout.Infinite, token);
            }),
            Risk = StorageRisk.Reversible,
            After = new("never", _ => Task.FromResult<string?>(null)),
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _executor.ExecuteAsync(Plan(Make("a"), hanging), cancel.Token));
        Assert.Empty(Directory.GetFileSystemEntries(_directory));
    }

    [Fact]
    public async Task What_hangs_is_left_at_its_deadline_and_taken_back()
    {
        // It heeds no token, as a call that hangs in the kernel.
        TaskCompletionSource never = new();
        StorageStep hanging = new()
        {
            Description = "Hang",
            Action = new NativeAction("hang", _ => never.Task) { Timeout = TimeSpan.FromMilliseconds(50) },
            Risk = StorageRisk.Reversible,
            After = new("never", _ => Task.FromResult<string?>(null)),
        };

        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(Plan(Make("a"), hanging), Token));
        Assert.Contains("did not end within 0.1 s", failure.Message, StringComparison.Ordinal);
        Assert.Equal(PengxErrorCode.Unavailable, failure.Code);
        Assert.Empty(Directory.GetFileSystemEntries(_directory));
    }

    [Fact]
    public async Task A_postcondition_may_take_its_time_and_no_longer()
    {
        var tries = 0;
        StorageCondition slow = new("the device is there", _ => Task.FromResult(++tries < 3 ? "not yet" : null));
        Assert.Equal("not yet", await _executor.VerifyAsync(slow, Token));
        Assert.Equal(1, tries);
        Assert.Null(await _executor.VerifyAsync(slow with { Within = TimeSpan.FromSeconds(60) }, Token));
        Assert.Equal(3, tries);
        Assert.Equal("no", await _executor.VerifyAsync(new("it is", _ => Task.FromResult<string?>("no")) { Within = TimeSpan.FromMilliseconds(100) }, Token));
    }

    [Fact]
    public async Task Exit_codes_that_mean_success_are_accepted()
    {
        var step = Make("a") with { Action = ToolAction.Of("sh", "-c", $"mkdir {PathOf("a")}; exit 15") };
        await Assert.ThrowsAsync<StoragePlanFailedException>(() => _executor.ExecuteAsync(Plan(step), Token));
        Directory.Delete(PathOf("a"));
        await _executor.ExecuteAsync(Plan(step with { Action = ((ToolAction)step.Action) with { AlsoAccepted = [15] } }), Token);
        Assert.True(Directory.Exists(PathOf("a")));
    }

    private static StoragePlan Plan(params StorageStep[] steps) => new() { Title = "Make directories", Steps = steps };

    private string PathOf(string name) => Path.Combine(_directory, name);

    private StorageStep Make(string name) => new()
    {
        Description = $"Make {name}",
        Action = ToolAction.Of("mkdir", PathOf(name)),
        Risk = StorageRisk.Reversible,
        After = new($"there is a directory {PathOf(name)}", _ => Task.FromResult(Directory.Exists(PathOf(name)) ? null : "there is none")),
        Undo = new(ToolAction.Of("rmdir", PathOf(name))),
    };
}
