namespace Pengx.Orchestration;

/// <summary>Another service has taken the operation over, or it has ended: whoever gets this stops working on it.</summary>
/// <param name="operation">The operation.</param>
public sealed class LeaseLostException(OperationId operation)
    : PengxException(PengxErrorCode.Concurrency, $"Operation {operation} is no longer this service's.")
{
    /// <summary>The operation.</summary>
    public OperationId Operation { get; } = operation;
}
