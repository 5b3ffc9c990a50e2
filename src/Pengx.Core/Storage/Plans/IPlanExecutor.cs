namespace Pengx;

/// <summary>The port to what carries plans out: before each step its conditions are verified again, after it the postcondition is
/// read back, and when a step fails what was done before is taken back in reverse order.</summary>
public interface IPlanExecutor
{
    /// <summary>Carries a plan out.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="cancellationToken">Stops the plan; what was done is taken back, unless a step without return had begun.</param>
    /// <returns>The steps that were done.</returns>
    /// <exception cref="StoragePlanFailedException">A step failed; the message has its own words and tells what was taken back.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled, and everything done was taken back.</exception>
    Task<StoragePlanOutcome> ExecuteAsync(StoragePlan plan, CancellationToken cancellationToken = default);
}
