using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx;

/// <summary>Runs external programs, each as the leader of a session of its own, so that it can be ended with everything it
/// started. Safe to use from many threads.</summary>
/// <remarks>What a program leaves behind in its session when it ends is killed; a process that made a session of its own
/// (a daemon) is let go. Needs <c>setsid</c> of util-linux, and <c>setpriv</c> for what ends with this process.</remarks>
/// <param name="timeProvider">The clock; the system's when not given.</param>
/// <param name="logger">Told of programs that had to be stopped or given up.</param>
public sealed class ProcessRunner(TimeProvider? timeProvider = null, ILogger<ProcessRunner>? logger = null) : IProcessRunner
{
    private const int CannotExecute = 126;
    private const int NotFound = 127;

    // What a program reads and writes that only waits, for an answer that does not come, is less.
    private const long StallBytes = 64 * 1024;
    private const int StallLooks = 8;

    // What util-linux writes when the program it shall become cannot be executed.
    private static readonly string[] ExecutionFailures = ["setsid: failed to execute ", "setpriv: failed to execute "];

    // System tools live in sbin, which an ordinary user's PATH leaves out.
    private static readonly string[] SystemDirectories = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

    private readonly TimeProvider _time = timeProvider ?? TimeProvider.System;
    private readonly ILogger _logger = logger ?? NullLogger<ProcessRunner>.Instance;
    private readonly ConcurrentDictionary<int, AbandonedProcess> _abandoned = new();

    /// <summary>The programs that survived SIGKILL and are still there.</summary>
    public IReadOnlyCollection<AbandonedProcess> Abandoned => [.. _abandoned.Values];

    /// <summary>How long a program may take to end after SIGTERM.</summary>
    internal TimeSpan TerminationGrace { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>How long a program may take to disappear after SIGKILL before it is given up.</summary>
    internal TimeSpan KillGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the outputs may stay open after the program ended before its children are killed for it.</summary>
    internal TimeSpan DrainGrace { get; init; } = TimeSpan.FromSeconds(2);

    /// <inheritdoc/>
    public async Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default)
    {
        Validate(command);
        cancellationToken.ThrowIfCancellationRequested();
        var program = Resolve(command);
        var started = _time.GetTimestamp();

        using var deadline = new CancellationTokenSource(command.Timeout, _time);
        using var stalled = new CancellationTokenSource();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token, stalled.Token);
        using var pumping = new CancellationTokenSource();
        var process = command.EndsWithParent
            ? await LastingThread.RunAsync(() => Start(command, program)).ConfigureAwait(false)
            : Start(command, program);
        var group = new ProcessGroup(process.Id);
        var output = new CappedOutput(command.MaxOutputBytes, command.OnOutputLine);
        var error = new CappedOutput(command.MaxOutputBytes, null);
        var exited = process.WaitForExitAsync(CancellationToken.None);
        var feeding = FeedAsync(process, command.Input, pumping.Token);
        var outputs = Task.WhenAll(
            PumpAsync(output, process.StandardOutput.BaseStream, stop, pumping.Token),
            PumpAsync(error, process.StandardError.BaseStream, stop, pumping.Token));
        var watching = WatchAsync(command, process.Id, () => output.Count + error.Count, stalled, pumping.Token);

        var stopped = !await EndsAsync(exited, stop.Token).ConfigureAwait(false);
        var ended = !stopped || await StopAsync(group, exited).ConfigureAwait(false);

