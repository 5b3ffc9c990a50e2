namespace Pengx.Host;

/// <summary>Finds out at start whether guests can run here, and says so; a service that cannot run any does not start.</summary>
internal sealed class HypervisorCheck(IHypervisorDriver driver, ILogger<HypervisorCheck> logger) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var found = await driver.ProbeAsync(cancellationToken);
        if (!found.Usable)
        {
            throw new InvalidOperationException($"The hypervisor {driver.Name} cannot be used here: {found.Reason}");
        }

        logger.HypervisorChosen(driver.Name, found.Reason);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
