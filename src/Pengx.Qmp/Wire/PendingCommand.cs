using System.Runtime.InteropServices;
using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>A command on its way, seen without its types.</summary>
internal interface IPendingCommand
{
    string Name { get; }

    TimeSpan Timeout { get; }

    /// <summary>The timestamp at which the wait is over.</summary>
    long Deadline { get; }

    /// <summary>Whether it overtakes.</summary>
    bool OutOfBand { get; }

    /// <summary>What goes with it.</summary>
    SafeHandle? Descriptor { get; }

    /// <summary>Whether nobody waits any more.</summary>
    bool IsSettled { get; }

    void Write(Utf8JsonWriter writer);

    /// <summary>Reads the result; returns what was wrong with it, or null.</summary>
    Exception? Complete(ReadOnlySpan<byte> result, JsonReaderOptions options);

    void Fail(Exception exception);
}

internal sealed class PendingCommand<TArguments, TResult> : TaskCompletionSource<TResult>, IPendingCommand
{
    private readonly QmpCommand<TArguments, TResult> _command;
    private readonly TArguments _arguments;
    private readonly QmpExecution? _execution;
    private readonly TimeProvider _clock;
    private readonly long _started;
    private CancellationTokenRegistration _cancellation;

    internal PendingCommand(QmpCommand<TArguments, TResult> command, TArguments arguments, TimeSpan timeout, QmpExecution? execution, TimeProvider clock)
        : base(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        _command = command;
        _arguments = arguments;
        _execution = execution;
        _clock = clock;
        _started = clock.GetTimestamp();
        Timeout = timeout;
        Deadline = timeout == System.Threading.Timeout.InfiniteTimeSpan
            ? long.MaxValue
            : _started + (long)(timeout.TotalSeconds * clock.TimestampFrequency);
    }

    public string Name => _command.Name;

    public TimeSpan Timeout { get; }

    public long Deadline { get; }

    public bool OutOfBand => _execution?.OutOfBand == true;

    public SafeHandle? Descriptor => _execution?.Descriptor;

    public bool IsSettled => Task.IsCompleted;

    public void Write(Utf8JsonWriter writer)
    {
        if (typeof(TArguments) != typeof(QmpEmpty))
        {
            writer.WritePropertyName("arguments"u8);
            JsonSerializer.Serialize(writer, _arguments, _command.Arguments);
        }
    }

    public Exception? Complete(ReadOnlySpan<byte> result, JsonReaderOptions options)
    {
        try
        {
            if (typeof(TResult) == typeof(QmpEmpty))
            {
                Succeed((TResult)(object)QmpEmpty.Instance);
                return null;
            }

            Utf8JsonReader reader = new(result, options);
            TResult? value = JsonSerializer.Deserialize(ref reader, _command.Result);
            if (value is null)
            {
                throw new JsonException("The result is null.");
            }

            Succeed(value);
            return null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or NotSupportedException or FormatException or ArgumentException)
        {
            // The line was sound, so the session is too; only this caller's type does not fit what QEMU says.
            Fail(new QmpProtocolException($"The result of '{Name}' does not fit {typeof(TResult).Name}.", exception));
            return exception;
        }
    }

    public void Fail(Exception exception)
    {
        if (TrySetException(exception))
        {
            // A caller that gave up must not meet its command's error again as an unobserved one.
            _ = Task.Exception;
            Settle(exception.GetType().Name);
        }
    }

    /// <summary>To be called before the command is queued, so that settling it always finds the registration.</summary>
    internal void CancelWith(CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
        {
            _cancellation = cancellationToken.UnsafeRegister(
                static (state, token) =>
                {
                    PendingCommand<TArguments, TResult> pending = (PendingCommand<TArguments, TResult>)state!;
                    if (pending.TrySetCanceled(token))
                    {
                        pending.Settle(nameof(OperationCanceledException));
                    }
                },
                this);
        }
    }

    private void Succeed(TResult value)
    {
        if (TrySetResult(value))
        {
            Settle(null);
        }
    }

    private void Settle(string? error)
    {
        _cancellation.Unregister();
        if (QmpDiagnostics.CommandDuration.Enabled)
        {
            double seconds = _clock.GetElapsedTime(_started).TotalSeconds;
            KeyValuePair<string, object?> command = new(QmpDiagnostics.CommandTag, Name);
            if (error is null)
            {
                QmpDiagnostics.CommandDuration.Record(seconds, command);
            }
            else
            {
                QmpDiagnostics.CommandDuration.Record(seconds, command, new(QmpDiagnostics.ErrorTag, error));
            }
        }
    }
}
