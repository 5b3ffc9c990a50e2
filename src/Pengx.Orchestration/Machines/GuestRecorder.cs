namespace Pengx.Orchestration;

/// <summary>Writes the hypervisor's truth about a guest into its row.</summary>
internal sealed class GuestRecorder(Workplace place)
{
    /// <summary>Records the state now; for a machine that does not run, its retired interfaces go, too.</summary>
    /// <param name="guest">The machine or template.</param>
    /// <param name="bootedAt">When the guest booted, where that is known to be later than its domain's start.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<VmState> RecordAsync(GuestRef guest, DateTimeOffset? bootedAt, CancellationToken cancellationToken)
    {
        var status = await place.Driver.Domains.FindAsync(guest.Domain, cancellationToken).ConfigureAwait(false);
        var state = status?.State ?? VmState.Shutdown;
        var alive = state is VmState.Running or VmState.Paused;
        var vnc = alive ? await place.Driver.Domains.FindVncAsync(guest.Domain, cancellationToken).ConfigureAwait(false) : null;
        var booted = alive ? Later(bootedAt, status?.StartedAt) : null;
        await (guest.IsTemplate
            ? RecordTemplateAsync(new(guest.Id), state, vnc?.Port, booted, cancellationToken)
            : RecordMachineAsync(new(guest.Id), state, vnc?.Port, booted, cancellationToken)).ConfigureAwait(false);
        if (!alive && !guest.IsTemplate)
        {
            await DropRetiredAsync(new(guest.Id), cancellationToken).ConfigureAwait(false);
        }

        return state;
    }

    /// <summary>Forgets the interfaces that were deleted while the guest ran; call it only while it does not run.</summary>
    public Task DropRetiredAsync(VmId id, CancellationToken cancellationToken) => place.Store.ChangeAsync(
        async session =>
        {
            foreach (var nic in await session.VmInterfaces.ListByVmAsync(id, cancellationToken).ConfigureAwait(false))
            {
                if (nic.Retired)
                {
                    session.VmInterfaces.Delete(nic);
                }
            }
        },
        cancellationToken);

    private Task RecordMachineAsync(VmId id, VmState state, int? vncPort, DateTimeOffset? booted, CancellationToken cancellationToken) =>
        place.Store.ChangeMachineAsync(
            id,
            row =>
            {
                var seen = row with { State = state, VncPort = vncPort, RecentBootedAt = Later(row.RecentBootedAt, booted) };
                return seen == row ? row : seen with { UpdatedAt = place.Now };
            },
            cancellationToken);

    private Task RecordTemplateAsync(TemplateId id, VmState state, int? vncPort, DateTimeOffset? booted, CancellationToken cancellationToken) =>
        place.Store.ChangeTemplateAsync(
            id,
            row =>
            {
                var seen = row with { State = state, VncPort = vncPort, RecentBootedAt = Later(row.RecentBootedAt, booted) };
                return seen == row ? row : seen with { UpdatedAt = place.Now };
            },
            cancellationToken);

    private static DateTimeOffset? Later(DateTimeOffset? one, DateTimeOffset? other) => one is null || other > one ? other ?? one : one;
}
