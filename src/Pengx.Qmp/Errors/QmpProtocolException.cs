namespace Pengx.Qmp;

/// <summary>
/// The peer sent something that is not QMP: malformed or oversized text, a message of unknown structure, an error that names no
/// command. The session ends, since nothing after it can be trusted. A well-formed reply that merely does not fit the type
/// its caller asked for fails that one call only.
/// </summary>
/// <param name="message">What was wrong, without the content that was received.</param>
/// <param name="innerException">The parser's own error.</param>
public sealed class QmpProtocolException(string message, Exception? innerException = null) : QmpException(message, innerException);
