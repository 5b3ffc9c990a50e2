namespace Pengx.Client;

/// <summary>What kind of failure a <see cref="PengxApiException"/> is.</summary>
public enum PengxApiFailure
{
    /// <summary>The server refused, or failed and said so.</summary>
    Refused,

    /// <summary>The server cannot be reached, or the connection broke: a change may or may not have been made.</summary>
    Unreachable,

    /// <summary>The server did not answer in time: a change may or may not have been made, and may still be.</summary>
    TimedOut,

    /// <summary>The answer is not one of this API: an HTML page, broken XML, another element, a redirect.</summary>
    Unreadable,

    /// <summary>An operation that was waited for failed or was cancelled.</summary>
    OperationFailed,
}
