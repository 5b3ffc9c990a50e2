using System.Globalization;

namespace Pengx;

/// <summary>An external program failed; the message carries its own words.</summary>
public sealed class ProcessFailedException : PengxException
{
    private const int MaxQuotedError = 2000;

    private ProcessFailedException(string program, int? exitCode, string message, Exception? innerException = null)
        : base(PengxErrorCode.ToolFailed, message, innerException)
    {
        Program = program;
        ExitCode = exitCode;
    }

    /// <summary>The program.</summary>
    public string Program { get; }

    /// <summary>Its exit code; <see langword="null"/> when it never ran or was ended at its deadline.</summary>
    public int? ExitCode { get; }

    /// <summary>The program ended with an exit code that means failure.</summary>
    /// <param name="result">How it ended.</param>
    public static ProcessFailedException Exited(ProcessResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        var program = Path.GetFileName(result.Command.FileName);
        var error = Tail(result.Error.Trim());
        return new(program, result.ExitCode, string.Create(CultureInfo.InvariantCulture, $"{program} failed with exit code {result.ExitCode}: {(error.Length == 0 ? "it said nothing" : error)}"));
    }

    /// <summary>The program could not be started.</summary>
    /// <param name="command">What was to run.</param>
    /// <param name="cause">What the system said.</param>
    public static ProcessFailedException NotStarted(ProcessCommand command, Exception cause)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(cause);
        return new(command.FileName, null, $"{command.FileName} could not be started: {cause.Message}", cause);
    }

    /// <summary>Whether the program was ended because it stood still.</summary>
    public bool IsStall { get; private init; }

    /// <summary>The program was ended because it stood still.</summary>
    /// <param name="command">What ran.</param>
    /// <param name="error">What it had printed to its standard error.</param>
    public static ProcessFailedException Stalled(ProcessCommand command, string error)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(error);
        return Stopped(command, string.Create(CultureInfo.InvariantCulture, $"stood still for {command.StallTimeout.TotalSeconds:0.#} s"), error, isStall: true);
    }

    /// <summary>The program was ended because its time was over.</summary>
    /// <param name="command">What ran.</param>
    /// <param name="error">What it had printed to its standard error.</param>
    public static ProcessFailedException TimedOut(ProcessCommand command, string error)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(error);
        return Stopped(command, string.Create(CultureInfo.InvariantCulture, $"did not end within {command.Timeout.TotalSeconds:0.#} s"), error, isStall: false);
    }

    private static ProcessFailedException Stopped(ProcessCommand command, string what, string error, bool isStall)
    {
        var program = Path.GetFileName(command.FileName);
        var said = Tail(error.Trim());
        return new(program, null, $"{program} {what} and was stopped{(said.Length == 0 ? "." : $": {said}")}") { IsStall = isStall };
    }

    private static string Tail(string text) => text.Length <= MaxQuotedError ? text : $"…{text[^MaxQuotedError..]}";
}
