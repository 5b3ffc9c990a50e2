namespace Pengx;

/// <summary>The base of every failure that Pengx reports on purpose. Its message is one clear sentence for the user:
/// what was refused, why, and what would work.</summary>
/// <remarks>Mistakes of the calling program stay <see cref="ArgumentException"/> and <see cref="InvalidOperationException"/>.</remarks>
public abstract class PengxException : Exception
{
    /// <summary>Makes an error.</summary>
    /// <param name="code">What kind of failure it is.</param>
    /// <param name="message">The sentence for the user.</param>
    /// <param name="innerException">What caused it.</param>
    protected PengxException(PengxErrorCode code, string message, Exception? innerException = null)
        : base(message, innerException) => Code = code;

    /// <summary>What kind of failure this is.</summary>
    public PengxErrorCode Code { get; }

    /// <summary>Whether the same request may succeed later without a change.</summary>
    public virtual bool IsTransient => false;
}
