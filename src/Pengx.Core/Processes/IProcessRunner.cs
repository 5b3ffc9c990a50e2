namespace Pengx;

/// <summary>The port to external programs: never through a shell, always with a deadline, never leaving a process behind.</summary>
public interface IProcessRunner
{
    /// <summary>Runs a program to its end and returns what it printed, whatever its exit code.</summary>
    /// <param name="command">What to run.</param>
    /// <param name="cancellationToken">Ends the program with everything it started: politely first, then by force.</param>
    /// <exception cref="ProcessFailedException">The program cannot be started, or was ended at its deadline or because it stood still.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the program and its children are gone.</exception>
    Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default);
}

/// <summary>A program to run. Immutable, and safe to log: secrets go in by <see cref="Input"/>, never as arguments.</summary>
public sealed record ProcessCommand
{
    /// <summary>How long a program may take unless told otherwise.</summary>
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(60);

    /// <summary>The program: a name looked up in PATH, or an absolute path.</summary>
    public required string FileName { get; init; }

    /// <summary>Its arguments, each passed as it is.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];

    /// <summary>Environment variables set beside the inherited ones; <c>LC_ALL=C</c> always is.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>What the program reads on its standard input; it is closed at once without one.</summary>
    public ReadOnlyMemory<byte> Input { get; init; }

    /// <summary>How long the program may take.</summary>
    public TimeSpan Timeout { get; init; } = DefaultTimeout;

    /// <summary>How long the program may stand still: say nothing, and read and write less than 64 KiB, whatever that is (<c>rchar</c>
    /// and <c>wchar</c> of <c>/proc/PID/io</c>). For one that may take any time as long as it moves. Not watched by default, nor
    /// where the kernel does not show it.</summary>
    public TimeSpan StallTimeout { get; init; } = System.Threading.Timeout.InfiniteTimeSpan;

    /// <summary>How many bytes of each output are kept; what comes after is read and dropped.</summary>
    public int MaxOutputBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Whether the kernel kills the program when this process ends, however it does: for one that a next run of its work
    /// must not meet, and that may be killed at any moment. One that should rather finish what it began lives on without it. Not for
    /// programs that change to another user. Needs <c>setpriv</c> of util-linux.</summary>
    /// <remarks>Not what the program starts in turn. Should this process end before the program has begun (two calls of
    /// <c>exec</c>), the program lives.</remarks>
    public bool EndsWithParent { get; init; }

    /// <summary>Told of each line of standard output as it comes; a carriage return ends a line too, as progress displays use it.</summary>
    public Action<string>? OnOutputLine { get; init; }
}

/// <summary>How a program ended.</summary>
/// <param name="Command">What was run.</param>
/// <param name="ExitCode">Its exit code; 128 + n when signal n ended it.</param>
/// <param name="Output">Its standard output.</param>
/// <param name="Error">Its standard error.</param>
public sealed record ProcessResult(ProcessCommand Command, int ExitCode, string Output, string Error)
{
    /// <summary>Returns this result when the exit code is 0.</summary>
    /// <exception cref="ProcessFailedException">It is not; the message has the end of the standard error.</exception>
    public ProcessResult EnsureSuccess() => ExitCode == 0 ? this : throw ProcessFailedException.Exited(this);
}
