namespace Pengx.Qmp;

/// <summary>The base of every error that talking to a QEMU monitor can raise. Mistakes of the caller are plain <see cref="ArgumentException"/>s.</summary>
public abstract class QmpException : Exception
{
    private protected QmpException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }

    /// <summary>
    /// Whether the condition may pass by itself, so that trying again later can help. It does not say that a command may be
    /// repeated: that depends on what the command does.
    /// </summary>
    public virtual bool IsTransient => false;
}
