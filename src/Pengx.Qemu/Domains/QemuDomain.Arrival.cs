using System.Globalization;
using Pengx.Qmp;
using Pengx.Qmp.Qapi;

namespace Pengx.Qemu;

// A guest that comes from another host. Its QEMU stands still, with its disks closed for writing, until the other host says that its
// own will never run again; then it is written down that the guest is here, and only then it runs.
internal sealed partial class QemuDomain
{
    private const string ArrivalVerb = "the arrival of the guest";
    private const string StateName = "state";

    private static readonly TimeSpan s_moveAnswer = TimeSpan.FromSeconds(60);

    /// <summary>Says what stands in the way of a guest that would come here.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="cancellationToken">Ends the check.</param>
    /// <exception cref="WrongStateException">It cannot come; the message says why.</exception>
    /// <exception cref="InsufficientResourceException">There is not enough memory.</exception>
    public async Task CheckArrivalAsync(MovingGuest guest, CancellationToken cancellationToken)
    {
        if (guest.Version != MovingGuest.CurrentVersion)
        {
            throw new WrongStateException(string.Create(CultureInfo.InvariantCulture, $"its service speaks version {guest.Version} of this, and the target's {MovingGuest.CurrentVersion}."));
        }

        if (guest.Definition is { } definition && (definition.Version != StoredDefinition.CurrentVersion || definition.Id != guest.Id))
        {
            throw new WrongStateException("its stored configuration is not understood there.");
        }

        if (Run is not null)
        {
            throw new WrongStateException("a domain with its UUID runs there already.");
        }

        if (!ListeningSocket.Fits(_files.MonitorSocket) || !ListeningSocket.Fits(_files.SerialSocket))
        {
            throw new WrongStateException($"the sockets' paths in {environment.RunDirectory} would have more than 107 bytes.");
        }

        var binary = environment.FindBinary();
        var version = await environment.ReadVersionAsync(binary, cancellationToken).ConfigureAwait(false);
        if (version != guest.Qemu)
        {
            throw new WrongStateException($"it runs in QEMU {guest.Qemu}, and QEMU {version} is installed there.");
        }

        var (useKvm, _) = await environment.Probe.ChooseAsync(binary, cancellationToken).ConfigureAwait(false);
        if (useKvm != guest.HostProcessor is not null)
        {
            throw new WrongStateException(useKvm ? "it runs without KVM, and guests there run with it." : "it runs with KVM, and guests there run without it.");
        }

        if (useKvm && guest.HostProcessor != HostProcessor.Read())
        {
            throw new WrongStateException($"the processors differ: {guest.HostProcessor} here, {HostProcessor.Read()} there.");
        }

        foreach (var file in guest.Disks.SelectMany(disk => disk.Files))
        {
            if (FileNumber.Find(file.Path) is not { } number)
            {
                throw new WrongStateException($"its disk {file.Path} is not to be seen there.");
            }

            if (number != file.Number)
            {
                throw new WrongStateException($"{file.Path} is another file there than here: its storage is not the same.");
            }
        }

        foreach (var block in guest.Disks.SelectMany(disk => disk.Disk.ToDisk().Layers).Select(layer => layer.Location).OfType<BlockLocation>())
        {
            if (!File.Exists(block.Path))
            {
                throw new WrongStateException($"its disk {block.Path} is not to be seen there.");
            }
        }

        foreach (var nic in guest.Nics)
        {
            if (nic.Bridge is { } bridge && !UseBridge(new() { Mac = MacAddress.Parse(nic.Mac), Switch = bridge }))
            {
                throw new WrongStateException($"its network interface {nic.Mac} is in bridge {bridge}, which cannot be used there.");
            }
        }

        RequireMemory(guest.AllMemory);
    }

    /// <summary>Takes a guest in.</summary>
    /// <param name="arrival">The guest.</param>
    /// <param name="cancellationToken">Gives up, as long as the guest has not been let run.</param>
    public Task ReceiveAsync(ArrivingGuest arrival, CancellationToken cancellationToken) =>
        RunVerbAsync(ArrivalVerb, token => ReceiveCoreAsync(arrival, token), cancellationToken);

