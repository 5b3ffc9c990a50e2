namespace Pengx.Client;

internal sealed class StorageClient(PengxTransport transport) : IStorageClient
{
    public IAsyncEnumerable<StorageResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("storages/", PengxShapes.Storage, cancellationToken: cancellationToken);

    public Task<StorageResource> GetAsync(int id, CancellationToken cancellationToken) =>
        transport.GetAsync($"storages/{id}/", PengxShapes.Storage, cancellationToken);

    public async Task<CreatedResult<int>> CreateAsync(StorageCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Post, "storages/", PengxRequests.StorageCreate, request, options, cancellationToken).ConfigureAwait(false)).ToCreatedNumber();

    public async Task<ChangeResult> UpdateAsync(int id, StorageUpdateRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Put, $"storages/{id}/", PengxRequests.StorageUpdate, request, options, cancellationToken).ConfigureAwait(false)).ToResult();

    public async Task<ChangeResult> DeleteAsync(int id, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Delete, $"storages/{id}/", options, cancellationToken).ConfigureAwait(false)).ToResult();

    public async Task<ChangeResult> AttachAsync(int id, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Post, $"storages/{id}/attach/", options, cancellationToken).ConfigureAwait(false)).ToResult();

    public async Task<ChangeResult> DetachAsync(int id, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Post, $"storages/{id}/detach/", options, cancellationToken).ConfigureAwait(false)).ToResult();

    public Task<PlanResource> PlanCreateAsync(StorageCreateRequest request, CancellationToken cancellationToken) =>
        transport.AskAsync("storages/?plan=true", PengxRequests.StorageCreate, request, PengxShapes.Plan, cancellationToken);

    public Task<PlanResource> PlanAsync(int id, string verb, CancellationToken cancellationToken) =>
        transport.GetAsync($"storages/{id}/plan/?verb={Uri.EscapeDataString(verb)}", PengxShapes.Plan, cancellationToken);
}
