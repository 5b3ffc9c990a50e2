namespace Pengx.Qmp;

/// <summary>A job of QEMU's ended otherwise than hoped. What QEMU kept of it has been dismissed, unless the message says that it vanished.</summary>
public sealed class QmpJobException : QmpException
{
    private const string Canceled = "Operation canceled";

    /// <summary>Creates the error.</summary>
    /// <param name="jobId">The job.</param>
    /// <param name="message">What happened.</param>
    /// <param name="error">QEMU's own words, if it gave any.</param>
    public QmpJobException(string jobId, string message, string? error)
        : base(message)
    {
        JobId = jobId;
        Error = error;
    }

    /// <summary>The job.</summary>
    public string JobId { get; }

    /// <summary>QEMU's own words; null if the job vanished before its result was read.</summary>
    public string? Error { get; }

    /// <summary>Whether somebody cancelled it.</summary>
    public bool IsCancelled => Error == Canceled;
}
