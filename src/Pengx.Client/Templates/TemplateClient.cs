namespace Pengx.Client;

internal sealed class TemplateClient(PengxTransport transport) : ITemplateClient
{
    public IAsyncEnumerable<TemplateResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("templates/", PengxShapes.TemplateWithState, cancellationToken: cancellationToken);

    public Task<TemplateResource> GetAsync(Guid id, CancellationToken cancellationToken) =>
        transport.GetAsync($"templates/{id:D}/", PengxShapes.TemplateDetail, cancellationToken, ApiVersion.V2);

    public IAsyncEnumerable<DiskResource> ListDisksAsync(Guid id, CancellationToken cancellationToken) =>
        transport.ListAsync($"templates/{id:D}/disks/", PengxShapes.Disk, cancellationToken: cancellationToken);

    public async Task<CreatedResult<Guid>> AddAsync(
        TemplateAddRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, "templates/add/", PengxRequests.TemplateAdd, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToCreated();
    }

    public async Task<CreatedResult<Guid>> AddWithNewImageAsync(
        TemplateAddNewRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, "templates/add_new/", PengxRequests.TemplateAddNewImage, request, options, cancellationToken, ApiVersion.V2)
            .ConfigureAwait(false);
        return answer.ToCreated();
    }

    public async Task<CreatedResult<Guid>> CreateAsync(
        Guid machineId, TemplateCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"templates/create/vms/{machineId:D}/", PengxRequests.TemplateCreate, request, options, cancellationToken)
            .ConfigureAwait(false);
        return answer.ToCreated();
    }

    public async Task<ChangeResult> UpdateAsync(
        Guid id, TemplateUpdateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Put, $"templates/{id:D}/", PengxRequests.TemplateUpdate, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }

    public async Task<ChangeResult> DeleteAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken)
    {
        // The reference writes the singular here, and only here.
        var answer = await transport.ChangeAsync(HttpMethod.Delete, $"template/{id:D}/", options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }

    public async Task<ChangeResult> StartAsync(
        Guid id, TemplateStartRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"templates/{id:D}/start/", PengxRequests.TemplateStart, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToResult();
    }

    public Task<ChangeResult> ShutdownAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "shutdown", options, cancellationToken);

    public Task<ChangeResult> PowerOffAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "poweroff", options, cancellationToken);

    private async Task<ChangeResult> ControlAsync(Guid id, string verb, ChangeOptions? options, CancellationToken cancellationToken) =>
        (await transport.ChangeAsync(HttpMethod.Post, $"templates/{id:D}/{verb}/", options, cancellationToken).ConfigureAwait(false)).ToResult();
}
