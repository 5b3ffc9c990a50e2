namespace Pengx.Client;

internal sealed class StorlinkClient(PengxTransport transport) : IStorlinkClient
{
    public IAsyncEnumerable<StorlinkResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("storlinks/", PengxShapes.Storlink, cancellationToken: cancellationToken);

    public IAsyncEnumerable<StorlinkResource> ListAllAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("storlinks/all/", PengxShapes.StorlinkWithPmName, ApiVersion.V2, cancellationToken);

    public Task<StorlinkResource> GetAsync(int id, CancellationToken cancellationToken) =>
        transport.GetAsync($"storlinks/{id}/", PengxShapes.Storlink, cancellationToken);

    public async Task<CreatedResult<int>> CreateAsync(
        StorlinkCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, "storlinks/create/", PengxRequests.StorlinkCreate, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToCreatedNumber();
    }

    public async Task<ChangeResult> UpdateAsync(
        int id, StorlinkUpdateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Put, $"storlinks/{id}/", PengxRequests.StorlinkUpdate, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }

    public async Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(HttpMethod.Delete, $"storlinks/{id}/", options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }
}
