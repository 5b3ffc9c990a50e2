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

    public Task<OperationResource> WaitAsync(Guid id, IProgress<OperationResource>? progress, CancellationToken cancellationToken) =>
        transport.WaitAsync(id, progress, cancellationToken);
}
