namespace Pengx.Orchestration;

/// <summary>The operations that have not ended, and what they work on: their states tell.</summary>
internal static class UnfinishedOperations
{
    public static Task<List<OperationRecord>> ListAsync(Workplace place, CancellationToken cancellationToken) =>
        place.Journal.ListAsync(new OperationQuery { UnfinishedOnly = true, Limit = int.MaxValue }, cancellationToken).ToListAsync(cancellationToken);

    /// <summary>Another one than that which asks that works on an object.</summary>
    public static async Task<OperationRecord?> FindOtherAsync(Workplace place, OperationId own, string id, CancellationToken cancellationToken) =>
        (await ListAsync(place, cancellationToken).ConfigureAwait(false)).Find(operation => operation.Id != own && operation.WorksOn(id));

    public static bool WorksOn(this OperationRecord operation, string id) =>
        operation.Checkpoint.StateJson.Contains(id, StringComparison.Ordinal) || operation.Target.Contains(id, StringComparison.Ordinal);
}
