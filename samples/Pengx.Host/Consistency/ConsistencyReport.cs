using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary>Looks once after the start where rows, storage, hypervisor and journal disagree, and tells the log. It changes nothing.</summary>
internal sealed class ConsistencyReport(ConsistencyCheck check, ILogger<ConsistencyReport> logger) : BackgroundService
{
    private const int MaxLines = 50;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            var found = await check.RunAsync(stoppingToken);
            foreach (var one in found.Take(MaxLines))
            {
                logger.Inconsistent(one.Kind, one.Subject, one.Message);
            }

            logger.Checked(found.Count);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The service stops.
        }
        catch (Exception exception) when (exception is PengxException or IOException)
        {
            logger.CheckFailed(exception);
        }
    }
}
