namespace Pengx.Client;

/// <summary>A document was refused as a whole. The message is one sentence that can be shown to whoever sent it.</summary>
public sealed class XmlRefusedException : PengxException
{
    /// <summary>Creates the error.</summary>
    /// <param name="refusal">Why the document was refused.</param>
    /// <param name="message">One sentence: what was refused and what would work.</param>
    /// <param name="innerException">What the XML reader said, or null.</param>
    public XmlRefusedException(XmlRefusal refusal, string message, Exception? innerException = null)
        : base(PengxErrorCode.InvalidField, message, innerException) => Refusal = refusal;

    /// <summary>Why the document was refused.</summary>
    public XmlRefusal Refusal { get; }
}
