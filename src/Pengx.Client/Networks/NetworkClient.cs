namespace Pengx.Client;

internal sealed class NetworkClient(PengxTransport transport) : INetworkClient
{
    public IAsyncEnumerable<NetworkResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("networks/", PengxShapes.Network, cancellationToken: cancellationToken);

    public Task<NetworkResource> GetAsync(int id, CancellationToken cancellationToken) =>
        transport.GetAsync($"networks/{id}/", PengxShapes.Network, cancellationToken);

    public async Task<CreatedResult<int>> CreateAsync(NetworkRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Post, "networks/", PengxRequests.Network, request, options, cancellationToken).ConfigureAwait(false)).ToCreatedNumber();

    public async Task<ChangeResult> UpdateAsync(int id, NetworkRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Put, $"networks/{id}/", PengxRequests.Network, request, options, cancellationToken).ConfigureAwait(false)).ToResult();

    public async Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Delete, $"networks/{id}/", options, cancellationToken).ConfigureAwait(false)).ToResult();

    public Task<PlanResource> PlanCreateAsync(NetworkRequest request, CancellationToken cancellationToken) =>
        transport.AskAsync("networks/?plan=true", PengxRequests.Network, request, PengxShapes.Plan, cancellationToken);

    public Task<PlanResource> PlanAsync(int id, string verb, CancellationToken cancellationToken) =>
        transport.GetAsync($"networks/{id}/plan/?verb={Uri.EscapeDataString(verb)}", PengxShapes.Plan, cancellationToken);
}
