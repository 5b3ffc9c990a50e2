using System.Diagnostics;

namespace Pengx.Xen;

/// <summary>A request on its way. One of answer, refusal, cancellation, deadline and end of the connection settles it: whoever takes it out of the session's table.</summary>
internal abstract class XenstorePending
{
    internal XenstoreOperation Operation { get; set; }

    internal uint Transaction { get; set; }

    /// <summary>What it is about, for messages.</summary>
    internal string? Subject { get; set; }

    /// <summary>Its id on the wire.</summary>
    internal uint Id { get; set; }

    /// <summary>The timestamp at which the wait is over.</summary>
    internal long Deadline { get; set; }

    internal long Started { get; set; }

    internal Activity? Activity { get; set; }

    /// <summary>The watch that this request sets up.</summary>
    internal XenstoreWatch? Watch { get; set; }

    /// <summary>On the thread that reads: takes the answer's payload. True if somebody has to be told by <see cref="Signal"/>.</summary>
    /// <exception cref="FormatException">The payload is not what the protocol allows.</exception>
    internal abstract bool Accept(ReadOnlySpan<byte> payload);

    /// <summary>On the thread that reads: takes the errno name. True if somebody has to be told by <see cref="Signal"/>.</summary>
    internal abstract bool Refuse(string error);

    /// <summary>Tells whoever waits, after <see cref="Accept"/> or <see cref="Refuse"/>.</summary>
    /// <param name="onThisThread">Whether the code behind the <c>await</c> runs right here.</param>
    internal abstract void Signal(bool onThisThread);

    /// <summary>Ends it without an answer, on any thread.</summary>
    internal abstract void Fail(Exception reason);
}
