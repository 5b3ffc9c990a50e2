namespace Pengx.Client;

internal sealed class MachineClient(PengxTransport transport) : IMachineClient
{
    public IAsyncEnumerable<MachineResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("vms/", PengxShapes.Machine, cancellationToken: cancellationToken);

    public Task<MachineResource> GetAsync(Guid id, CancellationToken cancellationToken) =>
        transport.GetAsync($"vms/{id:D}/", PengxShapes.MachineDetail, cancellationToken);

    public async Task<CreatedResult<Guid>> CreateAsync(
        MachineCreateRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);

        // The documented default is spelled out: the reference's own server shows no sign of having one.
        var body = request with { MaxMemory = request.MaxMemory ?? request.Memory };
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, "vms/", PengxRequests.MachineCreate, body, options, cancellationToken).ConfigureAwait(false);
        return answer.ToCreated();
    }

    public Task<ChangeResult> DeleteAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ResultAsync(transport.ChangeAsync(HttpMethod.Delete, $"vms/{id:D}/", options, cancellationToken));

    public Task<ChangeResult> ResizeAsync(
        Guid id, MachineUpdateRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        ResultAsync(transport.ChangeAsync(
            HttpMethod.Put, $"vms/{id:D}/update/", PengxRequests.MachineUpdate, request, options, cancellationToken));

    public Task<ChangeResult> EditAsync(
        Guid id, MachineEditRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        ResultAsync(transport.ChangeAsync(
            HttpMethod.Put, $"vms/{id:D}/edit/", PengxRequests.MachineEdit, request, options, cancellationToken, ApiVersion.V2));

    public async Task<CreatedResult<Guid>> CopyAsync(
        Guid id, MachineCopyRequest request, ChangeOptions? options, CancellationToken cancellationToken)
    {
        var answer = await transport.ChangeAsync(
            HttpMethod.Post, $"vms/{id:D}/copy/", PengxRequests.MachineCopy, request, options, cancellationToken).ConfigureAwait(false);
        return answer.ToCreated();
    }

    public Task<ChangeResult> MigrateStorageAsync(
        Guid id, MachineStorageMigrateRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        ResultAsync(transport.ChangeAsync(
            HttpMethod.Post, $"vms/{id:D}/smigrate/", PengxRequests.MachineStorageMigrate, request, options, cancellationToken));

    public Task<ChangeResult> MigrateAsync(
        Guid id, MachineMigrateRequest request, ChangeOptions? options, CancellationToken cancellationToken) =>
        ResultAsync(transport.ChangeAsync(
            HttpMethod.Post, $"vms/{id:D}/migrate/", PengxRequests.MachineMigrate, request, options, cancellationToken));

    public Task<ChangeResult> StartAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "start", options, cancellationToken);

    public Task<ChangeResult> ShutdownAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "shutdown", options, cancellationToken);

    public Task<ChangeResult> PowerOffAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "poweroff", options, cancellationToken);

    public Task<ChangeResult> RebootAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "reboot", options, cancellationToken);

    public Task<ChangeResult> ResetAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "reset", options, cancellationToken);

    public Task<ChangeResult> SuspendAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "suspend", options, cancellationToken);

    public Task<ChangeResult> ResumeAsync(Guid id, ChangeOptions? options, CancellationToken cancellationToken) =>
        ControlAsync(id, "resume", options, cancellationToken);

    private Task<ChangeResult> ControlAsync(Guid id, string verb, ChangeOptions? options, CancellationToken cancellationToken) =>
        ResultAsync(transport.ChangeAsync(HttpMethod.Post, $"vms/{id:D}/{verb}/", options, cancellationToken));

    private static async Task<ChangeResult> ResultAsync(Task<ChangeAnswer> answer) => (await answer.ConfigureAwait(false)).ToResult();
}
