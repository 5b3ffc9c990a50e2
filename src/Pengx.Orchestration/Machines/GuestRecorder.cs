namespace Pengx.Orchestration;

/// <summary>Writes the hypervisor's truth about a guest into its row.</summary>
internal sealed class GuestRecorder(Workplace place)
{
    /// <summary>Records the state now; for a machine that does not run, its retired interfaces go, too.</summary>
    /// <remarks>The row is read before the truth: whoever recorded something newer in between makes the save fail, and the truth is
    /// asked anew.</remarks>
    /// <param name="guest">The machine or template.</param>
    /// <param name="bootedAt">When the guest booted, where that is known to be later than its domain's start.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<VmState> RecordAsync(GuestRef guest, DateTimeOffset? bootedAt, CancellationToken cancellationToken)
    {
        var (state, isElsewhere) = (VmState.Shutdown, false);
        await place.Store.ChangeAsync(
            async session =>
            {
                var machine = guest.IsTemplate ? null : await session.VirtualMachines.FindAsync(new(guest.Id), cancellationToken).ConfigureAwait(false);
                var template = guest.IsTemplate ? await session.Templates.FindAsync(new(guest.Id), cancellationToken).ConfigureAwait(false) : null;

                // Of one that has moved, the other host knows the truth.
                isElsewhere = (machine?.Pm ?? template?.Pm) is { } pm && pm != place.Host.Id;
                if (isElsewhere)
                {
                    return;
                }

                var (truth, vncPort, booted) = await AskAsync(guest, bootedAt, cancellationToken).ConfigureAwait(false);
                state = truth;
                if (machine is not null
                    && machine with { State = truth, VncPort = vncPort, RecentBootedAt = Later(machine.RecentBootedAt, booted) } is var seen && seen != machine)
                {
                    session.VirtualMachines.Update(seen with { UpdatedAt = place.Now });
                }

                if (template is not null
                    && template with { State = truth, VncPort = vncPort, RecentBootedAt = Later(template.RecentBootedAt, booted) } is var shown && shown != template)
                {
                    session.Templates.Update(shown with { UpdatedAt = place.Now });
                }
            },
            cancellationToken).ConfigureAwait(false);
        if (!guest.IsTemplate && !isElsewhere && state is not (VmState.Running or VmState.Paused))
        {
            await DropRetiredAsync(new(guest.Id), cancellationToken).ConfigureAwait(false);
        }

        return state;
    }

    /// <summary>Forgets the interfaces that were deleted while the guest ran, unless it runs.</summary>
    public Task DropRetiredAsync(VmId id, CancellationToken cancellationToken) => place.Store.ChangeAsync(
        async session =>
        {
            var retired = (await session.VmInterfaces.ListByVmAsync(id, cancellationToken).ConfigureAwait(false)).Where(nic => nic.Retired).ToList();
            if (retired.Count > 0 && !await place.IsAliveAsync(id, cancellationToken).ConfigureAwait(false))
            {
                retired.ForEach(session.VmInterfaces.Delete);
            }
        },
        cancellationToken);

    private async Task<(VmState State, int? VncPort, DateTimeOffset? Booted)> AskAsync(GuestRef guest, DateTimeOffset? bootedAt, CancellationToken cancellationToken)
    {
        var status = await place.Driver.Domains.FindAsync(guest.Domain, cancellationToken).ConfigureAwait(false);
        if (status is not { State: VmState.Running or VmState.Paused })
        {
            return (status?.State ?? VmState.Shutdown, null, null);
        }

        var vnc = await place.FindVncAsync(guest.Domain, cancellationToken).ConfigureAwait(false);
        return (status.State, vnc?.Port, Later(bootedAt, status.StartedAt));
    }

    private static DateTimeOffset? Later(DateTimeOffset? one, DateTimeOffset? other) => one is null || other > one ? other ?? one : one;
}
