using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Pengx.Xen;

// Reading. One thread at a time has the reading role: it blocks in the system's read call, as the fastest client would, and settles
// what comes. An answer that nothing else waits behind is told on that very thread: a caller that sends one request after the other
// then never leaves it, and no answer waits for another thread to wake up. For that moment the thread lays the role down, so what the
// caller's code does holds nobody up: if it has not come back within two milliseconds, a second thread takes the role over.
internal sealed partial class XenstoreSession
{
    private const int ReceiveLength = 64 * 1024;

    /// <summary>For how many looks in a row nothing must have happened before the second thread sleeps for good.</summary>
    private const int LooksBeforeSleep = 25;

    private static readonly SearchValues<char> s_errorCharacters = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(2);

    // Pinned, since the system writes into it for as long as nothing happens.
    private readonly byte[] _received = GC.AllocateUninitializedArray<byte>(ReceiveLength, pinned: true);
    private readonly object _standbyRests = new();

    private int _receivedFrom;
    private int _receivedTo;

    /// <summary>1 while somebody reads, or the session is over.</summary>
    private int _reading = 1;

    /// <summary>How often the role was laid down.</summary>
    private int _layings;

    /// <summary>1 while a thread stands by.</summary>
    private int _hasStandby;

    private volatile bool _standbySleeps;
    private bool _isStandbyCalled;
    private bool _isBatching;

    private void StartReading() => new Thread(ReadAll) { IsBackground = true, Name = "xenstore reader" }.Start();

    /// <summary>After the session was closed: if nobody reads just now, nobody will find out.</summary>
    private void EndReading()
    {
        CallStandby();
        if (Interlocked.CompareExchange(ref _reading, 1, 0) == 0)
        {
            Bury();
        }
    }

    /// <summary>By whoever had the role last.</summary>
    private void Bury()
    {
        _transport.Dispose();
        _ended.TrySetResult(_reason);
    }

    /// <summary>With the role.</summary>
    private void ReadAll()
    {
        while (true)
        {
            XenstorePending? last = null;
            try
            {
                if (!TryReadSome(ref last))
                {
                    Close(new XenstoreDisconnectedException(
                        _receivedFrom == _receivedTo ? "xenstored closed the connection." : "xenstored closed the connection in the middle of a message."));
                }
            }
            catch (FormatException exception)
            {
                Close(new XenstoreProtocolException($"What answers is not the xenstore protocol: {exception.Message}.", exception));
            }
            catch (Exception exception) when (exception is IOException or ObjectDisposedException)
            {
                Close(new XenstoreDisconnectedException($"The connection broke: {exception.Message}", exception));
            }

            if (IsClosed)
            {
                last?.Signal(onThisThread: false);
                Bury();
                return;
            }

            if (last is null)
            {
                continue;
            }

            if (!_options.ContinueOnReader || Volatile.Read(ref _waiting) > 0)
            {
                last.Signal(onThisThread: false);
                continue;
            }

            if (Interlocked.Exchange(ref _hasStandby, 1) == 0)
            {
                using (Detached())
                {
                    new Thread(StandBy) { IsBackground = true, Name = "xenstore reader" }.Start();
                }
            }

            // The order matters to a thread that is just going to sleep: it says so first and looks then.
            Interlocked.Increment(ref _layings);
            Interlocked.Exchange(ref _reading, 0);
            if (_standbySleeps)
            {
                CallStandby();
            }

            last.Signal(onThisThread: true);
            if (Interlocked.CompareExchange(ref _reading, 1, 0) != 0)
            {
                // It took long, and another thread reads now. One may be needed in its place.
                if (Interlocked.Exchange(ref _hasStandby, 1) == 0)
                {
                    StandBy();
                }

                return;
            }

            if (IsClosed)
            {
                // Closed while nobody read, by the caller's code or behind its back: who came first has buried it, or it is for us to do.
                Bury();
                return;
            }
        }
    }

    private void StandBy()
    {
        var seen = Volatile.Read(ref _layings);
        var looks = 0;
        while (!IsClosed)
        {
            if (looks < LooksBeforeSleep)
            {
                Rest(s_look);
            }
            else
            {
                // Whoever lays the role down next wakes us; what was laid down before we said that we sleep is seen here.
                _standbySleeps = true;
                Interlocked.MemoryBarrier();
                if (Volatile.Read(ref _layings) == seen && Volatile.Read(ref _reading) == 1)
                {
                    Rest(Timeout.InfiniteTimeSpan);
                }

                _standbySleeps = false;
                looks = 0;
            }

            var layings = Volatile.Read(ref _layings);
            if (layings != seen)
            {
                seen = layings;
                looks = 0;
            }
            else if (Volatile.Read(ref _reading) == 1)
            {
                looks++;
            }
            else if (Interlocked.CompareExchange(ref _reading, 1, 0) == 0)
            {
                Volatile.Write(ref _hasStandby, 0);
                if (IsClosed)
                {
                    Bury();
                    return;
                }

                ReadAll();
                return;
            }
        }
    }

    private void Rest(TimeSpan limit)
    {
        lock (_standbyRests)
        {
            if (!_isStandbyCalled)
            {
                Monitor.Wait(_standbyRests, limit);
            }

            _isStandbyCalled = false;
        }
    }

    private void CallStandby()
    {
        lock (_standbyRests)
        {
            _isStandbyCalled = true;
            Monitor.Pulse(_standbyRests);
        }
    }