    private async Task ReceiveCoreAsync(ArrivingGuest arrival, CancellationToken cancellationToken)
    {
        var guest = arrival.Guest;
        await CheckArrivalAsync(guest, cancellationToken).ConfigureAwait(false);
        List<DomainDisk> disks = [.. guest.Disks.Select(disk => disk.Disk.ToDisk())];
        List<DomainNic> nics = [.. guest.Nics.Select(nic => new DomainNic { Mac = MacAddress.Parse(nic.Mac), Switch = nic.Bridge ?? "" })];
        var record = new RunRecord
        {
            BootId = HostReadings.BootId(),
            StartedAt = guest.StartedAt,
            IsEmulated = guest.HostProcessor is null,
            MaxMemoryBytes = guest.MaxMemoryBytes,
            Disks = [.. disks.Select(disk => new RunDisk(disk.Id.Value, disk.Vdev, disk.Id.Value))],
            Nics = [.. guest.Nics.Select(nic => new RunNic(nic.Mac, nic.Slot, nic.Bridge is null ? null : TapDevices.NameOf(id, MacAddress.Parse(nic.Mac))))],
            Arrival = arrival.Move,
            ArrivedDefinition = guest.Definition,
        };

        QemuProcess? process = null;
        IQmpClient? client = null;
        try
        {
            CleanUp(_files.ReadRun());
            _files.CreateRunDirectory();
            _files.CreateStateDirectory();
            environment.HandOver(_files.RunDirectory);
            await _files.WriteRunAsync(record, cancellationToken).ConfigureAwait(false);
            MakeTaps(nics, record.Nics);
            foreach (var disk in disks)
            {
                environment.HandOver(disk);
            }

            process = Spawn(environment.Confine(environment.FindBinary(), QemuCommandLine.BuildIncoming(guest, disks, record.Nics, _files, environment.Options.VncListen)));
            record = record with { Pid = process.Pid, StartTicks = ProcessTable.ReadStartTicks(process.Pid) ?? 0 };
            await _files.WriteRunAsync(record, cancellationToken).ConfigureAwait(false);
            client = await ConnectAsync(environment.Options.StartTimeout, cancellationToken).ConfigureAwait(false);
            var events = client.Subscribe();
            if (guest.VncPassword is { } password && environment.Options.VncListen != QemuVncListen.None)
            {
                await client.ExecuteAsync(QmpCommands.SetPassword, new() { Protocol = "vnc", Password = password }, cancellationToken).ConfigureAwait(false);
            }

            await LoadAsync(arrival, process, client, cancellationToken).ConfigureAwait(false);
            await environment.OnMove(MoveMoment.Loaded).ConfigureAwait(false);
            await arrival.Control.SendAsync(new MoveReply { Status = MoveReply.Arrived }, cancellationToken).ConfigureAwait(false);
            await AwaitStartAsync(arrival, cancellationToken).ConfigureAwait(false);
            await environment.OnMove(MoveMoment.Told).ConfigureAwait(false);

            // A QEMU that has died meanwhile must not be taken for the guest's place: the other one still has all of it.
            _ = await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false);

            // The other host's guest never runs again. Written down before the first instruction: whatever dies now, it is here.
            record = record with { HasRun = true };
            await _files.WriteRunAsync(record, CancellationToken.None).ConfigureAwait(false);
            await OwnAsync(record, arrival.Move, CancellationToken.None).ConfigureAwait(false);
            await environment.OnMove(MoveMoment.Owned).ConfigureAwait(false);
            try
            {
                await client.ExecuteAsync(QmpCommands.Cont, CancellationToken.None).ConfigureAwait(false);
            }
            catch (QmpCommandException)
            {
                // It has not run, and will not: not before its QEMU is gone the other host may hear of that.
                await EndArrivalAsync(process).ConfigureAwait(false);
                _files.DeleteArrival();
                _files.DeleteDefinition();
                throw;
            }
            catch (QmpException)
            {
                // Nobody can say whether it ran. It counts as if it had, and shows what became of it.
            }

            await environment.OnMove(MoveMoment.Running).ConfigureAwait(false);
            _files.DeleteCrash();
            var run = new QemuRun(process, record)
            {
                Client = client,
                Cpus = guest.AllCpus,
                Memory = guest.AllMemory,
            };
            lock (_gate)
            {
                _run = run;
                _crash = null;
            }

            Log.Arrived(environment.Logger, id, process.Pid);
            Publish(DomainEventKind.Started, VmState.Running);
            _watch = WatchAsync(run, events);
            await WriteRecordAsync(run, record with { Arrival = null, ArrivedDefinition = null }, CancellationToken.None).ConfigureAwait(false);
            await TellAsync(arrival.Control, MoveReply.Runs).ConfigureAwait(false);
        }
        catch (Exception exception) when (Run is null)
        {
            await UndoStartAsync(process, client, record).ConfigureAwait(false);
            ForgetStranger();
            if (exception is QmpException or UnauthorizedAccessException || (exception is IOException && _startLog is { Length: > 0 }))
            {
                throw StartFailed(process, exception);
            }

            throw;
        }
        finally
        {
            _startLog = null;
        }
    }

    /// <summary>Makes the guest this host's. With its stored definition, and before it runs: from its first write on, that tells which images
    /// it writes to.</summary>
    private async Task OwnAsync(RunRecord record, Guid move, CancellationToken cancellationToken)
    {
        if (record.ArrivedDefinition is { } definition)
        {
            await _files.WriteDefinitionAsync(definition.ToDefinition(), cancellationToken).ConfigureAwait(false);
        }

        await _files.WriteArrivalAsync(new(move), cancellationToken).ConfigureAwait(false);
    }

    // A domain of which there is nothing but an arrival that came to nothing.
    private void ForgetStranger()
    {
        if (!_files.IsDefined && !_files.HasArrival && _files.ReadCrash() is null)
        {
            _files.DeleteAll();
        }
    }

    private async Task LoadAsync(ArrivingGuest arrival, QemuProcess process, IQmpClient client, CancellationToken cancellationToken)
    {
        using var changes = client.Subscribe(QmpEventFilter.Named(MigrationEventName));
        await SetCapabilitiesAsync(client, [MigrationCapability.Events, MigrationCapability.LateBlockActivate], cancellationToken).ConfigureAwait(false);
        await arrival.Control.SendAsync(new MoveReply { Status = MoveReply.Ready }, cancellationToken).ConfigureAwait(false);
        var stream = await arrival.Stream.WaitAsync(s_moveAnswer, environment.Time, cancellationToken).ConfigureAwait(false);
        var relay = StateRelay.Start(stream.Socket, isOutgoing: false, out var forQemu);
        await using (relay.ConfigureAwait(false))
        {
            using (forQemu)
            {
                await client.GetFdAsync(StateName, forQemu, cancellationToken).ConfigureAwait(false);
            }

            await client.ExecuteAsync(QapiCommands.MigrateIncoming, new() { Uri = $"fd:{StateName}" }, cancellationToken).ConfigureAwait(false);
            await environment.OnMove(MoveMoment.Waiting).ConfigureAwait(false);
            await stream.SendAsync(new MoveReply { Status = MoveReply.Ready }, cancellationToken).ConfigureAwait(false);

            // The other host says nothing before all is here: a word, or the end of the connection, is the end of the move.
            using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var hangUp = WatchHangUpAsync(arrival.Control, over);
            try
            {
                await FollowLoadAsync(process, changes, over.Token, cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                throw new HypervisorException($"Domain {id}: the other host gave the move up.");
            }
            finally
            {
                await over.CancelAsync().ConfigureAwait(false);
                await hangUp.ConfigureAwait(false);
            }
        }

        // Only one that ran can be let run: it may have shut down, or lost a disk, in its last moment there.
        var state = await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false);
        if (state.Status != QmpRunState.Paused)
        {
            throw new HypervisorException($"Domain {id} arrived in the state {state.Status}, and not running.");
        }
    }

    /// <summary>Waits until QEMU has taken a guest's state in.</summary>
    private async Task FollowLoadAsync(QemuProcess process, QmpEventSubscription changes, CancellationToken patience, CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var change in changes.WithCancellation(patience).ConfigureAwait(false))
            {
                if (!change.Data.TryGetProperty("status", out var status))
                {
                    continue;
                }

                if (status.ValueEquals(MigrationStatus.Completed.Value))
                {
                    return;
                }

                if (status.ValueEquals(MigrationStatus.Failed.Value))
                {
                    break;
                }
            }
        }
        catch (QmpException)
        {
            // The end of it, too.
        }

        // QEMU ends by itself, and has said why by then.
        _ = await process.WaitForExitAsync(environment.Options.StopTimeout, cancellationToken).ConfigureAwait(false);
        throw new HypervisorException(FailedToLoad());
    }

    private string FailedToLoad() => $"QEMU could not take the guest's state in: {(_files.ReadQemuLogTail() is { Length: > 0 } words ? words : "its connection ended")}";

    // Looks only whether there is anything to read, which is left to whoever reads next.
    private static async Task WatchHangUpAsync(MoveConnection control, CancellationTokenSource over)
    {
        try
        {
            _ = await control.Socket.ReceiveAsync(new byte[1], System.Net.Sockets.SocketFlags.Peek, over.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is System.Net.Sockets.SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The end of it, too.
        }

        await over.CancelAsync().ConfigureAwait(false);
    }

    private async Task AwaitStartAsync(ArrivingGuest arrival, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = environment.Time.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), patience, s_moveAnswer, Timeout.InfiniteTimeSpan);
        MoveRequest? request;
        try
        {
            request = await arrival.Control.ReadRequestAsync(patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HypervisorException($"Domain {id}: the other host did not say that the guest shall run.");
        }

        if (request is not { Verb: MoveRequest.Start })
        {
            throw new HypervisorException($"Domain {id}: the other host gave the move up.");
        }
    }

    private async Task EndArrivalAsync(QemuProcess process)
    {
        process.Signal(NativeMethods.SigKill);
        if (!await process.WaitForExitAsync(environment.Options.StopTimeout, CancellationToken.None).ConfigureAwait(false))
        {
            throw new HypervisorException(string.Create(
                CultureInfo.InvariantCulture, $"QEMU process {process.Pid} of domain {id} cannot be killed; it hangs in the kernel, as a rule on storage that does not answer."));
        }
    }

    private async Task TellAsync(MoveConnection control, string status)
    {
        try
        {
            using CancellationTokenSource patience = new(s_moveAnswer, environment.Time);
            await control.SendAsync(new MoveReply { Status = status }, patience.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            // The other host asks again.
        }
    }

    private static Task<QmpEmpty> SetCapabilitiesAsync(IQmpClient client, IEnumerable<MigrationCapability> capabilities, CancellationToken cancellationToken) => client.ExecuteAsync(
        QapiCommands.MigrateSetCapabilities,
        new() { Capabilities = [.. capabilities.Select(capability => new MigrationCapabilityStatus { Capability = capability, State = true })] },
        cancellationToken);
}
