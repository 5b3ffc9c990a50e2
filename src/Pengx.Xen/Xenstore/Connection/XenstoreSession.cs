using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Pengx.Xen;

/// <summary>What the client gets to know of its session, on the thread that reads: it must not wait.</summary>
internal interface IXenstoreEvents
{
    /// <summary>A watch's event.</summary>
    void OnEvent(ReadOnlySpan<byte> path, ReadOnlySpan<byte> token);
}

/// <summary>One connection to a daemon, from its start to its end. A request waits in a table for its answer; the part that reads is in another file.</summary>
internal sealed partial class XenstoreSession
{
    /// <summary>How many bits of a request's id are its place in the table; the rest counts how often the place was used.</summary>
    private const int PlaceBits = 20;
    private const int MaxPlaces = 1 << PlaceBits;
    private const int KeptRequests = 256;

    private static int s_sessions;

    private readonly Lock _gate = new();
    private readonly XenstoreTransport _transport;
    private readonly XenstoreClientOptions _options;
    private readonly IXenstoreEvents _events;
    private readonly ILogger _logger;
    private readonly TimeProvider _clock;
    private readonly long _timeout;
    private readonly int _number = Interlocked.Increment(ref s_sessions);
    private readonly ITimer _deadlines;
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Stack<XenstoreRequest> _spare = new();

    private Place[] _places = new Place[16];
    private int _placesUsed;
    private int _freePlace = -1;
    private int _waiting;
    private long _nextDeadline = long.MaxValue;

    private OutgoingBuffer _outgoing = new();
    private OutgoingBuffer _sending = new();
    private bool _isWriting;

    // Of a device: what was written and is not answered. Below zero for the moment in which an answer overtakes its writer.
    private int _unanswered;

    private bool _isClosed;
    private Exception? _reason;

