namespace Pengx.Qmp;

/// <summary>The monitor's socket could not be connected. Nothing was sent and nothing is left behind.</summary>
/// <param name="message">What went wrong, with the socket's path.</param>
/// <param name="isTransient">Whether the socket may accept a later attempt.</param>
/// <param name="innerException">The system's own error.</param>
public sealed class QmpConnectException(string message, bool isTransient, Exception? innerException = null)
    : QmpException(message, innerException)
{
    /// <inheritdoc/>
    public override bool IsTransient { get; } = isTransient;
}
