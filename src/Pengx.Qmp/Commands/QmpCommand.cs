using System.Text.Json.Serialization.Metadata;

namespace Pengx.Qmp;

/// <summary>A command as a value: its name, and how its arguments and its result are written in JSON. Make your own for a command that <see cref="QmpCommands"/> lacks.</summary>
/// <typeparam name="TArguments">The arguments; <see cref="QmpEmpty"/> for none. They are written as a JSON object.</typeparam>
/// <typeparam name="TResult">The result; <see cref="QmpEmpty"/> if QEMU returns nothing of interest.</typeparam>
public sealed class QmpCommand<TArguments, TResult>
{
    private readonly TimeSpan? _timeout;

    /// <summary>Describes a command.</summary>
    /// <param name="name">The command's name, as QEMU spells it.</param>
    /// <param name="arguments">How the arguments are written.</param>
    /// <param name="result">How the result is read.</param>
    public QmpCommand(string name, JsonTypeInfo<TArguments> arguments, JsonTypeInfo<TResult> result)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(result);
        Name = name;
        Arguments = arguments;
        Result = result;
    }

    /// <summary>The command's name, as QEMU spells it.</summary>
    public string Name { get; }

    /// <summary>How the arguments are written.</summary>
    public JsonTypeInfo<TArguments> Arguments { get; }

    /// <summary>How the result is read.</summary>
    public JsonTypeInfo<TResult> Result { get; }

    /// <summary>How long this command may take, if <see cref="QmpClientOptions.CommandTimeout"/> does not fit it.</summary>
    public TimeSpan? Timeout
    {
        get => _timeout;
        init
        {
            if (value is { } timeout)
            {
                QmpClientOptions.RequirePositive(timeout, nameof(Timeout));
            }

            _timeout = value;
        }
    }

    /// <inheritdoc/>
    public override string ToString() => Name;
}
