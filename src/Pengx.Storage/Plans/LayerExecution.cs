using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>How every layer driver carries an order out: one at a time on this host, planned anew under the lock, and read back.</summary>
internal sealed class LayerExecution(IProcessRunner runner, string leaseDirectory, TimeProvider? timeProvider, ILogger<StoragePlanExecutor>? logger)
{
    private static readonly TimeSpan s_lockTimeout = TimeSpan.FromMinutes(2);

    private readonly DiskLeases _leases = new(leaseDirectory);
    private readonly StoragePlanExecutor _executor = new(runner, timeProvider, logger);

    public async Task<StorageLayerState?> RunAsync(IStorageLayerDriver driver, string name, StorageOrder order, StoragePlan? shown, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(order);
        DemandServed(driver, order);
        using var held = await _leases.AcquireAsync($"layers-{name}", s_lockTimeout, cancellationToken).ConfigureAwait(false);
        var plan = await driver.PlanAsync(order, cancellationToken).ConfigureAwait(false);
        if (shown is not null && shown.ToString() != plan.ToString())
        {
            throw new ConcurrencyException($"Things have changed since the plan was shown, and nothing was done. It was:\n{shown}\nIt would be:\n{plan}");
        }

        await _executor.ExecuteAsync(plan, cancellationToken).ConfigureAwait(false);
        return await driver.InspectAsync(order.Layer, cancellationToken).ConfigureAwait(false);
    }

    public static void DemandServed(IStorageLayerDriver driver, StorageOrder order)
    {
        if (!driver.Serves(order.Layer.Category))
        {
            throw new InvalidFieldException("category", order.Layer.Category.ToString(), $"{driver.GetType().Name} does not work on it.");
        }
    }

    public static StoragePlan Plan(string title, params IReadOnlyList<StorageStep> steps) => new() { Title = title, Steps = steps };
}
