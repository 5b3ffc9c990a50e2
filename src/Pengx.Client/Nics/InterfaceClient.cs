namespace Pengx.Client;

/// <summary>Paths as the reference writes them: the collection in the plural, one of it in the singular.</summary>
internal sealed class InterfaceClient(PengxTransport transport) : IInterfaceClient
{
    public IAsyncEnumerable<InterfaceResource> ListAsync(Guid machineId, CancellationToken cancellationToken) =>
        transport.ListAsync($"vms/{machineId:D}/interfaces/", PengxShapes.Interface, cancellationToken: cancellationToken);

    public Task<InterfaceResource> GetAsync(Guid machineId, int interfaceId, CancellationToken cancellationToken) =>
        transport.GetAsync($"vms/{machineId:D}/interface/{interfaceId}/", PengxShapes.Interface, cancellationToken);

    public async Task<CreatedResult<int>> CreateAsync(
        Guid machineId, InterfaceCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);

        // Only version 2 documents an address here.
        var version = request.IpAddress is null ? (ApiVersion?)null : ApiVersion.V2;
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"vms/{machineId:D}/interfaces/", PengxRequests.InterfaceCreate, request, options, cancellationToken, version)
            .ConfigureAwait(false);
        return answer.ToCreatedNumber();
    }

    public async Task<ChangeResult> UpdateAsync(
        Guid machineId, int interfaceId, InterfaceUpdateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Put,
            $"vms/{machineId:D}/interface/{interfaceId}/update/",
            PengxRequests.InterfaceUpdate,
            request,
            options,
            cancellationToken,
            ApiVersion.V2).ConfigureAwait(false);
        return answer.ToResult();
    }

    public async Task<ChangeResult> DeleteAsync(
        Guid machineId, int interfaceId, InterfaceDeleteRequest? request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var path = $"vms/{machineId:D}/interface/{interfaceId}/";
        var answer = request is null
            ? await transport.ChangeAsync(HttpMethod.Delete, path, options, cancellationToken).ConfigureAwait(false)
            : await transport.ChangeAsync(HttpMethod.Delete, path, PengxRequests.InterfaceDelete, request, options, cancellationToken)
                .ConfigureAwait(false);
        return answer.ToResult();
    }
}
