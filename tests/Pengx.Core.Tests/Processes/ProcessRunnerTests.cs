using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Pengx.Core.Tests;

public sealed class ProcessRunnerTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    // Impatient where a program is asked, patient where it must disappear: a test that waits that long has failed.
    private readonly ProcessRunner _runner = new()
    {
        TerminationGrace = TimeSpan.FromMilliseconds(300),
        DrainGrace = TimeSpan.FromMilliseconds(300),
        KillGrace = TimeSpan.FromSeconds(30),
    };

    [Fact]
    public async Task Output_error_and_exit_code_come_back()
    {
        var result = await _runner.RunAsync(Shell("echo out; echo err >&2; exit 3"), Token);

        Assert.Equal(("out\n", "err\n", 3), (result.Output, result.Error, result.ExitCode));
        var failure = Assert.Throws<ProcessFailedException>(result.EnsureSuccess);
        Assert.Equal("sh failed with exit code 3: err", failure.Message);
        Assert.Equal(3, failure.ExitCode);
    }

    [Fact]
    public async Task Arguments_reach_the_program_as_they_are()
    {
        string[] hostile = ["; $(reboot)", "a b", "'\"`", "-n", "line\nbreak", "", "*", "ü"];
        var result = await _runner.RunAsync(new() { FileName = "printf", Arguments = ["%s|", .. hostile] }, Token);

        Assert.Equal(string.Concat(hostile.Select(text => $"{text}|")), result.Output);
    }

    [Fact]
    public async Task An_argument_with_a_zero_byte_is_refused() =>
        await Assert.ThrowsAsync<ArgumentException>(() => _runner.RunAsync(new() { FileName = "printf", Arguments = ["a\0b"] }, Token));

    [Fact]
    public async Task The_locale_is_C_and_given_variables_are_set()
    {
        var command = Shell("echo $LC_ALL $PENGX_TEST") with { Environment = new Dictionary<string, string> { ["PENGX_TEST"] = "x", ["LC_ALL"] = "de_DE" } };

        Assert.Equal("C x\n", (await _runner.RunAsync(command, Token)).Output);
    }

    [Fact]
    public async Task Input_is_read_by_the_program()
    {
        var input = new byte[300_000];
        new Random(1).NextBytes(input);
        var expected = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(input));

        var result = await _runner.RunAsync(new() { FileName = "sha256sum", Input = input }, Token);

        Assert.Equal($"{expected}  -\n", result.Output);
    }

    [Fact]
    public async Task Without_input_the_program_sees_the_end_at_once() =>
        Assert.Equal("", (await _runner.RunAsync(new() { FileName = "cat" }, Token)).EnsureSuccess().Output);

    [Fact]
    public async Task A_program_that_does_not_read_its_input_does_not_hang() =>
        Assert.Equal(0, (await _runner.RunAsync(new() { FileName = "true", Input = new byte[1_000_000] }, Token)).ExitCode);

    [Fact]
    public async Task A_signal_is_told_as_128_and_its_number() =>
        Assert.Equal(128 + 9, (await _runner.RunAsync(Shell("kill -9 $$"), Token)).ExitCode);

    [Theory]
    [InlineData("no-such-program-here")]
    [InlineData("/no/such/program")]
    [InlineData("/etc/passwd")]
    public async Task A_program_that_cannot_be_started_is_named(string program)
    {
        var failure = await Assert.ThrowsAsync<ProcessFailedException>(() => _runner.RunAsync(new() { FileName = program }, Token));

        Assert.Null(failure.ExitCode);
        Assert.StartsWith($"{program} could not be started: ", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_program_that_shall_end_with_its_parent_and_cannot_be_started_is_named()
    {
        var failure = await Assert.ThrowsAsync<ProcessFailedException>(() => _runner.RunAsync(new() { FileName = "/etc/passwd", EndsWithParent = true }, Token));

        Assert.Null(failure.ExitCode);
        Assert.StartsWith("/etc/passwd could not be started: /etc/passwd: Permission denied", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_ends_with_its_parent_outlives_the_thread_that_asked_for_it()
    {
        Task<ProcessResult>? running = null;
        Thread asking = new(() => running = _runner.RunAsync(Shell("sleep 1; echo done") with { EndsWithParent = true }, Token));
        asking.Start();
        asking.Join();

        Assert.Equal("done\n", (await running!).EnsureSuccess().Output);
    }

    [Fact]
    public async Task A_relative_path_is_refused() =>
        await Assert.ThrowsAsync<ArgumentException>(() => _runner.RunAsync(new() { FileName = "bin/sh" }, Token));

    [Fact]
    public async Task A_programs_own_127_is_its_exit_code() =>
        Assert.Equal(127, (await _runner.RunAsync(Shell("exit 127"), Token)).ExitCode);

    [Fact]
    public async Task Only_the_first_bytes_of_each_output_are_kept()
    {
        var command = Shell("head -c 1000000 /dev/zero | tr '\\0' x; head -c 500000 /dev/zero | tr '\\0' y >&2") with { MaxOutputBytes = 1000 };
        var result = await _runner.RunAsync(command, Token);

        Assert.Equal(new string('x', 1000), result.Output);
        Assert.Equal(new string('y', 1000), result.Error);
        Assert.Equal(0, result.ExitCode);
    }

    [Fact]
    public async Task Lines_are_told_at_line_feeds_and_carriage_returns()
    {
        List<string> lines = [];
        var command = Shell("printf 'one\\ntwo\\r\\n  (1/100%%)\\r  (2/100%%)\\r\\n\\nlast'") with { OnOutputLine = lines.Add };
        await _runner.RunAsync(command, Token);

        Assert.Equal(["one", "two", "  (1/100%)", "  (2/100%)", "", "last"], lines);
    }

    [Fact]
    public async Task A_line_is_told_before_the_program_ends()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var command = Shell("echo ready; exec sleep 60") with { OnOutputLine = _ => cancel.Cancel() };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _runner.RunAsync(command, cancel.Token));
    }

    [Fact]
    public async Task An_endless_line_is_told_in_pieces()
    {
        List<string> lines = [];
        var command = new ProcessCommand { FileName = "head", Arguments = ["-c", "200000", "/dev/zero"], OnOutputLine = lines.Add };
        await _runner.RunAsync(command, Token);

        Assert.Equal(200_000, lines.Sum(line => line.Length));
        Assert.All(lines, line => Assert.InRange(line.Length, 1, 65536));
    }

    [Fact]
    public async Task A_failing_line_callback_ends_the_program_and_is_thrown()
    {
        var pid = 0;
        var command = Shell("echo $$; exec sleep 60") with
        {
            OnOutputLine = line =>
            {
                pid = int.Parse(line, CultureInfo.InvariantCulture);
                throw new FormatException("callback");
            },
        };

        await Assert.ThrowsAsync<FormatException>(() => _runner.RunAsync(command, Token));
        AssertGone(pid);
    }

    [Fact]
    public async Task The_deadline_ends_the_program_and_the_error_has_its_words()
    {
        var pids = new ConcurrentQueue<int>();
        var command = Tell("echo half way >&2; echo $$; exec sleep 60", pids) with { Timeout = TimeSpan.FromMilliseconds(400) };
        var failure = await Assert.ThrowsAsync<ProcessFailedException>(() => _runner.RunAsync(command, Token));

        Assert.Null(failure.ExitCode);
        Assert.Equal("sh did not end within 0.4 s and was stopped: half way", failure.Message);
        AssertGone(Assert.Single(pids));
    }

    [Fact]
    public async Task A_program_that_stands_still_is_ended_and_the_error_has_its_words()
    {
        var pids = new ConcurrentQueue<int>();
        var command = Tell("echo half way >&2; echo $$; exec sleep 60", pids) with { StallTimeout = TimeSpan.FromMilliseconds(400) };
        var failure = await Assert.ThrowsAsync<ProcessFailedException>(() => _runner.RunAsync(command, Token));

        Assert.True(failure.IsStall);
        Assert.Equal("sh stood still for 0.4 s and was stopped: half way", failure.Message);
        AssertGone(Assert.Single(pids));
    }

    /// <summary>The one says nothing and reads and writes much, the other moves nothing and speaks.</summary>
    [Theory]
    [InlineData("exec dd if=/dev/urandom of=/dev/null bs=1M count=800 status=none")]
    [InlineData("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.25; done")]
    public async Task A_program_that_moves_may_take_any_time(string script)
    {
        var limit = TimeSpan.FromSeconds(1);
        var started = Stopwatch.GetTimestamp();
        var result = await _runner.RunAsync(new() { FileName = "sh", Arguments = ["-c", script], StallTimeout = limit }, Token);

        Assert.Equal(0, result.ExitCode);
        Assert.True(Stopwatch.GetElapsedTime(started) > limit, "It took too little time to say anything.");
    }

    [Fact]
    public async Task Cancelling_ends_grandchildren_too()
    {
        var pids = new ConcurrentQueue<int>();
        await CancelAfterPidsAsync("sh -c 'sleep 60 & echo $!; echo $$; wait' & sleep 60 & echo $!; wait", pids, 3);
    }

    [Fact]
    public async Task Cancelling_ends_programs_that_ignore_the_polite_signal()
    {
        var pids = new ConcurrentQueue<int>();
        await CancelAfterPidsAsync("trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $!; echo $$; while :; do sleep 1; done", pids, 2);
    }

    [Fact]
    public async Task Cancelling_ends_grandchildren_in_process_groups_of_their_own()
    {
        // Job control gives each background job its own group.
        var pids = new ConcurrentQueue<int>();
        await CancelAfterPidsAsync("set -m; sleep 60 & echo $!; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait", pids, 2, "bash");
    }

    [Fact]
    public async Task A_program_is_asked_politely_first()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var directory = Directory.CreateTempSubdirectory("pengx-runner-");
        var mark = Path.Combine(directory.FullName, "asked");
        try
        {
            var command = Shell("trap 'echo yes >\"$MARK\"; exit 0' TERM; echo ready; while :; do sleep 0.05; done") with
            {
                Environment = new Dictionary<string, string> { ["MARK"] = mark },
                OnOutputLine = _ => cancel.Cancel(),
            };
            var patient = new ProcessRunner();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => patient.RunAsync(command, cancel.Token));
            Assert.Equal("yes\n", await File.ReadAllTextAsync(mark, Token));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_cancelled_token_starts_nothing() =>
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _runner.RunAsync(Shell("exit 0"), new(canceled: true)));

    [Fact]
    public async Task A_child_that_keeps_the_outputs_open_does_not_hang_the_caller()
    {
        var pids = new ConcurrentQueue<int>();
        var clock = Stopwatch.StartNew();
        var result = await _runner.RunAsync(Tell("sleep 60 & echo $!; exit 5", pids), Token);

        Assert.Equal(5, result.ExitCode);
        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(20));
        await AssertSoonGoneAsync(Assert.Single(pids));
    }

    [Fact]
    public async Task What_a_program_leaves_behind_is_ended()
    {
        var pids = new ConcurrentQueue<int>();
        await _runner.RunAsync(Tell("sleep 60 >/dev/null 2>&1 </dev/null & echo $!", pids), Token);

        await AssertSoonGoneAsync(Assert.Single(pids));
    }

    [Fact]
    public async Task A_daemon_that_made_its_own_session_is_let_go()
    {
        var pids = new ConcurrentQueue<int>();
        await _runner.RunAsync(Tell("setsid sleep 61 >/dev/null 2>&1 </dev/null & echo $!; sleep 0.3", pids), Token);

        var pid = Assert.Single(pids);
        Assert.True(IsAlive(pid));
        Process.GetProcessById(pid).Kill();
        await AssertSoonGoneAsync(pid);
    }

    [Fact]
    public async Task Fifty_at_once_leak_no_descriptor_and_no_process()
    {
        await RunManyAsync(5);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = OpenDescriptors();

        await RunManyAsync(50);

        Assert.InRange(OpenDescriptors(), 0, before + 2);
        Assert.Empty(_runner.Abandoned);

        async Task RunManyAsync(int count)
        {
            var results = await Task.WhenAll(Enumerable.Range(0, count).Select(i => _runner.RunAsync(
                new() { FileName = "sh", Arguments = ["-c", "cat; echo $$ >&2; exit $1", "sh", $"{i}"], Input = Encoding.ASCII.GetBytes($"in {i}") }, Token)));
            Assert.All(results, (result, i) => Assert.Equal(($"in {i}", i), (result.Output, result.ExitCode)));

            // Not even as an ended process that nobody collected.
            Assert.All(results, result => Assert.False(Directory.Exists($"/proc/{int.Parse(result.Error, CultureInfo.InvariantCulture)}")));
        }
    }

    [Fact]
    public async Task A_time_that_is_not_positive_is_refused() =>
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => _runner.RunAsync(Shell("exit 0") with { Timeout = TimeSpan.Zero }, Token));

    private async Task CancelAfterPidsAsync(string script, ConcurrentQueue<int> pids, int count, string shell = "sh")
    {
        var clock = Stopwatch.StartNew();
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var command = Shell(script) with
        {
            FileName = shell,
            OnOutputLine = line =>
            {
                pids.Enqueue(int.Parse(line, CultureInfo.InvariantCulture));
                if (pids.Count == count)
                {
                    cancel.Cancel();
                }
            },
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _runner.RunAsync(command, cancel.Token));

        // The port promises that they are gone when the call returns, not soon after.
        Assert.Equal(count, pids.Count);
        Assert.All(pids, AssertGone);
        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(25));
    }

    private static ProcessCommand Shell(string script) => new() { FileName = "sh", Arguments = ["-c", script] };

    private static ProcessCommand Tell(string script, ConcurrentQueue<int> pids) =>
        Shell(script) with { OnOutputLine = line => pids.Enqueue(int.Parse(line, CultureInfo.InvariantCulture)) };

    private static void AssertGone(int pid) => Assert.False(IsAlive(pid), $"Process {pid} is still alive.");

    private static async Task AssertSoonGoneAsync(int pid)
    {
        for (var attempt = 0; attempt < 200 && IsAlive(pid); attempt++)
        {
            await Task.Delay(25, Token);
        }

        AssertGone(pid);
    }

    // An ended process that its new parent has not collected yet is not alive.
    private static bool IsAlive(int pid)
    {
        Assert.True(pid > 1);
        try
        {
            var status = File.ReadAllText($"/proc/{pid}/stat");
            return status[status.LastIndexOf(')') + 2] is not ('Z' or 'X');
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static int OpenDescriptors() => Directory.GetFileSystemEntries("/proc/self/fd").Length;
}
