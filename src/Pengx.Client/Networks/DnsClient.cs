namespace Pengx.Client;

internal sealed class DnsClient(PengxTransport transport) : IDnsClient
{
    public IAsyncEnumerable<DnsResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("dns/", PengxShapes.Dns, cancellationToken: cancellationToken);

    public Task<DnsResource> GetAsync(int id, CancellationToken cancellationToken) =>
        transport.GetAsync($"dns/{id}/", PengxShapes.Dns, cancellationToken);

    public async Task<CreatedResult<int>> CreateAsync(DnsRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Post, "dns/", PengxRequests.Dns, request, options, cancellationToken).ConfigureAwait(false)).ToCreatedNumber();

    public async Task<ChangeResult> UpdateAsync(int id, DnsRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Put, $"dns/{id}/", PengxRequests.Dns, request, options, cancellationToken).ConfigureAwait(false)).ToResult();

    public async Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Delete, $"dns/{id}/", options, cancellationToken).ConfigureAwait(false)).ToResult();
}
