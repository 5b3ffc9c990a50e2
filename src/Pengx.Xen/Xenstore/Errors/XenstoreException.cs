namespace Pengx.Xen;

/// <summary>The base of every error that talking to a xenstore daemon can raise. Mistakes of the caller are plain <see cref="ArgumentException"/>s.</summary>
public abstract class XenstoreException : Exception
{
    private protected XenstoreException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }

    /// <summary>The errno name that the daemon answered, one of <see cref="XenstoreError"/>; null where the failure is not the daemon's answer.</summary>
    public virtual string? Error => null;

    /// <summary>
    /// Whether the condition may pass by itself, so that trying again later can help. It does not say that a request may be
    /// repeated: that depends on what the request does.
    /// </summary>
    public virtual bool IsTransient => false;
}

/// <summary>The daemon refused a request. The session goes on.</summary>
public sealed class XenstoreRefusedException : XenstoreException
{
    /// <summary>Makes an error.</summary>
    /// <param name="operation">The request, as the protocol names it.</param>
    /// <param name="subject">What it was about; null for none.</param>
    /// <param name="error">The errno name.</param>
    public XenstoreRefusedException(string operation, string? subject, string error)
        : base($"xenstored refused {operation}{(subject is null ? string.Empty : $" of '{subject}'")}: {error}{XenstoreError.Explain(error)}")
    {
        Operation = operation;
        Subject = subject;
        Error = error;
    }

    /// <summary>The request, as the protocol names it: <c>READ</c>, <c>TRANSACTION_END</c>.</summary>
    public string Operation { get; }

    /// <summary>The path, the domain or the command that the request was about; null for none.</summary>
    public string? Subject { get; }

    /// <summary>The errno name, one of <see cref="XenstoreError"/>, or a newer one.</summary>
    public override string Error { get; }

    /// <summary>True for <c>EAGAIN</c> and <c>EBUSY</c>.</summary>
    public override bool IsTransient => Error is XenstoreError.EAGAIN or XenstoreError.EBUSY;
}

/// <summary>A transaction met others in every attempt it was allowed. Nothing of it was carried out.</summary>
public sealed class XenstoreConflictException : XenstoreException
{
    /// <summary>Makes an error.</summary>
    /// <param name="attempts">How often it was tried.</param>
    /// <param name="innerException">The last attempt's error.</param>
    public XenstoreConflictException(int attempts, Exception innerException)
        : base($"The transaction met a conflicting change in each of {attempts} attempts; nothing of it was carried out.", innerException) =>
        Attempts = attempts;

    /// <summary>How often it was tried.</summary>
    public int Attempts { get; }

    /// <summary>Always <c>EAGAIN</c>.</summary>
    public override string Error => XenstoreError.EAGAIN;

    /// <summary>Always true.</summary>
    public override bool IsTransient => true;
}

/// <summary>The daemon could not be reached. Nothing was sent and nothing is left behind.</summary>
public sealed class XenstoreConnectException : XenstoreException
{
    /// <summary>Makes an error.</summary>
    /// <param name="message">What went wrong, with the place.</param>
    /// <param name="isTransient">Whether a later attempt may succeed.</param>
    /// <param name="innerException">The system's own error.</param>
    public XenstoreConnectException(string message, bool isTransient, Exception? innerException = null)
        : base(message, innerException) => IsTransient = isTransient;

    /// <inheritdoc/>
    public override bool IsTransient { get; }
}

/// <summary>
/// The connection is lost or was closed. Every waiting call gets this at once; what became of a request that was already sent
/// is unknown. The daemon has dropped the session's open transactions.
/// </summary>
public sealed class XenstoreDisconnectedException : XenstoreException
{
    /// <summary>Makes an error.</summary>
    /// <param name="message">How the connection ended.</param>
    /// <param name="innerException">The error that ended it, if any.</param>
    public XenstoreDisconnectedException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }

    /// <summary>Always true: a new connection may succeed.</summary>
    public override bool IsTransient => true;
}

/// <summary>The peer sent something that is not the xenstore protocol. The connection ends, since nothing after it can be trusted.</summary>
public sealed class XenstoreProtocolException : XenstoreException
{
    /// <summary>Makes an error.</summary>
    /// <param name="message">What was wrong, without the content that was received.</param>
    /// <param name="innerException">The parser's own error.</param>
    public XenstoreProtocolException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}

/// <summary>
/// The daemon did not answer in time. The outcome is unknown: it may still carry the request out, and its late answer will be
/// dropped. The session goes on.
/// </summary>
public sealed class XenstoreTimeoutException : XenstoreException
{
    /// <summary>Makes an error.</summary>
    /// <param name="operation">The request, as the protocol names it.</param>
    /// <param name="timeout">How long it was waited for.</param>
    public XenstoreTimeoutException(string operation, TimeSpan timeout)
        : base($"xenstored did not answer {operation} within {timeout.TotalSeconds:0.###} s. The outcome is unknown: it may still carry it out.") =>
        Operation = operation;

    /// <summary>The request, as the protocol names it.</summary>
    public string Operation { get; }

    /// <summary>Always true: the daemon may only have been slow.</summary>
    public override bool IsTransient => true;
}