    /// <summary>Waits for bytes, and settles every message that is whole; false at the end. The last one that was settled is left to be told.</summary>
    private bool TryReadSome(ref XenstorePending? last)
    {
        var count = _transport.Read(_received.AsSpan(_receivedTo));
        if (count == 0)
        {
            return false;
        }

        _receivedTo += count;
        try
        {
            while (TryTakeMessage(out var operation, out var id, out var transaction, out var payload))
            {
                if (Settle(operation, id, transaction, payload) is { } settled)
                {
                    last?.Signal(onThisThread: false);
                    last = settled;
                }
            }
        }
        finally
        {
            EndBatch();
            if (_transport.IsDevice)
            {
                GoOn();
            }
        }

        if (_receivedFrom == _receivedTo)
        {
            _receivedFrom = _receivedTo = 0;
        }
        else if (_receivedFrom > ReceiveLength / 2)
        {
            _received.AsSpan(_receivedFrom, _receivedTo - _receivedFrom).CopyTo(_received);
            _receivedTo -= _receivedFrom;
            _receivedFrom = 0;
        }

        return true;
    }

    private bool TryTakeMessage(out XenstoreOperation operation, out uint id, out uint transaction, out ReadOnlySpan<byte> payload)
    {
        var bytes = _received.AsSpan(_receivedFrom, _receivedTo - _receivedFrom);
        payload = default;
        if (bytes.Length < OutgoingBuffer.HeaderLength)
        {
            (operation, id, transaction) = (default, 0, 0);
            return false;
        }

        operation = (XenstoreOperation)BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        id = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
        transaction = BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]);
        var length = BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]);
        if (length > XenstoreLimits.Payload)
        {
            throw new FormatException($"a message claims a payload of {length} bytes, the limit is {XenstoreLimits.Payload}");
        }

        if (bytes.Length < OutgoingBuffer.HeaderLength + (int)length)
        {
            return false;
        }

        payload = bytes.Slice(OutgoingBuffer.HeaderLength, (int)length);
        _receivedFrom += OutgoingBuffer.HeaderLength + (int)length;
        return true;
    }

    /// <summary>Returns the request that has to be told, if there is one.</summary>
    private XenstorePending? Settle(XenstoreOperation operation, uint id, uint transaction, ReadOnlySpan<byte> payload)
    {
        if (operation == XenstoreOperation.WatchEvent)
        {
            XenstorePayload.SplitEvent(payload, out var path, out var token);
            _events.OnEvent(path, token);
            return null;
        }

        var place = Leave(operation, id, transaction);
        if (place.Pending is not { } pending)
        {
            TakeLateAnswer(place, operation, payload);
            return null;
        }

        try
        {
            if (operation == XenstoreOperation.Error)
            {
                return pending.Refuse(ReadError(payload)) ? pending : null;
            }

            if (pending.Watch is { } watch)
            {
                watch.IsRegistered = true;
            }

            return pending.Accept(payload) ? pending : null;
        }
        catch (FormatException exception)
        {
            // The session ends for this, and its own waiter, which is in the table no more, must not be forgotten.
            pending.Fail(new XenstoreProtocolException($"The answer of {pending.Operation.Name()} is not the xenstore protocol: {exception.Message}.", exception));
            throw;
        }
    }

    /// <summary>Frees the place that an answer names.</summary>
    private Place Leave(XenstoreOperation operation, uint id, uint transaction)
    {
        var index = (int)(id & (MaxPlaces - 1));
        lock (_gate)
        {
            if (index >= _placesUsed || !_places[index].IsTaken || _places[index].Uses != id >> PlaceBits)
            {
                throw new FormatException("a message answers no request");
            }

            ref var place = ref _places[index];
            if (place.Operation != operation && operation != XenstoreOperation.Error)
            {
                throw new FormatException($"{place.Operation.Name()} was answered as {operation.Name()}");
            }

            if (place.Transaction != transaction)
            {
                throw new FormatException($"{place.Operation.Name()} was answered for another transaction");
            }

            var left = place;
            if (place.Pending is not null)
            {
                place.Pending = null;
                _waiting--;
            }

            _unanswered -= _transport.IsDevice ? 1 : 0;
            place.Watch = null;
            place.IsTaken = false;
            place.NextFree = _freePlace;
            _freePlace = index;
            return left;
        }
    }

    /// <summary>What nobody waits for any more must not be left behind in the daemon either.</summary>
    private void TakeLateAnswer(in Place place, XenstoreOperation operation, ReadOnlySpan<byte> payload)
    {
        XenstoreLog.LateAnswer(_logger, _number, place.Operation.Name());
        switch (operation)
        {
            case XenstoreOperation.TransactionStart:
                Send(XenstoreOperation.TransactionEnd, XenstorePayload.ReadTransactionId(payload), XenstoreAnswer.Done, null, null, "F\0"u8, CancellationToken.None);
                break;
            case XenstoreOperation.Watch when place.Watch is { } watch:
                Send(XenstoreOperation.Unwatch, 0, XenstoreAnswer.Done, watch.Path.Value, watch.Path.Value, Encoding.UTF8.GetBytes($"{watch.Token}\0"), CancellationToken.None);
                break;
            default:
                break;
        }
    }

    private static string ReadError(ReadOnlySpan<byte> payload)
    {
        var error = XenstorePayload.ReadText(payload);
        return error.Length is > 1 and <= 32 && error[0] == 'E' && !error.AsSpan().ContainsAnyExcept(s_errorCharacters)
            ? error
            : throw new FormatException("the name of an error was expected");
    }

    /// <summary>On the thread that reads: what is sent from here on goes with one call, when all that has come is settled.</summary>
    internal void BeginBatch()
    {
        lock (_gate)
        {
            if (!_isWriting)
            {
                _isWriting = true;
                _isBatching = true;
            }
        }
    }

    private void EndBatch()
    {
        if (_isBatching)
        {
            _isBatching = false;
            Flush();
        }
    }
}
