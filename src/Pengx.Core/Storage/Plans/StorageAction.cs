using System.Buffers;

namespace Pengx;

/// <summary>One act of a storage plan: a program with its exact arguments, or something that is done without one. Its text is
/// what an operator reads before the plan is carried out; secrets are never in it.</summary>
public abstract record StorageAction
{
    private protected StorageAction()
    {
    }
}

/// <summary>A program to run. Exit codes other than 0 are failures unless <see cref="AlsoAccepted"/> lists them.</summary>
/// <param name="Command">The exact program and arguments; secrets go in by <see cref="ProcessCommand.Input"/>.</param>
public sealed record ToolAction(ProcessCommand Command) : StorageAction
{
    private static readonly SearchValues<char> Plain = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+,-./:=@_%");

    /// <summary>Exit codes that mean success, too, such as "there is such a session already".</summary>
    public IReadOnlyList<int> AlsoAccepted { get; init; } = [];

    /// <summary>Makes an action of a program and its arguments.</summary>
    /// <param name="fileName">A name looked up in PATH, or an absolute path.</param>
    /// <param name="arguments">Its arguments.</param>
    public static ToolAction Of(string fileName, params IReadOnlyList<string> arguments) => new(new ProcessCommand { FileName = fileName, Arguments = arguments });

    /// <summary>The command line as a shell would read it; what goes to standard input is told by its length alone.</summary>
    public override string ToString()
    {
        var line = string.Join(' ', Command.Arguments.Prepend(Command.FileName).Select(Quote));
        return Command.Input.IsEmpty ? line : $"{line}   # with {Command.Input.Length} bytes on standard input";
    }

    private static string Quote(string argument) =>
        argument.Length > 0 && !argument.AsSpan().ContainsAnyExcept(Plain) ? argument : $"'{argument.Replace("'", @"'\''", StringComparison.Ordinal)}'";
}

/// <summary>Something that is done without a program, such as writing a configuration file.</summary>
/// <param name="Text">What is done, with all that it is done to: <c>write /etc/exports.d/vm.exports</c>.</param>
/// <param name="PerformAsync">Does it; must be safe to do again.</param>
public sealed record NativeAction(string Text, Func<CancellationToken, Task> PerformAsync) : StorageAction
{
    /// <summary>How long it may take.</summary>
    public TimeSpan Timeout { get; init; } = ProcessCommand.DefaultTimeout;

    /// <summary>The text.</summary>
    public override string ToString() => Text;
}
