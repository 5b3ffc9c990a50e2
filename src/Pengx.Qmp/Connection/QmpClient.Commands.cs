using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Pengx.Qmp;

// Sending. Commands queue in order of the calls; whoever finds nobody writing writes all that the window allows, so that a
// socket with room costs no thread switch. A command keeps its place in the window until QEMU replies, even if its caller has
// given up: QEMU still has it.
public sealed partial class QmpClient
{
    /// <summary>Out-of-band commands are carried out as they come, so this only bounds what a client can pile up.</summary>
    private const int MaxUrgentInFlight = 8;

    private static readonly TimeSpan s_drainTime = TimeSpan.FromSeconds(1);

    private readonly Dictionary<long, IPendingCommand> _inFlight = [];
    private readonly Queue<IPendingCommand> _queue = new();
    private readonly Queue<IPendingCommand> _urgent = new();
    private readonly List<(long Id, IPendingCommand Pending)> _batch = [];
    private readonly PooledBufferWriter _outgoing = new();
    private readonly Utf8JsonWriter _writer;
    private readonly ITimer _deadlines;
    private long _lastId;
    private long _nextDeadline = long.MaxValue;
    private int _compactAt = 64;
    private int _urgentInFlight;
    private bool _isPassing;
    private SafeHandle? _passing;
    private int _passAt;
    private bool _isWriting;
    private Exception? _writeError;
    private long _drainDeadline = long.MaxValue;

