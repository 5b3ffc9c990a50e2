namespace Pengx.Qmp;

/// <summary>
/// The peer did not answer in time. For a command that was sent, the outcome is unknown: QEMU may still carry it out, and its
/// late reply will be dropped. Ask QEMU for its state before doing anything that depends on the answer.
/// </summary>
public sealed class QmpTimeoutException : QmpException
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">What was waited for.</param>
    /// <param name="command">The command, or null for the handshake.</param>
    /// <param name="isOutcomeUnknown">Whether the command had been sent.</param>
    public QmpTimeoutException(string message, string? command, bool isOutcomeUnknown)
        : base(message)
    {
        Command = command;
        IsOutcomeUnknown = isOutcomeUnknown;
    }

    /// <summary>The name of the command, or null if the handshake took too long.</summary>
    public string? Command { get; }

    /// <summary>True if the command was sent, so that QEMU may yet carry it out; false if it certainly was not.</summary>
    public bool IsOutcomeUnknown { get; }

    /// <summary>Always true: the peer may only have been slow.</summary>
    public override bool IsTransient => true;
}
