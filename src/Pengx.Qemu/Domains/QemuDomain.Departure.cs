using System.Text.Json;
using Pengx.Qmp;
using Pengx.Qmp.Qapi;

namespace Pengx.Qemu;

// A guest that goes to another host. Up to one moment it is this host's: whatever fails, it goes on here, and the other host's QEMU,
// which has never run, goes. That moment is when it is written down here that the other host may let it run; from then on it does not
// run here unless the other host says that it has not and never will.
internal sealed partial class QemuDomain
{
    private const string MoveVerb = "the move to another host";
    private const string CannotMove = "cannot be moved";
    private const string MigrationEventName = "MIGRATION";
    private const string PeripheralPath = DevicesPath + "/";

    private static readonly TimeSpan s_movePoll = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_goOnTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_outcomePause = TimeSpan.FromSeconds(2);

    public Task CheckMigrationAsync(string host, CancellationToken cancellationToken)
    {
        PeerChannel.CheckHost(host);
        return RunVerbAsync(
            MoveVerb,
            async token =>
            {
                var run = RequireRun();
                var guest = await DescribeAsync(run, RequireClient(run), CannotMove, token).ConfigureAwait(false);
                var channel = await PeerChannel.OpenAsync(environment, host, id, token).ConfigureAwait(false);
                await using (channel.ConfigureAwait(false))
                {
                    using var connection = await channel.ConnectAsync(token).ConfigureAwait(false);
                    _ = await AskAsync(channel, connection, host, new() { Verb = MoveRequest.Check, Guest = guest }, token).ConfigureAwait(false);
                }
            },
            cancellationToken);
    }

    public Task MigrateAsync(string host, CancellationToken cancellationToken)
    {
        PeerChannel.CheckHost(host);
        return RunVerbAsync(MoveVerb, token => MigrateCoreAsync(host, token), cancellationToken);
    }

    /// <summary>Whether the guest is here: where that is open, the other host is asked.</summary>
    public Task<bool> IsHereAsync(CancellationToken cancellationToken) => RunVerbAsync(
        MoveVerb,
        async token => Run is { } run && (run.Record.Departure is not { HasLeft: true } || !await ResolveAsync(run, token).ConfigureAwait(false)),
        cancellationToken);