        var drained = await DrainAsync(group, outputs).ConfigureAwait(false);
        await pumping.CancelAsync().ConfigureAwait(false);
        await feeding.ConfigureAwait(false);
        await watching.ConfigureAwait(false);
        var failure = await FailureOfAsync(outputs, drained).ConfigureAwait(false);
        var exitCode = ended ? process.ExitCode : -1;
        if (ended)
        {
            process.Dispose();
        }
        else
        {
            Abandon(command, group, exited, process);
        }

        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }

        if (stopped)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (stalled.IsCancellationRequested)
            {
                _logger.ProcessTimedOut(command.FileName, group.Leader, command.StallTimeout);
                throw ProcessFailedException.Stalled(command, error.Text);
            }

            _logger.ProcessTimedOut(command.FileName, group.Leader, command.Timeout);
            throw ProcessFailedException.TimedOut(command, error.Text);
        }

        var result = new ProcessResult(command, exitCode, output.Text, error.Text);
        if (exitCode is CannotExecute or NotFound
            && ExecutionFailures.FirstOrDefault(words => result.Error.StartsWith(words, StringComparison.Ordinal)) is { } failed)
        {
            throw ProcessFailedException.NotStarted(command, new Win32Exception(result.Error[failed.Length..].Trim()));
        }

        _logger.ProcessEnded(command.FileName, group.Leader, exitCode, _time.GetElapsedTime(started));
        return result;
    }

    private static void Validate(ProcessCommand command)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentException.ThrowIfNullOrEmpty(command.FileName);
        ArgumentOutOfRangeException.ThrowIfNegative(command.MaxOutputBytes);
        if (command.Timeout <= TimeSpan.Zero && command.Timeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentOutOfRangeException(nameof(command), command.Timeout, "The time that a program may take must be positive.");
        }

        if (command.StallTimeout <= TimeSpan.Zero && command.StallTimeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentOutOfRangeException(nameof(command), command.StallTimeout, "The time that a program may stand still must be positive.");
        }

        if (command.FileName.Contains('/', StringComparison.Ordinal) && !Path.IsPathRooted(command.FileName))
        {
            throw new ArgumentException($"'{command.FileName}' is neither a name to look up in PATH nor an absolute path.", nameof(command));
        }

        // A zero byte would silently end the argument that the program sees.
        if (command.Arguments.Any(argument => argument.Contains('\0', StringComparison.Ordinal)))
        {
            throw new ArgumentException($"An argument of {command.FileName} contains a zero byte.", nameof(command));
        }
    }

    private static string Resolve(ProcessCommand command)
    {
        if (Path.IsPathRooted(command.FileName))
        {
            return File.Exists(command.FileName) ? command.FileName
                : throw ProcessFailedException.NotStarted(command, new FileNotFoundException("there is no such file."));
        }

        return Find(command, command.FileName);
    }

    // Never left to Process: it looks into the application's and the current directory first.
    private static string Find(ProcessCommand command, string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Where(Path.IsPathRooted)
            .Concat(SystemDirectories)
            .Select(directory => Path.Combine(directory, name))
            .FirstOrDefault(ProcessGroup.IsExecutable)
        ?? throw ProcessFailedException.NotStarted(command, new FileNotFoundException($"there is no program '{name}' in PATH; is it installed?"));

    private static Process Start(ProcessCommand command, string program)
    {
        // setsid, and setpriv after it, become the program itself (setsid forks only when it leads a group already, which a fresh
        // child never does): the process id is the program's, its group's and its session's.
        var start = new ProcessStartInfo(Find(command, "setsid"))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string[] wrapper = command.EndsWithParent ? ["--", Find(command, "setpriv"), "--pdeathsig", "KILL", "--", program] : ["--", program];
        foreach (var argument in wrapper.Concat(command.Arguments))
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in command.Environment)
        {
            start.Environment[name] = value;
        }

        start.Environment["LC_ALL"] = "C";
        var process = new Process { StartInfo = start };
        try
        {
            process.Start();
            return process;
        }
        catch (Win32Exception exception)
        {
            process.Dispose();
            throw ProcessFailedException.NotStarted(command, exception);
        }
    }

    private static async Task FeedAsync(Process process, ReadOnlyMemory<byte> input, CancellationToken cancellationToken)
    {
        var stream = process.StandardInput.BaseStream;
        await using (stream.ConfigureAwait(false))
        {
            try
            {
                if (!input.IsEmpty)
                {
                    await stream.WriteAsync(input, cancellationToken).ConfigureAwait(false);
                }
            }
            catch (Exception exception) when (exception is IOException or OperationCanceledException)
            {
                // A program need not read what it is given; its exit code tells whether it missed something.
            }
        }
    }

    /// <summary>Tells when a program has stood still for too long.</summary>
    private async Task WatchAsync(ProcessCommand command, int process, Func<long> said, CancellationTokenSource stalled, CancellationToken cancellationToken)
    {
        if (command.StallTimeout == Timeout.InfiniteTimeSpan)
        {
            return;
        }

        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(Math.Max(1, command.StallTimeout.TotalMilliseconds / StallLooks)), _time);
        var (heard, moved, still) = (said(), ProcessGroup.ReadAndWritten(process), 0);
        try
        {
            while (still < StallLooks && await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
            {
                var (hears, moves) = (said(), ProcessGroup.ReadAndWritten(process));
                if (hears != heard || moves is null || moved is null || moves - moved >= StallBytes)
                {
                    (heard, moved, still) = (hears, moves, 0);
                }
                else
                {
                    still++;
                }
            }

            await stalled.CancelAsync().ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // It has ended.
        }
    }

    private static async Task PumpAsync(CappedOutput output, Stream source, CancellationTokenSource stop, CancellationToken cancellationToken)
    {
        try
        {
            await output.ReadAsync(source, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // Nobody reads the program any more (the caller's callback threw): it must not run on, or hang on a full pipe.
            await stop.CancelAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            // Process closes only the outputs that it reads itself.
            await source.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static async Task<bool> EndsAsync(Task task, CancellationToken cancellationToken)
    {
        await task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return task.IsCompleted;
    }

    private async Task<bool> EndsWithinAsync(Task task, TimeSpan time)
    {
        await task.WaitAsync(time, _time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return task.IsCompleted;
    }

    /// <summary>SIGTERM to all, time to end, SIGKILL to what is left.</summary>
    /// <returns>Whether all of it is gone.</returns>
    private async Task<bool> StopAsync(ProcessGroup group, Task exited)
    {
        group.Signal(ProcessGroup.Terminate);
        if (await IsGoneWithinAsync(group, exited, TerminationGrace).ConfigureAwait(false))
        {
            return true;
        }

        group.Signal(ProcessGroup.Kill);
        return await IsGoneWithinAsync(group, exited, KillGrace).ConfigureAwait(false);
    }

    private async Task<bool> IsGoneWithinAsync(ProcessGroup group, Task exited, TimeSpan time)
    {
        var started = _time.GetTimestamp();
        if (!await EndsWithinAsync(exited, time).ConfigureAwait(false))
        {
            return false;
        }

        // The kernel tells of the end of our own child only; its children have to be looked for.
        while (group.IsAlive())
        {
            if (_time.GetElapsedTime(started) > time)
            {
                return false;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(10), _time).ConfigureAwait(false);
        }

        return true;
    }

    private async Task<bool> DrainAsync(ProcessGroup group, Task outputs)
    {
        var drained = await EndsWithinAsync(outputs, DrainGrace).ConfigureAwait(false);
        group.Sweep();
        return drained || await EndsWithinAsync(outputs, DrainGrace).ConfigureAwait(false);
    }

    private static async Task<Exception?> FailureOfAsync(Task outputs, bool drained)
    {
        await outputs.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return drained ? outputs.Exception?.InnerException : null;
    }

    private void Abandon(ProcessCommand command, ProcessGroup group, Task exited, Process process)
    {
        var program = Path.GetFileName(command.FileName);
        _abandoned[group.Leader] = new(group.Leader, program, _time.GetUtcNow());
        _logger.ProcessAbandoned(program, group.Leader);
        _ = WatchAsync();

        async Task WatchAsync()
        {
            var started = _time.GetTimestamp();
            await exited.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            while (group.IsAlive())
            {
                await Task.Delay(TimeSpan.FromSeconds(5), _time).ConfigureAwait(false);
            }

            process.Dispose();
            _abandoned.TryRemove(group.Leader, out _);
            _logger.AbandonedProcessGone(program, group.Leader, _time.GetElapsedTime(started));
        }
    }
}
