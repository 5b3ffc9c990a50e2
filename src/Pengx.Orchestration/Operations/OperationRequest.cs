namespace Pengx.Orchestration;

/// <summary>How an operation is to be started.</summary>
public sealed class OperationRequest
{
    /// <summary>A text of the caller's own that makes repeating the request harmless: as long as it is remembered, the same key
    /// leads to the same operation.</summary>
    public string? IdempotencyKey { get; set; }

    /// <summary>A digest of what was asked for. The same key with another fingerprint is refused.</summary>
    public string? Fingerprint { get; set; }

    /// <summary>Cancels a pre-emptible operation (a shutdown or reboot that waits) which holds the object, and does not wait
    /// for a free place among running operations.</summary>
    public bool Force { get; set; }
}
