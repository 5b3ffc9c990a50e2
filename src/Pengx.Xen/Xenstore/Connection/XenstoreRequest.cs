using System.Threading.Tasks.Sources;

namespace Pengx.Xen;

/// <summary>What a request's answer is good for.</summary>
internal enum XenstoreAnswer
{
    /// <summary>The payload.</summary>
    Payload,

    /// <summary>The payload; nothing if there is no such node.</summary>
    PayloadOrMissing,

    /// <summary>That it was done.</summary>
    Done,

    /// <summary>That it was done, or that there was nothing to do it to.</summary>
    DoneOrMissing,
}

/// <summary>A request that a caller awaits. It returns to its session when the caller has taken the result, to be used again.</summary>
internal sealed class XenstoreRequest(XenstoreSession session)
    : XenstorePending, IValueTaskSource, IValueTaskSource<XenstoreValue>, IValueTaskSource<XenstoreValue?>, IValueTaskSource<byte[]?>
{
    private ManualResetValueTaskSourceCore<byte[]?> _core;
    private byte[]? _payload;
    private string? _error;
    private CancellationTokenRegistration _cancellation;

    internal XenstoreAnswer Answer { get; set; }

    internal short Version => _core.Version;

    /// <summary>To be called by whoever made the request, before it is handed out.</summary>
    internal void CancelWith(CancellationToken cancellationToken) =>
        _cancellation = cancellationToken.UnsafeRegister(static (state, token) => ((XenstoreRequest)state!).Cancel(token), this);

    /// <inheritdoc/>
    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    /// <inheritdoc/>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    void IValueTaskSource.GetResult(short token) => TakeResult(token);

    XenstoreValue IValueTaskSource<XenstoreValue>.GetResult(short token) => new(TakeResult(token));

    XenstoreValue? IValueTaskSource<XenstoreValue?>.GetResult(short token) => TakeResult(token) is { } bytes ? new XenstoreValue(bytes) : default(XenstoreValue?);

    byte[]? IValueTaskSource<byte[]?>.GetResult(short token) => TakeResult(token);

    internal override bool Accept(ReadOnlySpan<byte> payload)
    {
        if (Answer is XenstoreAnswer.Payload or XenstoreAnswer.PayloadOrMissing)
        {
            _payload = payload.ToArray();
        }
        else if (!payload.SequenceEqual("OK\0"u8))
        {
            throw new FormatException("OK was expected");
        }

        return true;
    }

    internal override bool Refuse(string error)
    {
        if (error != XenstoreError.ENOENT || Answer is not (XenstoreAnswer.PayloadOrMissing or XenstoreAnswer.DoneOrMissing))
        {
            _error = error;
        }

        return true;
    }

    internal override void Signal(bool onThisThread)
    {
        _core.RunContinuationsAsynchronously = !onThisThread;
        if (_error is null)
        {
            session.Finish(this, null);
            _core.SetResult(_payload);
        }
        else
        {
            XenstoreRefusedException refusal = new(Operation.Name(), Subject, _error);
            session.Finish(this, refusal);
            _core.SetException(refusal);
        }
    }

    internal override void Fail(Exception reason)
    {
        session.Finish(this, reason);
        _core.RunContinuationsAsynchronously = true;
        _core.SetException(reason);
    }

    /// <summary>Makes it like new.</summary>
    internal void Reset()
    {
        _core.Reset();
        _payload = null;
        _error = null;
        Subject = null;
        Watch = null;
        Activity = null;
    }

    private void Cancel(CancellationToken cancellationToken)
    {
        if (session.Abandon(this))
        {
            Fail(new OperationCanceledException(cancellationToken));
        }
    }

    private byte[]? TakeResult(short token)
    {
        // Throws for one that was awaited before, which is left alone then.
        _ = _core.GetStatus(token);

        // Waits for a cancellation that is under way just now, so that it cannot meet the next request.
        _cancellation.Dispose();
        _cancellation = default;
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            session.Return(this);
        }
    }
}