    /// <inheritdoc/>
    public Task<TResult> ExecuteAsync<TArguments, TResult>(QmpCommand<TArguments, TResult> command, TArguments arguments, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(arguments);
        TimeSpan timeout = command.Timeout ?? _options.CommandTimeout;
        return QmpDiagnostics.Activities.HasListeners()
            ? ExecuteTracedAsync(command, arguments, timeout, null, cancellationToken)
            : Enqueue(command, arguments, timeout, null, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<TResult> ExecuteWithAsync<TArguments, TResult>(
        QmpCommand<TArguments, TResult> command, TArguments arguments, QmpExecution execution, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(execution);
        if (execution.OutOfBand && !_isOutOfBandEnabled)
        {
            throw new InvalidOperationException("Out-of-band execution was not negotiated: this QEMU does not offer it, or the options exclude it.");
        }

        if (execution.OutOfBand && execution.Descriptor is not null)
        {
            throw new ArgumentException("A file descriptor goes with an ordinary command: one out of band could take another's.", nameof(execution));
        }

        if (execution.Descriptor is not null && !DescriptorPassing.IsPossibleOver(_stream))
        {
            throw new InvalidOperationException("File descriptors can be passed over a unix socket only.");
        }

        if (execution.Descriptor is { } descriptor)
        {
            // A copy, so that the caller may close its own at any time.
            execution = execution with { Descriptor = DescriptorPassing.Duplicate(descriptor) };
        }

        TimeSpan timeout = command.Timeout ?? _options.CommandTimeout;
        return QmpDiagnostics.Activities.HasListeners()
            ? ExecuteTracedAsync(command, arguments, timeout, execution, cancellationToken)
            : Enqueue(command, arguments, timeout, execution, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<JsonElement> ExecuteRawAsync(string command, JsonElement? arguments = null, CancellationToken cancellationToken = default)
    {
        if (arguments is not { } given)
        {
            return ExecuteAsync(
                new QmpCommand<QmpEmpty, JsonElement>(command, QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.JsonElement), QmpEmpty.Instance, cancellationToken);
        }

        if (given.ValueKind != JsonValueKind.Object)
        {
            throw new ArgumentException($"The arguments of a QMP command are a JSON object, not {given.ValueKind}.", nameof(arguments));
        }

        return ExecuteAsync(
            new QmpCommand<JsonElement, JsonElement>(command, QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.JsonElement), given, cancellationToken);
    }

    private async Task<TResult> ExecuteTracedAsync<TArguments, TResult>(
        QmpCommand<TArguments, TResult> command, TArguments arguments, TimeSpan timeout, QmpExecution? execution, CancellationToken cancellationToken)
    {
        using Activity? activity = QmpDiagnostics.Activities.StartActivity($"qmp {command.Name}", ActivityKind.Client);
        activity?.SetTag(QmpDiagnostics.CommandTag, command.Name);
        try
        {
            return await Enqueue(command, arguments, timeout, execution, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            activity?.SetTag(QmpDiagnostics.ErrorTag, exception.GetType().Name);
            activity?.SetStatus(ActivityStatusCode.Error, exception.Message);
            throw;
        }
    }

    private Task<TResult> Enqueue<TArguments, TResult>(
        QmpCommand<TArguments, TResult> command, TArguments arguments, TimeSpan timeout, QmpExecution? execution, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return Task.FromCanceled<TResult>(cancellationToken);
        }

        PendingCommand<TArguments, TResult> pending = new(command, arguments, timeout, execution, _options.TimeProvider);
        pending.CancelWith(cancellationToken);
        bool isOver;
        lock (_gate)
        {
            isOver = _state >= QmpConnectionState.Closing;
            if (!isOver)
            {
                if (pending.OutOfBand)
                {
                    _urgent.Enqueue(pending);
                }
                else
                {
                    if (_queue.Count >= _compactAt)
                    {
                        CompactQueue();
                    }

                    _queue.Enqueue(pending);
                }

                Arm(pending.Deadline);
            }
        }

        if (isOver)
        {
            pending.Fail(Ended());
        }
        else
        {
            _ = SendQueuedAsync();
        }

        return pending.Task;
    }

    /// <summary>Runs on the caller's thread as long as the stream takes what it is given. Never throws.</summary>
    private async Task SendQueuedAsync()
    {
        lock (_gate)
        {
            if (_isWriting || !TakeBatch())
            {
                return;
            }

            _isWriting = true;
        }

        while (true)
        {
            try
            {
                WriteBatch();
                if (_outgoing.Length > 0)
                {
                    ReadOnlyMemory<byte> rest = _outgoing.Written;
                    if (_passing is { } passing)
                    {
                        await WriteAsync(rest[.._passAt]).ConfigureAwait(false);
                        await DescriptorPassing.SendAsync(_stream, passing, rest.Slice(_passAt, 1), _stopping.Token).ConfigureAwait(false);
                        rest = rest[(_passAt + 1)..];
                    }

                    await WriteAsync(rest).ConfigureAwait(false);
                    await _stream.FlushAsync(_stopping.Token).ConfigureAwait(false);
                }
            }
            catch (Exception exception) when (exception is IOException or SocketException or ObjectDisposedException or OperationCanceledException or InvalidOperationException or NotSupportedException)
            {
                StopWriting(exception);
                return;
            }

            _outgoing.Clear();
            lock (_gate)
            {
                if (!TakeBatch())
                {
                    _isWriting = false;
                    return;
                }
            }
        }
    }

    private ValueTask WriteAsync(ReadOnlyMemory<byte> bytes) => _writesSingleBytes ? WriteSingleBytesAsync(bytes) : _stream.WriteAsync(bytes, _stopping.Token);

    private async ValueTask WriteSingleBytesAsync(ReadOnlyMemory<byte> bytes)
    {
        for (int at = 0; at < bytes.Length; at++)
        {
            await _stream.WriteAsync(bytes.Slice(at, 1), _stopping.Token).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// A peer that no longer takes commands may have sent its last words before it went: they are read first. The writing flag
    /// stays up, so nothing more is sent.
    /// </summary>
    private void StopWriting(Exception exception)
    {
        _outgoing.Dispose();
        lock (_gate)
        {
            if (_state < QmpConnectionState.Closing)
            {
                _writeError = exception;
                _drainDeadline = _options.TimeProvider.GetTimestamp() + (long)(s_drainTime.TotalSeconds * _options.TimeProvider.TimestampFrequency);
                Arm(_drainDeadline);
            }
        }
    }

    /// <summary>Under the gate: moves what the window allows from the queue into flight.</summary>
    private bool TakeBatch()
    {
        _batch.Clear();
        if (_state >= QmpConnectionState.Closing)
        {
            return false;
        }

        while (_urgentInFlight < MaxUrgentInFlight && _urgent.TryDequeue(out IPendingCommand? urgent))
        {
            if (!urgent.IsSettled)
            {
                _urgentInFlight++;
                Take(urgent);
            }
        }

        while (_inFlight.Count - _urgentInFlight < _options.MaxInFlight && _queue.TryPeek(out IPendingCommand? pending))
        {
            if (!pending.IsSettled && pending.Descriptor is not null && _isPassing)
            {
                // QEMU keeps the last descriptors that came, not one set for each command: two such commands at once would mix them up.
                break;
            }

            _queue.Dequeue();
            if (pending.IsSettled)
            {
                pending.Descriptor?.Dispose();
            }
            else
            {
                _isPassing |= pending.Descriptor is not null;
                Take(pending);
            }
        }

        return _batch.Count > 0;

        void Take(IPendingCommand pending)
        {
            long id = ++_lastId;
            _inFlight.Add(id, pending);
            _batch.Add((id, pending));
        }
    }

    /// <summary>Under the gate: a command has left the window.</summary>
    private void Release(IPendingCommand pending)
    {
        if (pending.OutOfBand)
        {
            _urgentInFlight--;
        }

        if (pending.Descriptor is not null)
        {
            _isPassing = false;
            pending.Descriptor.Dispose();
        }
    }

    private void WriteBatch()
    {
        _passing = null;
        foreach ((long id, IPendingCommand pending) in _batch)
        {
            int start = _outgoing.Length;
            try
            {
                _writer.Reset(_outgoing);
                _writer.WriteStartObject();
                _writer.WriteString(pending.OutOfBand ? "exec-oob"u8 : "execute"u8, pending.Name);
                pending.Write(_writer);
                _writer.WriteNumber("id"u8, id);
                _writer.WriteEndObject();
                _writer.Flush();
                RequireAcceptable(_outgoing.Written.Span[start..], pending.Name);
                if (pending.Descriptor is { } descriptor)
                {
                    // Only now, when nothing can fail any more: the descriptor goes with the first byte of its own command.
                    (_passing, _passAt) = (descriptor, start);
                }

                if (_wire.IsEnabled(LogLevel.Trace))
                {
                    Log.Sent(_wire, _session, WireMask.Command(_outgoing.Written.Span[start..]));
                }

                _outgoing.GetSpan(1)[0] = (byte)'\n';
                _outgoing.Advance(1);
            }
#pragma warning disable CA1031 // Whatever a caller's own type throws while it is written is that caller's error, not the session's.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                _outgoing.Truncate(start);
                lock (_gate)
                {
                    if (_inFlight.Remove(id))
                    {
                        Release(pending);
                    }
                }

                pending.Fail(exception as ArgumentException
                    ?? new ArgumentException($"The arguments of '{pending.Name}' cannot be written as JSON: {exception.Message}", exception));
            }
        }
    }

    /// <summary>QEMU answers text that its parser refuses with an error that names no command, which would end the session for everyone.</summary>
    private void RequireAcceptable(ReadOnlySpan<byte> command, string name)
    {
        if (command.Length >= _options.MaxLineBytes)
        {
            throw new ArgumentException($"The arguments of '{name}' take {command.Length} bytes; the limit is {_options.MaxLineBytes}.");
        }

        ReadOnlySpan<byte> nul = "\\u0000"u8;
        int searched = 0;
        while (command[searched..].IndexOf(nul) is >= 0 and int found)
        {
            int at = searched + found;
            int backslashes = 0;
            while (at - backslashes - 1 >= 0 && command[at - backslashes - 1] == (byte)'\\')
            {
                backslashes++;
            }

            if (backslashes % 2 == 0)
            {
                throw new ArgumentException($"The arguments of '{name}' hold a NUL character, which QEMU does not accept in text.");
            }

            searched = at + nul.Length;
        }
    }

    private void Settle(scoped in QmpMessage message)
    {
        if (!message.HasId)
        {
            if (message.Kind == QmpMessageKind.Error)
            {
                (string errorClass, string description) = message.ReadError();
                throw new QmpProtocolException($"The peer reported an error for no command: {description} ({errorClass})");
            }

            throw new QmpProtocolException("The peer sent a reply for no command.");
        }

        IPendingCommand? pending;
        bool hasMore;
        lock (_gate)
        {
            if (_inFlight.Remove(message.Id, out pending))
            {
                Release(pending);
            }

            hasMore = _queue.Count > 0 || _urgent.Count > 0;
            if (pending is not null && message.Kind == QmpMessageKind.Return && pending.Name == QmpCommands.Quit.Name)
            {
                _quitAcknowledged = true;
            }
        }

        if (pending is null)
        {
            Log.UnknownId(_logger, _session);
            return;
        }

        if (hasMore)
        {
            // Before the result is read, which for a large one takes a while.
            _ = SendQueuedAsync();
        }

        if (pending.IsSettled)
        {
            Log.LateReply(_logger, _session, pending.Name);
        }
        else if (message.Kind == QmpMessageKind.Error)
        {
            (string errorClass, string description) = ReadErrorOf(message, pending);
            pending.Fail(new QmpCommandException(pending.Name, errorClass, description));
        }
        else if (pending.Complete(message.Payload, _readerOptions) is { } misfit)
        {
            Log.UnfitReply(_logger, _session, pending.Name, misfit.GetType().Name);
        }
    }

    private void LogReceived(ReadOnlySpan<byte> line, scoped in QmpMessage message)
    {
        string? command = null;
        if (message.HasId)
        {
            lock (_gate)
            {
                command = _inFlight.GetValueOrDefault(message.Id)?.Name;
            }
        }

        Log.Received(_wire, _session, WireMask.Message(line, command));
    }

    /// <summary>An error that cannot be read ends the session, so its own waiter must not be forgotten.</summary>
    private static (string Class, string Description) ReadErrorOf(scoped in QmpMessage message, IPendingCommand pending)
    {
        try
        {
            return message.ReadError();
        }
        catch (QmpProtocolException exception)
        {
            pending.Fail(new QmpDisconnectedException($"The QMP session ended: {exception.Message}", exception));
            throw;
        }
    }

    /// <summary>Under the gate: one timer serves all deadlines, and is set only for one that is earlier than what it waits for.</summary>
    private void Arm(long deadline)
    {
        if (deadline >= _nextDeadline)
        {
            return;
        }

        _nextDeadline = deadline;
        double milliseconds = Math.Ceiling((deadline - _options.TimeProvider.GetTimestamp()) * 1000.0 / _options.TimeProvider.TimestampFrequency);
        _deadlines.Change(TimeSpan.FromMilliseconds(Math.Max(milliseconds, 1)), Timeout.InfiniteTimeSpan);
    }

    private void ExpireOverdue()
    {
        long now = _options.TimeProvider.GetTimestamp();
        List<(IPendingCommand Pending, bool WasSent)> overdue = [];
        bool isDrained;
        lock (_gate)
        {
            if (_state == QmpConnectionState.Closed)
            {
                return;
            }

            long next = long.MaxValue;
            foreach (IPendingCommand pending in _inFlight.Values)
            {
                Sort(pending, wasSent: true);
            }

            CompactQueue();
            foreach (IPendingCommand pending in _queue.Concat(_urgent))
            {
                Sort(pending, wasSent: false);
            }

            isDrained = _drainDeadline <= now;
            _nextDeadline = long.MaxValue;
            Arm(Math.Min(next, _drainDeadline));

            void Sort(IPendingCommand pending, bool wasSent)
            {
                if (pending.IsSettled)
                {
                    return;
                }

                if (pending.Deadline <= now)
                {
                    overdue.Add((pending, wasSent));
                }
                else
                {
                    next = Math.Min(next, pending.Deadline);
                }
            }
        }

        foreach ((IPendingCommand pending, bool wasSent) in overdue)
        {
            Log.TimedOut(_logger, _session, pending.Name, pending.Timeout);
            string limit = $"within {pending.Timeout.TotalSeconds:0.###} s";
            pending.Fail(new QmpTimeoutException(
                wasSent
                    ? $"QEMU did not answer '{pending.Name}' {limit}. The outcome is unknown: QEMU may still carry it out."
                    : $"'{pending.Name}' found no turn {limit}, because QEMU answers none of the commands before it. It was not sent.",
                pending.Name,
                isOutcomeUnknown: wasSent));
        }

        if (isDrained)
        {
            Close(new QmpDisconnectedException($"The connection broke: {_writeError!.Message}", _writeError));
        }
    }

    /// <summary>Under the gate: lets go of queued commands whose callers have given up.</summary>
    private void CompactQueue()
    {
        for (int left = _queue.Count; left > 0; left--)
        {
            IPendingCommand pending = _queue.Dequeue();
            if (pending.IsSettled)
            {
                pending.Descriptor?.Dispose();
            }
            else
            {
                _queue.Enqueue(pending);
            }
        }

        _compactAt = Math.Max(64, _queue.Count * 2);
    }
}