    internal XenstoreSession(XenstoreTransport transport, XenstoreEndPoint endPoint, XenstoreClientOptions options, ILogger logger, IXenstoreEvents events)
    {
        _transport = transport;
        _options = options;
        _events = events;
        _logger = logger;
        _clock = options.TimeProvider;
        _timeout = options.RequestTimeout == Timeout.InfiniteTimeSpan ? long.MaxValue : (long)(options.RequestTimeout.TotalSeconds * _clock.TimestampFrequency);
        using (Detached())
        {
            _deadlines = _clock.CreateTimer(static session => ((XenstoreSession)session!).ExpireOverdue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            StartReading();
        }

        XenstoreLog.Connected(logger, _number, endPoint.Path);
    }

    /// <summary>A place of the table: free, taken by a request that waits, or taken by one that was given up and whose answer is still due.</summary>
    private struct Place
    {
        internal XenstorePending? Pending;
        internal XenstoreOperation Operation;
        internal XenstoreWatch? Watch;
        internal uint Transaction;
        internal uint Uses;
        internal int NextFree;
        internal bool IsTaken;
    }

    /// <summary>Completes when the session is over and nobody uses its descriptor any more: with the reason, or null if its owner closed it.</summary>
    internal Task<Exception?> Ended => _ended.Task;

    internal bool IsClosed => Volatile.Read(ref _isClosed);

    /// <summary>Whether the connection to the daemon is the kernel's own, which every driver of it uses, too.</summary>
    internal bool IsOfKernel => _transport.IsDevice;

    internal XenstoreClientOptions Options => _options;

    /// <summary>Ends the session; its open requests fail.</summary>
    internal void Close() => Close(null);

    /// <summary>Ends the session because of what the peer sent.</summary>
    internal XenstoreProtocolException Distrust(XenstoreOperation operation, FormatException fault)
    {
        XenstoreProtocolException reason = new($"The answer of {operation.Name()} is not the xenstore protocol: {fault.Message}.", fault);
        Close(reason);
        return reason;
    }

    /// <summary>Sends a request that a caller awaits. What breaks a limit is refused before anything is sent.</summary>
    internal XenstoreRequest Send(
        XenstoreOperation operation,
        uint transaction,
        XenstoreAnswer answer,
        string? subject,
        string? text,
        ReadOnlySpan<byte> rest,
        CancellationToken cancellationToken,
        XenstoreWatch? watch = null)
    {
        var length = OutgoingBuffer.PayloadLength(text, rest);
        RequireFit(operation, subject, length);
        var activity = StartActivity(operation);
        XenstoreRequest request;
        var mustFlush = false;
        Exception? refusal = null;
        lock (_gate)
        {
            request = _spare.TryPop(out var spare) ? spare : new XenstoreRequest(this);
            request.Answer = answer;
            request.Subject = subject;
            request.Watch = watch;
            request.Activity = activity;
            if (cancellationToken.IsCancellationRequested)
            {
                request.Operation = operation;
                refusal = new OperationCanceledException(cancellationToken);
            }
            else if (!TryEnqueue(request, operation, transaction, text, rest, length, out mustFlush))
            {
                refusal = EndedError();
            }
        }

        if (refusal is not null)
        {
            request.Fail(refusal);
            return request;
        }

        if (cancellationToken.CanBeCanceled)
        {
            request.CancelWith(cancellationToken);
        }

        if (mustFlush)
        {
            Flush();
        }

        return request;
    }

    /// <summary>Sends a request whose answer is taken on the thread that reads; false if the session is over.</summary>
    internal bool TrySend(XenstorePending pending, XenstoreOperation operation, uint transaction, string? text, ReadOnlySpan<byte> rest)
    {
        var length = OutgoingBuffer.PayloadLength(text, rest);
        RequireFit(operation, text, length);
        bool mustFlush;
        lock (_gate)
        {
            if (!TryEnqueue(pending, operation, transaction, text, rest, length, out mustFlush))
            {
                return false;
            }
        }

        if (mustFlush)
        {
            Flush();
        }

        return true;
    }

    /// <summary>Takes a request out of the table whose caller has given up; false if it was settled already.</summary>
    internal bool Abandon(XenstorePending pending)
    {
        lock (_gate)
        {
            ref var place = ref _places[pending.Id & (MaxPlaces - 1)];
            if (place.Pending != pending)
            {
                return false;
            }

            place.Pending = null;
            _waiting--;
            return true;
        }
    }

    /// <summary>Takes back a request whose result was taken.</summary>
    internal void Return(XenstoreRequest request)
    {
        request.Reset();
        lock (_gate)
        {
            if (_spare.Count < KeptRequests)
            {
                _spare.Push(request);
            }
        }
    }

    /// <summary>Telemetry of a settled request.</summary>
    internal void Finish(XenstorePending pending, Exception? failure)
    {
        if (XenstoreDiagnostics.RequestDuration.Enabled)
        {
            var seconds = _clock.GetElapsedTime(pending.Started).TotalSeconds;
            KeyValuePair<string, object?> operation = new(XenstoreDiagnostics.OperationTag, pending.Operation.Name());
            if (failure is null)
            {
                XenstoreDiagnostics.RequestDuration.Record(seconds, operation);
            }
            else
            {
                XenstoreDiagnostics.RequestDuration.Record(seconds, operation, new(XenstoreDiagnostics.ErrorTag, (failure as XenstoreException)?.Error ?? failure.GetType().Name));
            }
        }

        if (pending.Activity is { } activity)
        {
            if (failure is not null)
            {
                activity.SetTag(XenstoreDiagnostics.ErrorTag, (failure as XenstoreException)?.Error ?? failure.GetType().Name);
                activity.SetStatus(ActivityStatusCode.Error, failure.Message);
            }

            // Stopping makes its parent the current activity of this thread, which has nothing to do with it.
            var current = Activity.Current;
            activity.Dispose();
            Activity.Current = current;
        }
    }

    /// <summary>What outlives the call that starts it must not log or trace as a part of it.</summary>
    internal static AsyncFlowControl? Detached() => ExecutionContext.IsFlowSuppressed() ? null : ExecutionContext.SuppressFlow();

    private static Activity? StartActivity(XenstoreOperation operation)
    {
        if (!XenstoreDiagnostics.Activities.HasListeners())
        {
            return null;
        }

        var current = Activity.Current;
        var activity = XenstoreDiagnostics.Activities.StartActivity($"xenstore {operation.Name()}", ActivityKind.Client);
        activity?.SetTag(XenstoreDiagnostics.OperationTag, operation.Name());
        Activity.Current = current;
        return activity;
    }

    private void RequireFit(XenstoreOperation operation, string? subject, int length)
    {
        if (length > _transport.MaxPayload)
        {
            throw new ArgumentException(
                $"{operation.Name()}{(subject is null ? string.Empty : $" of '{(subject.Length <= 100 ? subject : $"{subject[..100]}…")}'")} takes {length} bytes; a message holds at most {_transport.MaxPayload}, path, value and the NUL bytes between them together.");
        }
    }

    /// <summary>Under the gate: gives a request its place and writes it to the buffer. The caller then has to send, if nobody is at it.</summary>
    private bool TryEnqueue(XenstorePending pending, XenstoreOperation operation, uint transaction, string? text, ReadOnlySpan<byte> rest, int length, out bool mustFlush)
    {
        pending.Operation = operation;
        pending.Transaction = transaction;
        pending.Started = _clock.GetTimestamp();
        mustFlush = false;
        if (_isClosed)
        {
            return false;
        }

        pending.Deadline = _timeout == long.MaxValue ? long.MaxValue : pending.Started + _timeout;
        pending.Id = Take(pending);
        _outgoing.Write(operation, pending.Id, transaction, text, rest, length);
        Arm(pending.Deadline);
        mustFlush = !_isWriting;
        _isWriting = true;
        return true;
    }

    /// <summary>Under the gate: a place for a request, and the id that names it.</summary>
    private uint Take(XenstorePending pending)
    {
        int index;
        if (_freePlace >= 0)
        {
            index = _freePlace;
            _freePlace = _places[index].NextFree;
        }
        else
        {
            index = _placesUsed < MaxPlaces ? _placesUsed++ : throw new InvalidOperationException($"{MaxPlaces} requests wait for an answer: a connection takes no more at once.");
            if (index == _places.Length)
            {
                Array.Resize(ref _places, index * 2);
            }
        }

        ref var place = ref _places[index];
        place.Pending = pending;
        place.Operation = pending.Operation;
        place.Transaction = pending.Transaction;
        place.Watch = pending.Watch;
        place.IsTaken = true;

        // Never 0, which events have.
        place.Uses = (place.Uses + 1) & (uint.MaxValue >> PlaceBits);
        if (place.Uses == 0)
        {
            place.Uses = 1;
        }

        _waiting++;
        return (place.Uses << PlaceBits) | (uint)index;
    }

    /// <summary>Sends what there is. Whoever comes meanwhile leaves its message here, so that one call sends many.</summary>
    /// <param name="mayWait">Whether this thread may wait until the daemon reads.</param>
    private void Flush(bool mayWait = false)
    {
        while (true)
        {
            lock (_gate)
            {
                if (_isClosed || (_outgoing.IsEmpty && _sending.IsEmpty) || _unanswered > 0)
                {
                    _isWriting = false;
                    return;
                }

                if (_sending.IsEmpty)
                {
                    (_outgoing, _sending) = (_sending, _outgoing);
                }
            }

            if (!TryWriteAll(mayWait))
            {
                return;
            }
        }
    }

    /// <summary>On the thread that reads: what a device had to be spared until now.</summary>
    private void GoOn()
    {
        lock (_gate)
        {
            if (_isWriting || _unanswered > 0 || (_outgoing.IsEmpty && _sending.IsEmpty))
            {
                return;
            }

            _isWriting = true;
        }

        Flush();
    }

    /// <summary>False if somebody else goes on, or nobody does: the flag that says that somebody writes stays up then.</summary>
    private bool TryWriteAll(bool mayWait)
    {
        try
        {
            while (!_sending.IsEmpty)
            {
                if (!_transport.TryWrite(_transport.IsDevice ? _sending.FirstUnsent : _sending.Unsent, out var written))
                {
                    // The daemon reads nothing for now. Callers never wait for that: a thread of its own does.
                    if (!mayWait)
                    {
                        using (Detached())
                        {
                            new Thread(() => Flush(mayWait: true)) { IsBackground = true, Name = "xenstore writer" }.Start();
                        }

                        return false;
                    }

                    _transport.WaitToWrite(TimeSpan.FromSeconds(1));
                    if (IsClosed)
                    {
                        return false;
                    }
                }

                _sending.Advance(written);
                if (_transport.IsDevice && written > 0)
                {
                    lock (_gate)
                    {
                        _unanswered++;
                    }

                    return true;
                }
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException)
        {
            // A daemon that has gone may have said something before it went: on a socket the reader meets that and then the end.
            if (_transport.IsDevice)
            {
                Close(new XenstoreDisconnectedException($"The connection broke: {exception.Message}", exception));
            }

            return false;
        }
    }

    /// <summary>Ends the session once; null means that its owner closed it.</summary>
    private void Close(Exception? reason)
    {
        List<XenstorePending> waiting = [];
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            _reason = reason;
            for (var i = 0; i < _placesUsed; i++)
            {
                if (_places[i].Pending is { } pending)
                {
                    waiting.Add(pending);
                    _places[i].Pending = null;
                }
            }

            _waiting = 0;
        }

        XenstoreLog.Ended(_logger, reason is null ? LogLevel.Debug : LogLevel.Warning, _number, reason?.Message ?? "closed by its owner");
        _transport.Abort();
        foreach (var pending in waiting)
        {
            pending.Fail(EndedError());
        }

        _deadlines.Dispose();
        EndReading();
    }

    private XenstoreDisconnectedException EndedError() => _reason switch
    {
        null => new XenstoreDisconnectedException("The xenstore client was closed."),
        XenstoreDisconnectedException gone => new XenstoreDisconnectedException(gone.Message, gone.InnerException),
        var other => new XenstoreDisconnectedException($"The connection to xenstored ended: {other.Message}", other),
    };

    /// <summary>Under the gate: one timer serves all deadlines, and is set only for one that is earlier than what it waits for.</summary>
    private void Arm(long deadline)
    {
        if (deadline >= _nextDeadline)
        {
            return;
        }

        _nextDeadline = deadline;
        var milliseconds = Math.Ceiling((deadline - _clock.GetTimestamp()) * 1000.0 / _clock.TimestampFrequency);
        _deadlines.Change(TimeSpan.FromMilliseconds(Math.Max(milliseconds, 1)), Timeout.InfiniteTimeSpan);
    }

    private void ExpireOverdue()
    {
        var now = _clock.GetTimestamp();
        List<XenstorePending> overdue = [];
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            var next = long.MaxValue;
            for (var i = 0; i < _placesUsed; i++)
            {
                if (_places[i].Pending is not { } pending)
                {
                    continue;
                }

                if (pending.Deadline <= now)
                {
                    _places[i].Pending = null;
                    _waiting--;
                    overdue.Add(pending);
                }
                else
                {
                    next = Math.Min(next, pending.Deadline);
                }
            }

            _nextDeadline = long.MaxValue;
            Arm(next);
        }

        foreach (var pending in overdue)
        {
            XenstoreLog.TimedOut(_logger, _number, pending.Operation.Name(), _options.RequestTimeout);
            pending.Fail(new XenstoreTimeoutException(pending.Operation.Name(), _options.RequestTimeout));
        }
    }
}
