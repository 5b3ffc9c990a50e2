namespace Pengx.Client;

internal sealed class HostClient(PengxTransport transport) : IHostClient
{
    public IAsyncEnumerable<PmResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("pms/all/", PengxShapes.Pm, cancellationToken: cancellationToken);

    public Task<PmResource> GetOwnAsync(CancellationToken cancellationToken) =>
        transport.GetAsync("pms/", PengxShapes.Pm, cancellationToken);

    public Task<PmResource> GetAsync(Guid id, CancellationToken cancellationToken) =>
        transport.GetAsync($"pms/{id:D}/", PengxShapes.Pm, cancellationToken);

    public Task<PmPerformanceResource> GetPerformanceAsync(CancellationToken cancellationToken) =>
        transport.GetAsync("pmperf/", PengxShapes.PmPerformance, cancellationToken);

    public async Task<ChangeResult> UpdateAuthorizedKeysAsync(ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(HttpMethod.Post, "pms/update-authorized-keys/", options, cancellationToken)
            .ConfigureAwait(false);
        return answer.ToResult();
    }
}
