using System.Text.Json.Nodes;
using Pengx.Qmp;

namespace Pengx.Xen;

// Moving a running domain to another host.
internal sealed partial class XenDomain
{
    // What xl calls a domain here while it hands it over.
    private const string AwaySuffix = "--migratedaway";

    public async Task CheckMigrationAsync(string host, CancellationToken cancellationToken)
    {
        var definition = RequireDefinition();
        _ = MigrateCommand(1, host);
        var run = await ReadRunAsync(cancellationToken).ConfigureAwait(false);
        if (run is not { State: VmState.Running, IsLeaving: false })
        {
            throw new WrongStateException($"Domain {id} cannot be moved: only one that runs can.");
        }

        if (Changes().Count > 0)
        {
            throw new WrongStateException($"Domain {id} cannot be moved while layers of its disks are being merged.");
        }

        if (definition.PciDevices.Count > 0)
        {
            throw new WrongStateException($"Domain {id} cannot be moved: it has devices of this host ({string.Join(", ", definition.PciDevices)}).");
        }

        var kind = environment.Guests.Kind;
        if (kind == XlGuestKind.Pv && !(await environment.Xl.GetInfoAsync(cancellationToken).ConfigureAwait(false)).HasShadowPaging)
        {
            throw new WrongStateException($"Domain {id} cannot be moved: this Xen was built without shadow paging, by which it would follow what a running PV guest writes.");
        }

        // Xen makes only the QEMU of an HVM guest let go of its images before the other host's opens them.
        if (kind != XlGuestKind.Hvm && !environment.Options.MigrateQcow2WithoutHvm
            && definition.Disks.FirstOrDefault(disk => disk.Layers[0].Format == DiskFormat.Qcow2) is { } qcow2)
        {
            throw new WrongStateException(
                $"Domain {id} cannot be moved while it runs: disk {qcow2.Id} is qcow2, whose tables the other host would read before this one has written them back. Raw disks can be moved.");
        }

        await WritePastCacheAsync(run, isTrial: true, cancellationToken).ConfigureAwait(false);
    }

    public async Task MigrateAsync(string host, CancellationToken cancellationToken)
    {
        await AwaitMovesAsync(cancellationToken).ConfigureAwait(false);
        await CheckMigrationAsync(host, cancellationToken).ConfigureAwait(false);
        await _turns.TakeAsync(
            "migration",
            async token =>
            {
                var run = await RequireRunAsync(token).ConfigureAwait(false);
                await WritePastCacheAsync(run, isTrial: false, token).ConfigureAwait(false);

                // Not cancelled from here on: xl ended in the middle can leave a guest suspended that nothing wakes.
                var command = MigrateCommand(run.Domain, host);
                var result = await environment.Xl.TryAsync(command, CancellationToken.None).ConfigureAwait(false);
                if (result.ExitCode != 0)
                {
                    throw await ExplainFailureAsync(command, host, result).ConfigureAwait(false);
                }

                _ = await environment.Table.WaitAsync(id, static now => now is null, CancellationToken.None).ConfigureAwait(false);
                await RemoveRemainsAsync(CancellationToken.None).ConfigureAwait(false);
            },
            cancellationToken).ConfigureAwait(false);
    }

    public Task<bool> IsHereAsync(CancellationToken cancellationToken) => _turns.TakeAsync(
        "asking where it is",
        async token =>
        {
            await AwaitMovesAsync(token).ConfigureAwait(false);
            return (await ReadWhereaboutsAsync(token).ConfigureAwait(false)).Row is { } row
                && (!IsAway(row)
                    ? true
                    : throw new HypervisorException(
                        $"Domain {id} stands still here as {row.Name}, and another host may have taken it over: look for it there. If it runs there, destroy it here; if not, see to it that it never will, and give it back its name here (xl rename)."));
        },
        cancellationToken);

