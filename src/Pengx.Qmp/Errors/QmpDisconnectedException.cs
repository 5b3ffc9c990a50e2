namespace Pengx.Qmp;

/// <summary>
/// The session is over: the peer went away, the wire broke, or the client was closed. Every waiting call gets this at once;
/// what became of a command that was already sent is unknown.
/// </summary>
/// <param name="message">How the session ended.</param>
/// <param name="innerException">The error that ended it, if any.</param>
public sealed class QmpDisconnectedException(string message, Exception? innerException = null) : QmpException(message, innerException)
{
    /// <summary>Always true: a new connection may succeed.</summary>
    public override bool IsTransient => true;
}
