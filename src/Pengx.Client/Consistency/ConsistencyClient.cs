namespace Pengx.Client;

internal sealed class ConsistencyClient(PengxTransport transport) : IConsistencyClient
{
    public IAsyncEnumerable<InconsistencyResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("consistency/", PengxShapes.Inconsistency, cancellationToken: cancellationToken);

    public async Task<ChangeResult> RemoveOrphansAsync(ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Delete, "consistency/orphans/", options, cancellationToken).ConfigureAwait(false)).ToResult();
}
