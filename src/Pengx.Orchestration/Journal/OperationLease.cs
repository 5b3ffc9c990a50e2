namespace Pengx.Orchestration;

/// <summary>The right to work on an operation.</summary>
/// <param name="Operation">The operation.</param>
/// <param name="Owner">The PM whose service holds it.</param>
/// <param name="Token">The fencing token: of all leases an operation ever had, only the highest token may write.</param>
/// <param name="ExpiresAt">From when on others may take it over.</param>
public sealed record OperationLease(OperationId Operation, PmId Owner, long Token, DateTimeOffset ExpiresAt)
{
    /// <summary>The token of the lease that an operation is added with.</summary>
    internal const long FirstToken = 1;
}
