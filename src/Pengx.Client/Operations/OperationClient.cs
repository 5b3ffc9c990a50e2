namespace Pengx.Client;

internal sealed class OperationClient(PengxTransport transport) : IOperationClient
{
    public IAsyncEnumerable<OperationResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("operations/", PengxShapes.Operation, cancellationToken: cancellationToken);

    public Task<OperationResource> GetAsync(Guid id, CancellationToken cancellationToken) =>
        transport.GetAsync($"operations/{id:D}/", PengxShapes.Operation, cancellationToken);

    public async Task<ChangeResult> CancelAsync(Guid id, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(HttpMethod.Delete, $"operations/{id:D}/", null, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }

    public async Task<OperationResource> WaitAsync(Guid id, IProgress<OperationResource>? progress, CancellationToken cancellationToken)
    {
        var time = transport.TimeProvider;
        var lastSeen = time.GetTimestamp();
        OperationResource? last = null;
        while (true)
        {
            OperationResource? now = null;
            try
            {
                now = await GetAsync(id, cancellationToken).ConfigureAwait(false);
            }
            catch (PengxApiException exception) when (exception.IsTransient && time.GetElapsedTime(lastSeen) < transport.Timeout)
            {
                // The server restarts, and goes on with the operation.
            }

            if (now is not null)
            {
                lastSeen = time.GetTimestamp();
                if (now != last)
                {
                    last = now;
                    progress?.Report(now);
                }

                if (now.IsFinished)
                {
                    return now.IsSucceeded ? now : throw Failed(now);
                }
            }

            await Task.Delay(transport.OperationPollInterval, time, cancellationToken).ConfigureAwait(false);
        }
    }

    private static PengxApiException Failed(OperationResource operation) => new(
        PengxApiFailure.OperationFailed,
        $"GET operations/{operation.Id:D}/",
        operation.Message ?? $"The operation {operation.Kind} {operation.Id:D} ended as {operation.State}, without a message.")
    {
        Operation = operation,
    };
}
