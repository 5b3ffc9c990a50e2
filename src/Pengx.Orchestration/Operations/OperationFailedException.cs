namespace Pengx.Orchestration;

/// <summary>An operation failed, was cancelled or needs attention. Code and message are those of what went wrong.</summary>
/// <param name="operation">The operation.</param>
public sealed class OperationFailedException(Operation operation)
    : PengxException(CodeOf(operation), operation.Message ?? $"{operation.Kind} on {operation.Target} did not succeed.")
{
    /// <summary>The operation.</summary>
    public Operation Operation { get; } = operation;

    private static PengxErrorCode CodeOf(Operation operation)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return operation.Error ?? PengxErrorCode.Internal;
    }
}