    /// <summary>Waits for an xl that an earlier service has left at work: it goes on without one, and before it ends nobody knows where the guest will be.</summary>
    /// <exception cref="UnavailableException">It does not end.</exception>
    private async Task AwaitMovesAsync(CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(XlCommand.MemoryTimeout, environment.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        foreach (var move in XenProcesses.FindMoves(_files))
        {
            Log.AwaitingMove(environment.Logger, id, move);
            try
            {
                await XenProcesses.WaitForExitAsync(move, either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                throw new UnavailableException($"Domain {id}: process {move} (xl migrate) moves it to another host, and has not ended within {XlCommand.MemoryTimeout.TotalHours:0} hours.");
            }
        }
    }

    /// <summary>What is here of the guest. One that reboots has no domain for two seconds, and has not left: it is waited for. A destroyed domain
    /// of which something keeps memory is nothing of it.</summary>
    private async Task<(XenRun? Run, XlListEntry? Row)> ReadWhereaboutsAsync(CancellationToken cancellationToken)
    {
        var run = await ReadRunAsync(cancellationToken).ConfigureAwait(false);
        if (FindGuest() is null)
        {
            run = await ReadSettledRunAsync(cancellationToken).ConfigureAwait(false);
        }

        return (run, FindGuest());

        XlListEntry? FindGuest() => environment.Table.FindRow(id) is { State.Activity: not XlDomainActivity.Dying } row ? row : null;
    }

    /// <summary>Has QEMU write back what is in this host's page cache of the raw disks, and write past it from now on. Only of an HVM guest does Xen make
    /// QEMU write back and let its images go before the other host's opens them: what was written back later would overwrite what the guest wrote there.</summary>
    /// <remarks>libxl's <c>direct-io-safe</c> would do it from the start. But it has QEMU use Linux's own asynchronous I/O, which Debian's QEMU for Xen is built
    /// without: it then opens no disk at all, and the guest waits for its disks for minutes.</remarks>
    /// <param name="run">The run.</param>
    /// <param name="isTrial">Whether only to find out that it can be done.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="WrongStateException">A disk cannot be written past the cache while the guest runs.</exception>
    private async Task WritePastCacheAsync(XenRun run, bool isTrial, CancellationToken cancellationToken)
    {
        if (environment.Guests.Kind == XlGuestKind.Hvm)
        {
            return;
        }

        try
        {
            var devices = (await XenDevices.ListDisksAsync(environment.Store, run.Domain, cancellationToken).ConfigureAwait(false))
                .Where(static device => device is { IsServedByQemu: true, IsRaw: true, IsReadOnly: false, IsCdrom: false, Vdev: not null }).ToList();
            if (devices.Count == 0)
            {
                return;
            }

            if (!_monitor.IsThere)
            {
                throw Cached(devices[0], $"its QEMU does not listen here (there is no {_files.MonitorSocket})");
            }

            var lease = await _monitor.OpenAsync(cancellationToken).ConfigureAwait(false);
            await using (lease.ConfigureAwait(false))
            {
                var cached = await FindCachedAsync(lease.Client, devices, cancellationToken).ConfigureAwait(false);
                if (isTrial || cached.Count == 0)
                {
                    return;
                }

                JsonObject arguments = new() { ["options"] = new JsonArray([.. cached]) };
                await lease.Client.ExecuteAsync(QmpCommands.BlockdevReopen, QmpArguments.Create(arguments), cancellationToken).ConfigureAwait(false);
                if ((await FindCachedAsync(lease.Client, devices, cancellationToken).ConfigureAwait(false)).Count > 0)
                {
                    throw new HypervisorException($"Domain {id}: QEMU was told to write past this host's page cache and does not; it cannot be moved while it runs.");
                }
            }
        }
        catch (Exception exception) when (exception is QmpException or XenstoreException)
        {
            throw Translate("opening the disks past the page cache", exception);
        }
    }

    /// <summary>The raw disks that QEMU writes through the page cache, each as it would be opened past it.</summary>
    private async Task<IReadOnlyList<JsonObject>> FindCachedAsync(IQmpClient client, IReadOnlyList<XenDevice> devices, CancellationToken cancellationToken)
    {
        var graph = await QmpBlockGraph.QueryAsync(client, cancellationToken).ConfigureAwait(false);
        var roots = await FindRootsAsync(client, graph, cancellationToken).ConfigureAwait(false);
        List<JsonObject> cached = [];
        foreach (var device in devices)
        {
            if (!roots.TryGetValue(device.Vdev!, out var root) || graph.Find(root) is not { } node)
            {
                throw Cached(device, "QEMU does not tell how it has it open");
            }

            if (XenBlockNodes.IsCached(graph, node))
            {
                var discards = await XenDevices.FindBackendValueAsync(environment.Store, device, "discard-enable", cancellationToken).ConfigureAwait(false) == "1";
                cached.Add(XenBlockNodes.DescribePastCache(graph, node, discards)
                    ?? throw Cached(device, "it lay beneath an overlay when the guest started, and QEMU opens only what it was told to open by name anew. After the guest's next start it can be moved"));
            }
        }

        return cached;
    }

    private WrongStateException Cached(XenDevice device, string why) => new(
        $"Domain {id} cannot be moved while it runs: what it writes to disk {device.Vdev} may still be in this host's page cache, where the other host would not see it, and {why}.");

    // xl gives it this name before it lets the other host go on, and takes it back only when that one has given the guest up.
    private static bool IsAway(XlListEntry row) => row.Name?.EndsWith(AwaySuffix, StringComparison.Ordinal) == true;

    // What libxl keeps of the domain is what it was created with; what is stored here is what holds.
    private XlCommand MigrateCommand(int domain, string host) => XlCommand.Migrate(domain, host, _files.Configuration, [.. environment.Options.SshOptions]);

    private async Task<HypervisorException> ExplainFailureAsync(XlCommand command, string host, ProcessResult result)
    {
        var why = XlError.Parse(result.Error).Message;
        var (run, row) = await ReadWhereaboutsAsync(CancellationToken.None).ConfigureAwait(false);
        if (row is null)
        {
            return new($"Domain {id}: xl {command.Verb} to {host} failed after the domain had left: {why}. It is no longer here; look for it on {host}.");
        }

        // The name it has then is all that tells: it stays until somebody has looked at both sides.
        if (IsAway(row))
        {
            return new($"Domain {id}: xl {command.Verb} to {host} failed, and it stands still here as {row.Name}: {why}. {host} may run it.");
        }

        return run is { State: VmState.Running, IsLeaving: false }
            ? new($"Domain {id}: xl {command.Verb} to {host} failed, and it goes on here: {why}.")
            : new($"Domain {id}: xl {command.Verb} to {host} failed, and it stands still here: {why}. Make sure that {host} does not run it, then destroy and start it.");
    }
}
