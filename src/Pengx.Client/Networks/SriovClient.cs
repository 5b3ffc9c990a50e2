namespace Pengx.Client;

internal sealed class SriovClient(PengxTransport transport) : ISriovClient
{
    public IAsyncEnumerable<SriovResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("sriov/", PengxShapes.Sriov, cancellationToken: cancellationToken);

    public Task<SriovResource> GetAsync(int id, CancellationToken cancellationToken) =>
        transport.GetAsync($"sriov/{id}/", PengxShapes.Sriov, cancellationToken);

    public async Task<CreatedResult<int>> CreateAsync(SriovRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Post, "sriov/", PengxRequests.Sriov, request, options, cancellationToken).ConfigureAwait(false)).ToCreatedNumber();

    public async Task<ChangeResult> UpdateAsync(int id, SriovRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Put, $"sriov/{id}/", PengxRequests.Sriov, request, options, cancellationToken).ConfigureAwait(false)).ToResult();

    public async Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Delete, $"sriov/{id}/", options, cancellationToken).ConfigureAwait(false)).ToResult();
}
