using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class ProcessTranscriptTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_recorded_replays_under_other_names()
    {
        var directory = Directory.CreateTempSubdirectory("pengx-transcript-").FullName;
        StringWriter transcript = new();
        ProcessTranscriptOptions recording = new() { Names = { [directory] = "{directory}" } };
        RecordingProcessRunner recorder = new(new ProcessRunner(), transcript, recording);
        ProcessResult made;
        ProcessResult failed;
        try
        {
            made = await recorder.RunAsync(Command("mkdir", "--verbose", Path.Combine(directory, "ü")), Token);
            failed = await recorder.RunAsync(Command("rmdir", Path.Combine(directory, "none")), Token);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        Assert.DoesNotContain(directory, transcript.ToString(), StringComparison.Ordinal);
        ReplayingProcessRunner player = new(transcript.ToString().Split('\n'), new() { Names = { ["/elsewhere"] = "{directory}" } });
        var again = await player.RunAsync(Command("mkdir", "--verbose", "/elsewhere/ü"), Token);
        Assert.Equal((0, made.Output.Replace(directory, "/elsewhere", StringComparison.Ordinal)), (again.ExitCode, again.Output));
        var failedAgain = await player.RunAsync(Command("rmdir", "/elsewhere/none"), Token);
        Assert.Equal((1, failed.Error.Replace(directory, "/elsewhere", StringComparison.Ordinal)), (failedAgain.ExitCode, failedAgain.Error));
        Assert.Empty(player.Remaining);
    }

    [Fact]
    public async Task Secrets_are_masked_and_input_is_not_kept()
    {
        StringWriter transcript = new();
        RecordingProcessRunner recorder = new(new ProcessRunner(), transcript, new() { Secrets = { "hunter2" } });
        var result = await recorder.RunAsync(Command("cat") with { Input = "user hunter2 pass"u8.ToArray() }, Token);

        Assert.Equal("user hunter2 pass", result.Output);
        Assert.DoesNotContain("hunter2", transcript.ToString(), StringComparison.Ordinal);
        var entry = ProcessTranscriptEntry.Parse(transcript.ToString());
        Assert.Equal(("user *** pass", 17), (entry.Output, entry.InputBytes));
    }

    [Fact]
    public async Task A_command_that_was_not_recorded_fails()
    {
        ReplayingProcessRunner player = new([new ProcessTranscriptEntry { Command = ["lvs", "-a"], ExitCode = 0 }.ToString()]);
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(() => player.RunAsync(Command("lvs", "-b"), Token));
        Assert.Contains("lvs -a", failure.Message, StringComparison.Ordinal);
        Assert.Single(player.Remaining);

        await player.RunAsync(Command("lvs", "-a"), Token);
        await Assert.ThrowsAsync<InvalidOperationException>(() => player.RunAsync(Command("lvs", "-a"), Token));
    }

    [Fact]
    public async Task A_program_that_did_not_start_replays_as_such()
    {
        StringWriter transcript = new();
        await Assert.ThrowsAsync<ProcessFailedException>(() => new RecordingProcessRunner(new ProcessRunner(), transcript).RunAsync(Command("pengx-no-such-program"), Token));

        ReplayingProcessRunner player = new(transcript.ToString().Split('\n'));
        await Assert.ThrowsAsync<ProcessFailedException>(() => player.RunAsync(Command("pengx-no-such-program"), Token));
    }

    private static ProcessCommand Command(string program, params string[] arguments) => new() { FileName = program, Arguments = arguments };
}
