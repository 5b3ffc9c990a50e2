using System.Net;

namespace Pengx.Client;

/// <summary>A request to a pengx3 server did not succeed: the one error of every call of this client but for cancellation.</summary>
public sealed class PengxApiException : PengxException
{
    internal PengxApiException(
        PengxApiFailure failure,
        string request,
        string message,
        HttpStatusCode? status = null,
        Exception? innerException = null)
        : base(CodeOf(failure, status), message, innerException)
    {
        Failure = failure;
        Request = request;
        Status = status;
    }

    /// <summary>What kind of failure it is.</summary>
    public PengxApiFailure Failure { get; }

    /// <summary>The request, for example <c>POST vms/</c>.</summary>
    public string Request { get; }

    /// <summary>The HTTP status, or null where no answer came.</summary>
    public HttpStatusCode? Status { get; }

    /// <summary>The operation that failed, for <see cref="PengxApiFailure.OperationFailed"/>; else null.</summary>
    public OperationResource? Operation { get; internal init; }

    /// <summary>When the server wants to be asked again, or null.</summary>
    public TimeSpan? RetryAfter { get; internal init; }

    /// <inheritdoc/>
    public override bool IsTransient => Failure is PengxApiFailure.Unreachable or PengxApiFailure.TimedOut
        || Status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests
            or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout;

    // The wire carries no code: the status tells no more than this.
    private static PengxErrorCode CodeOf(PengxApiFailure failure, HttpStatusCode? status) => (failure, status) switch
    {
        (PengxApiFailure.OperationFailed, _) => PengxErrorCode.Internal,
        (_, HttpStatusCode.NotFound) => PengxErrorCode.NotFound,
        (PengxApiFailure.Refused, { } known) when (int)known is >= 400 and < 500 => PengxErrorCode.InvalidField,
        (PengxApiFailure.Unreachable or PengxApiFailure.TimedOut, _) => PengxErrorCode.Unavailable,
        (_, HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout) => PengxErrorCode.Unavailable,
        _ => PengxErrorCode.Internal,
    };
}