    private async Task MigrateCoreAsync(string host, CancellationToken cancellationToken)
    {
        var run = Run ?? throw new WrongStateException($"Domain {id} does not run.");
        if (run.Record.Departure is { HasLeft: true } && await ResolveAsync(run, cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        var client = RequireClient(run);
        var guest = await DescribeAsync(run, client, CannotMove, cancellationToken).ConfigureAwait(false);
        RunDeparture departure = new(Guid.NewGuid(), host, HasLeft: false);
        var channel = await PeerChannel.OpenAsync(environment, host, id, cancellationToken).ConfigureAwait(false);
        await using (channel.ConfigureAwait(false))
        {
            using var control = await channel.ConnectAsync(cancellationToken).ConfigureAwait(false);
            _ = await AskAsync(channel, control, host, new() { Verb = MoveRequest.Receive, Move = departure.Move, Guest = guest }, cancellationToken).ConfigureAwait(false);
            long stood;
            try
            {
                await WriteRecordAsync(run, run.Record with { Departure = departure }, cancellationToken).ConfigureAwait(false);
                lock (_gate)
                {
                    // Its stop at the end is nobody's pause.
                    run.IsHeld = true;
                }

                stood = await SendAsync(run, client, channel, control, departure, cancellationToken).ConfigureAwait(false);
                await environment.OnMove(MoveMoment.Sent).ConfigureAwait(false);

                // The moment. From here on neither a cancel nor a failure brings it back, only the other host's word.
                await WriteRecordAsync(run, run.Record with { Departure = departure with { HasLeft = true } }, CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception exception)
            {
                // The other host's QEMU ends with the connection, and has not run.
                control.Dispose();
                await GoOnAsync(run, departure, exception, CancellationToken.None).ConfigureAwait(false);
                if (exception is QmpException or IOException or UnauthorizedAccessException)
                {
                    throw Explain(host, exception);
                }

                throw;
            }

            await environment.OnMove(MoveMoment.Left).ConfigureAwait(false);
            await LeaveAsync(run, control, departure).ConfigureAwait(false);
            Log.Departed(environment.Logger, id, host, (long)environment.Time.GetElapsedTime(stood).TotalMilliseconds);
        }
    }

    private HypervisorException Explain(string host, Exception exception) => exception is QmpException
        ? new($"Domain {id}: the move to {host} failed: {Translate(MoveVerb, exception).Message}", exception)
        : new($"Domain {id}: the move to {host} failed: {exception.Message}", exception);

    /// <summary>Sends the guest's state; it stands still at the end.</summary>
    /// <returns>When it began to stand still.</returns>
    private async Task<long> SendAsync(QemuRun run, IQmpClient client, PeerChannel channel, MoveConnection control, RunDeparture departure, CancellationToken cancellationToken)
    {
        using var stream = await channel.ConnectAsync(cancellationToken).ConfigureAwait(false);
        _ = await AskAsync(channel, stream, departure.Host, new() { Verb = MoveRequest.Stream, Move = departure.Move }, cancellationToken).ConfigureAwait(false);
        using var changes = client.Subscribe(QmpEventFilter.Named(MigrationEventName));
        await SetCapabilitiesAsync(
            client, [MigrationCapability.Events, MigrationCapability.PauseBeforeSwitchover, MigrationCapability.AutoConverge], cancellationToken).ConfigureAwait(false);
        if (environment.Options.MigrationBytesPerSecond is { } speed)
        {
            await client.ExecuteAsync(QapiCommands.MigrateSetParameters, new() { MaxBandwidth = speed }, cancellationToken).ConfigureAwait(false);
        }

        var relay = StateRelay.Start(stream.Socket, isOutgoing: true, out var forQemu);
        await using (relay.ConfigureAwait(false))
        {
            using (forQemu)
            {
                await client.GetFdAsync(StateName, forQemu, cancellationToken).ConfigureAwait(false);
            }

            // What the other host says next is that all is there, or that nothing will come of it.
            using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var arrived = control.ReadReplyAsync(over.Token);
            try
            {
                long? stopped = null;
                if (run.Record.IsEmulated && LosesWrites(client.Greeting.Version.Qemu))
                {
                    stopped = environment.Time.GetTimestamp();
                    await client.ExecuteAsync(QmpCommands.Stop, cancellationToken).ConfigureAwait(false);
                }

                await client.ExecuteAsync(QapiCommands.Migrate, new() { Uri = $"fd:{StateName}" }, cancellationToken).ConfigureAwait(false);
                await environment.OnMove(MoveMoment.Sending).ConfigureAwait(false);
                var stood = await FollowMoveAsync(run, client, changes, arrived, cancellationToken).ConfigureAwait(false);
                var reply = await arrived.WaitAsync(s_moveAnswer, environment.Time, cancellationToken).ConfigureAwait(false);
                return reply is { Status: MoveReply.Arrived } ? stopped ?? stood : throw Failed(departure.Host, reply);
            }
            catch (TimeoutException)
            {
                throw new HypervisorException($"Domain {id}: host {departure.Host} did not say that the guest has arrived.");
            }
            catch (HypervisorException) when (arrived is { IsCompletedSuccessfully: true, Result: { Status: MoveReply.Refused } reply })
            {
                // QEMU knows only that its connection broke; the other host knows why.
                throw Failed(departure.Host, reply);
            }
            finally
            {
                await over.CancelAsync().ConfigureAwait(false);
                await ((Task)arrived).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Whether this QEMU, where it emulates the processor, loses what a guest writes into memory while that is sent: it forgets to watch
    /// pages again that it has looked at. The guest then goes on with pages of different moments, and may do anything. It stands still instead, from
    /// the beginning. (QEMU 9.0: "physmem: Fix migration dirty bitmap coherency with TCG memory access".)</summary>
    private static bool LosesWrites(QmpVersionNumber qemu) => !qemu.IsAtLeast(9, 0);

    private HypervisorException Failed(string host, MoveReply? reply) =>
        new($"Domain {id}: the move to {host} failed: {reply?.Message ?? "its service, or the connection to it, ended"}");

    private async Task<long> FollowMoveAsync(QemuRun run, IQmpClient client, QmpEventSubscription changes, Task<MoveReply?> arrived, CancellationToken cancellationToken)
    {
        var moved = environment.Time.GetTimestamp();
        long? stood = null;
        long sent = -1;
        while (true)
        {
            var info = await client.ExecuteAsync(QapiCommands.QueryMigrate, cancellationToken).ConfigureAwait(false);
            var status = info.Status ?? MigrationStatus.None;
            if (status == MigrationStatus.Completed)
            {
                return stood ?? moved;
            }

            if (status == MigrationStatus.Failed || status == MigrationStatus.Cancelled)
            {
                // The other host's word comes right after.
                await Task.WhenAny(arrived, Task.Delay(s_movePoll, environment.Time, cancellationToken)).ConfigureAwait(false);
                throw new HypervisorException($"Domain {id}: the move failed: {info.ErrorDesc ?? "the connection to the other host ended"}.");
            }

            if (arrived.IsCompleted && arrived is not { IsCompletedSuccessfully: true, Result.Status: MoveReply.Arrived })
            {
                throw Failed(run.Record.Departure!.Host, arrived.IsCompletedSuccessfully ? arrived.Result : null);
            }

            // QEMU stays in this state for a moment after it was told to go on.
            if (status == MigrationStatus.PreSwitchover && stood is null)
            {
                stood = environment.Time.GetTimestamp();
                await environment.OnMove(MoveMoment.Standing).ConfigureAwait(false);
                await client.ExecuteAsync(QapiCommands.MigrateContinue, new() { State = MigrationStatus.PreSwitchover }, cancellationToken).ConfigureAwait(false);
                continue;
            }

            if (info.Ram is { } ram && ram.Transferred != sent)
            {
                sent = ram.Transferred;
                moved = environment.Time.GetTimestamp();
            }
            else if (environment.Time.GetElapsedTime(moved) > environment.Options.MigrationStallTimeout)
            {
                throw new HypervisorException($"Domain {id}: the move was given up: nothing got across within {environment.Options.MigrationStallTimeout.TotalSeconds:0.#} s.");
            }

            await AwaitChangeAsync(changes, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task AwaitChangeAsync(QmpEventSubscription changes, CancellationToken cancellationToken)
    {
        using var brief = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = environment.Time.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), brief, s_movePoll, Timeout.InfiniteTimeSpan);
        try
        {
            _ = await changes.WaitToReadAsync(brief.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // Time to look again.
        }

        while (changes.TryRead(out _))
        {
            // What it is now is asked.
        }
    }

    /// <summary>Lets the guest run on the other host, and ends it here when it does.</summary>
    private async Task LeaveAsync(QemuRun run, MoveConnection control, RunDeparture departure)
    {
        MoveReply? reply = null;
        try
        {
            using CancellationTokenSource patience = new(s_moveAnswer, environment.Time);
            await control.SendAsync(new MoveRequest { Verb = MoveRequest.Start, Move = departure.Move }, patience.Token).ConfigureAwait(false);
            reply = await control.ReadReplyAsync(patience.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            // Asked again, below.
        }

        if (reply is { Status: MoveReply.Runs })
        {
            await environment.OnMove(MoveMoment.Known).ConfigureAwait(false);
            await FinishMoveAsync(run).ConfigureAwait(false);
        }
        else if (!await ResolveAsync(run, CancellationToken.None).ConfigureAwait(false))
        {
            throw new HypervisorException($"Domain {id}: the move to {departure.Host} failed, and it goes on here: {reply?.Message ?? "the other host lost it before it ran"}");
        }
    }

    /// <summary>Asks the other host what became of the guest that may run there, and does what follows from it.</summary>
    /// <returns>Whether it is there; else it goes on here.</returns>
    /// <exception cref="HypervisorException">The other host cannot be asked: the guest stands still.</exception>
    private async Task<bool> ResolveAsync(QemuRun run, CancellationToken cancellationToken)
    {
        var departure = run.Record.Departure!;
        var asked = environment.Time.GetTimestamp();
        while (true)
        {
            try
            {
                var channel = await PeerChannel.OpenAsync(environment, departure.Host, id, cancellationToken).ConfigureAwait(false);
                await using (channel.ConfigureAwait(false))
                {
                    using var connection = await channel.ConnectAsync(cancellationToken).ConfigureAwait(false);
                    var reply = await AskAsync(channel, connection, departure.Host, new() { Verb = MoveRequest.Outcome, Move = departure.Move, Domain = id.Value }, cancellationToken).ConfigureAwait(false);
                    switch (reply.Status)
                    {
                        case MoveReply.Runs:
                            await FinishMoveAsync(run).ConfigureAwait(false);
                            return true;
                        case MoveReply.Never:
                            await GoOnAsync(run, departure, null, cancellationToken).ConfigureAwait(false);
                            return false;
                    }
                }
            }
            catch (Exception exception) when (exception is HypervisorException or WrongStateException && environment.Time.GetElapsedTime(asked) > environment.Options.OutcomePatience)
            {
                Log.MoveUnknown(environment.Logger, id, departure.Host, exception);
                throw new HypervisorException(
                    $"Domain {id}: whether host {departure.Host} runs it is not known, so it stands still here: {exception.Message} Move it again when that host can be asked; or make sure that it does not run there, then destroy and start it.",
                    exception);
            }
            catch (Exception exception) when (exception is HypervisorException or WrongStateException)
            {
                await Task.Delay(s_outcomePause, environment.Time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task FinishMoveAsync(QemuRun run)
    {
        lock (_gate)
        {
            run.EndsCleanly = true;
            run.CrashReason = null;
        }

        await EndAsync(run, CancellationToken.None).ConfigureAwait(false);
        await run.Ended.ConfigureAwait(false);
        await DestroyCoreAsync(CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Lets the guest go on here after a move that came to nothing. Only where the other host has not let it run, and never will.</summary>
    private async Task GoOnAsync(QemuRun run, RunDeparture departure, Exception? cause, CancellationToken cancellationToken)
    {
        try
        {
            using CancellationTokenSource limit = new(s_goOnTimeout, environment.Time);
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
            if (!run.Ended.IsCompleted)
            {
                await GoOnCoreAsync(run, RequireClient(run), patience.Token).ConfigureAwait(false);
                Log.MoveGivenUp(environment.Logger, id, departure.Host, cause);
            }

            await WriteRecordAsync(run, run.Record with { Departure = null }, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or UnavailableException or OperationCanceledException)
        {
            // Its QEMU ended, or does not answer: as long as it is there, the guest may stand in it.
            Log.SettleFailed(environment.Logger, id, exception);
            _ = SettleMoveInBackgroundAsync(s_monitorRetry);
        }
        finally
        {
            _ = Release(run);
        }
    }

    private async Task GoOnCoreAsync(QemuRun run, IQmpClient client, CancellationToken cancellationToken)
    {
        using var changes = client.Subscribe(QmpEventFilter.Named(MigrationEventName));
        while (true)
        {
            var info = await client.ExecuteAsync(QapiCommands.QueryMigrate, cancellationToken).ConfigureAwait(false);
            var status = info.Status ?? MigrationStatus.None;
            if (status == MigrationStatus.None || status == MigrationStatus.Completed || status == MigrationStatus.Failed || status == MigrationStatus.Cancelled)
            {
                break;
            }

            // Asked for more than once does no harm.
            await client.ExecuteAsync(QapiCommands.MigrateCancel, cancellationToken).ConfigureAwait(false);
            if (run.Record.IsHeld && status == MigrationStatus.Cancelling
                && (await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false)).Status == QmpRunState.Paused)
            {
                // What it was written to may hang for ever, and the guest need not: nothing stops it any more.
                break;
            }

            await AwaitChangeAsync(changes, cancellationToken).ConfigureAwait(false);
        }

        while (true)
        {
            var state = await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false);
            switch (state.Status)
            {
                case QmpRunState.PostMigrate or QmpRunState.Paused when !run.IsGuestDown && run.CrashReason is null:
                    await client.ExecuteAsync(QmpCommands.Cont, cancellationToken).ConfigureAwait(false);
                    return;
                case QmpRunState.FinishMigrate:
                    // QEMU goes on by itself in a moment.
                    await AwaitChangeAsync(changes, cancellationToken).ConfigureAwait(false);
                    continue;
                case QmpRunState.Running:
                    return;
                default:
                    // It has stopped by itself meanwhile.
                    Release(run);
                    Change(run, VmState.Running, VmState.Paused, DomainEventKind.Paused);
                    return;
            }
        }
    }

    /// <summary>Looks after a move that a service which is gone had under way, when the run is taken up.</summary>
    private async Task SettleMoveAsync(QemuRun run, CancellationToken cancellationToken)
    {
        if (run.Record.Departure is not { } departure)
        {
            return;
        }

        await PeerChannel.RemoveRemainsAsync(environment, id).ConfigureAwait(false);
        if (!departure.HasLeft)
        {
            await GoOnAsync(run, departure, null, cancellationToken).ConfigureAwait(false);
            return;
        }

        _ = SettleMoveInBackgroundAsync(TimeSpan.Zero);
    }

    private async Task SettleMoveInBackgroundAsync(TimeSpan pause)
    {
        try
        {
            await Task.Delay(pause, environment.Time, detached).ConfigureAwait(false);
            await RunVerbAsync(
                MoveVerb,
                async token =>
                {
                    switch (Run)
                    {
                        case { Record.Departure.HasLeft: true } run:
                            _ = await ResolveAsync(run, token).ConfigureAwait(false);
                            break;
                        case { Record.Departure: { } departure } run:
                            await GoOnAsync(run, departure, null, token).ConfigureAwait(false);
                            break;
                    }
                },
                detached).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is PengxException or OperationCanceledException)
        {
            // Logged where it was found out; whoever moves the guest again asks again.
        }
        catch (Exception exception)
        {
            Log.WatchFailed(environment.Logger, id, exception);
        }
    }

    /// <summary>What must be known to rebuild the guest around its state.</summary>
    /// <param name="run">The run.</param>
    /// <param name="client">Its monitor.</param>
    /// <param name="cannot">What cannot be done where it cannot be rebuilt, for the refusal.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="WrongStateException">It cannot be.</exception>
    private async Task<MovingGuest> DescribeAsync(QemuRun run, IQmpClient client, string cannot, CancellationToken cancellationToken)
    {
        var status = await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false);
        if (run.State != VmState.Running || status.Status != QmpRunState.Running)
        {
            throw new WrongStateException($"Domain {id} {cannot}: only one that runs can.");
        }

        if (ChangesOf(run).Count > 0 || (await client.ExecuteAsync(QapiCommands.QueryJobs, cancellationToken).ConfigureAwait(false)).Count > 0)
        {
            throw new WrongStateException($"Domain {id} {cannot} while layers of its disks are being changed.");
        }

        var devices = (await client.ExecuteAsync(QmpCommands.QomList, new() { Path = DevicesPath }, cancellationToken).ConfigureAwait(false)).Select(device => device.Name).ToHashSet();
        if (devices.Contains(QemuCommandLine.CdromId))
        {
            throw new WrongStateException($"Domain {id} {cannot}: it was started with an ISO image of this host in its drive; stop and start it without.");
        }

        var definition = _files.ReadDefinition();
        if (definition is { PciDevices.Count: > 0 })
        {
            throw new WrongStateException($"Domain {id} {cannot}: it has devices of this host ({string.Join(", ", definition.PciDevices)}).");
        }

        var machine = (await client.ExecuteAsync(QmpCommands.QomGet, new() { Path = "/machine", Property = "type" }, cancellationToken).ConfigureAwait(false)).GetString() ?? "";
        var processors = (await client.ExecuteAsync(QmpCommands.QueryHotpluggableCpus, cancellationToken).ConfigureAwait(false))
            .OrderBy(place => Place(place, "socket-id")).ThenBy(place => Place(place, "core-id")).ThenBy(place => Place(place, "thread-id")).ToList();
        var added = processors.Where(IsAdded).ToList();
        var first = processors.TakeWhile(place => place.QomPath is not null && !IsAdded(place)).Count();
        if (processors.Skip(first).Any(place => place.QomPath is not null && !IsAdded(place)))
        {
            throw new WrongStateException($"Domain {id} {cannot}: processors that it was started with were taken away; stop and start it.");
        }

        var memory = await client.ExecuteAsync(QmpCommands.QueryMemorySizeSummary, cancellationToken).ConfigureAwait(false);
        var real = await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false);
        return new()
        {
            Version = MovingGuest.CurrentVersion,
            Id = id.Value,
            Qemu = client.Greeting.Version.ToString(),
            Machine = machine.EndsWith("-machine", StringComparison.Ordinal) ? machine[..^"-machine".Length] : machine,
            HostProcessor = run.Record.IsEmulated ? null : HostProcessor.Read(),
            Cpus = first,
            MaxCpus = processors.Sum(place => place.VcpusCount),
            Processors = [.. added.Select(place => new MovingProcessor(place.Type, place.QomPath![PeripheralPath.Length..], place.Props))],
            MemoryBytes = memory.BaseMemory,
            MaxMemoryBytes = Math.Max(run.Record.MaxMemoryBytes, memory.BaseMemory),
            Dimms = [.. (await client.ExecuteAsync(QmpCommands.QueryMemoryDevices, cancellationToken).ConfigureAwait(false)).Select(device => ReadDimm(device, cannot))],
            IsWindows = definition?.IsWindows ?? false,
            Disks = [.. real.Select(disk => new MovingDisk(StoredDisk.From(disk.Disk), [.. FilesOf(disk.Disk, cannot)]))],
            Nics = [.. run.Record.Nics.Select(nic => new MovingNic(nic.Mac, nic.Slot, nic.Tap is { } tap ? TapDevices.FindBridge(tap) : null))],
            HasTablet = devices.Contains(QemuCommandLine.TabletId),
            VncPassword = definition?.VncPassword,
            StartedAt = run.Record.StartedAt,
            Definition = definition is null ? null : StoredDefinition.From(definition with { Disks = [.. real.Select(disk => disk.Disk)] }),
        };

        static bool IsAdded(QmpHotpluggableCpu place) => place.QomPath?.StartsWith(PeripheralPath, StringComparison.Ordinal) == true;
    }

    private MovingDimm ReadDimm(QmpMemoryDevice device, string cannot)
    {
        const string Objects = "/objects/";
        var data = device.Data;
        return device.Type == "dimm" && data.TryGetProperty("id", out var name) && data.GetProperty("memdev").GetString() is { } backend && backend.StartsWith(Objects, StringComparison.Ordinal)
            ? new(name.GetString()!, backend[Objects.Length..], data.GetProperty("size").GetInt64(), data.GetProperty("slot").GetInt64(), data.GetProperty("addr").GetInt64())
            : throw new WrongStateException($"Domain {id} {cannot}: it has memory that was not added here ({device.Type}).");
    }

    private IEnumerable<MovingFile> FilesOf(DomainDisk disk, string cannot) => disk.Layers.Select(layer => layer.Location).OfType<FileLocation>().Select(file => new MovingFile(
        file.Path, FileNumber.Find(file.Path) ?? throw new WrongStateException($"Domain {id} {cannot}: its disk {file.Path} is not to be seen at its path any more.")));

    /// <summary>Asks the other host's driver.</summary>
    private async Task<MoveReply> AskAsync(PeerChannel channel, MoveConnection connection, string host, MoveRequest request, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = environment.Time.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), patience, s_moveAnswer, Timeout.InfiniteTimeSpan);
        MoveReply? reply;
        try
        {
            await connection.SendAsync(request, patience.Token).ConfigureAwait(false);
            reply = await connection.ReadReplyAsync(patience.Token).ConfigureAwait(false);
        }
        catch (IOException exception)
        {
            throw await channel.ExplainAsync(exception).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw await channel.ExplainAsync(null).ConfigureAwait(false);
        }

        return reply switch
        {
            null => throw await channel.ExplainAsync(null).ConfigureAwait(false),
            { Status: MoveReply.Refused, IsShort: true } => throw new InsufficientResourceException($"Host {host}: {reply.Message}"),
            { Status: MoveReply.Refused } => throw new WrongStateException($"Domain {id} cannot be moved to {host}: {reply.Message}"),
            _ => reply,
        };
    }
}
