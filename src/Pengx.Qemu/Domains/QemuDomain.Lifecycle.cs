using System.Globalization;
using Pengx.Qmp;

namespace Pengx.Qemu;

// Coming and going: define, start, adopt, shut down, reboot, pause, destroy.
internal sealed partial class QemuDomain
{
    public Task DefineAsync(DomainDefinition definition, CancellationToken cancellationToken) =>
        RunVerbAsync("define", token => _files.WriteDefinitionAsync(definition, token), cancellationToken);

    public Task UndefineAsync(CancellationToken cancellationToken) =>
        RunVerbAsync(
            "undefine",
            token =>
            {
                if (Run is not null)
                {
                    throw new WrongStateException($"Domain {id} runs; its configuration can be removed when it is stopped.");
                }

                CleanUp(_files.ReadRun());
                _files.DeleteAll();
                lock (_gate)
                {
                    _crash = null;
                }

                return Task.CompletedTask;
            },
            cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => RunVerbAsync("start", token => StartCoreAsync(null, token), cancellationToken);

    public async Task RequestShutdownAsync(CancellationToken cancellationToken)
    {
        // Not a verb of its own turn: it returns at once, whatever else waits for the guest.
        if (Run is not { } run)
        {
            return;
        }

        try
        {
            await RequireClient(run).ExecuteAsync(QmpCommands.SystemPowerdown, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpDisconnectedException)
        {
            // It has just ended: what was asked for.
        }
        catch (QmpException exception)
        {
            throw Translate("shutdown", exception);
        }
    }

    public Task<bool> RebootAsync(TimeSpan timeout, CancellationToken cancellationToken) =>
        RunVerbAsync("reboot", token => RebootCoreAsync(timeout, token), cancellationToken);

    public Task PauseAsync(CancellationToken cancellationToken) =>
        RunVerbAsync(
            "pause",
            async token =>
            {
                var run = RequireRun();
                await RequireClient(run).ExecuteAsync(QmpCommands.Stop, token).ConfigureAwait(false);
                Change(run, VmState.Running, VmState.Paused, DomainEventKind.Paused);
            },
            cancellationToken);

    public Task ResumeAsync(CancellationToken cancellationToken) =>
        RunVerbAsync(
            "resume",
            async token =>
            {
                var run = RequireRun();
                await RequireClient(run).ExecuteAsync(QmpCommands.Cont, token).ConfigureAwait(false);
                Change(run, VmState.Paused, VmState.Running, DomainEventKind.Resumed);
            },
            cancellationToken);

    public Task DestroyAsync(CancellationToken cancellationToken) => _turns.TakeFirstAsync(DestroyCoreAsync, cancellationToken);

    /// <summary>Takes up the process that was found for this domain.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task AdoptAsync(int pid, CancellationToken cancellationToken)
    {
        var process = QemuProcess.Open(pid, environment.Time);
        if (process is null || !ProcessTable.IsOf(pid, id, _files.PidFile))
        {
            process?.Dispose();
            await RecoverAsync(cancellationToken).ConfigureAwait(false);
            return;
        }

        var ticks = ProcessTable.ReadStartTicks(pid) ?? 0;
        var record = _files.ReadRun();
        if (record is null || (record.StartTicks != ticks && record.HasRun))
        {
            // The record is lost, or of another process; the process is ours all the same.
            record = new RunRecord
            {
                BootId = HostReadings.BootId(),
                StartedAt = environment.Time.GetUtcNow(),
                HasRun = record?.HasRun ?? true,
                IsEmulated = true,
                Nics = record?.Nics ?? [],
            };
        }

        // A run of before disks were recorded has those of its definition, under their own names.
        var disks = record.Disks ?? [.. (_files.ReadDefinition()?.Disks ?? []).Select(disk => new RunDisk(disk.Id.Value, disk.Vdev, disk.Id.Value))];
        var run = new QemuRun(process, record with { Pid = pid, StartTicks = ticks, Disks = disks });
        if (!record.HasRun)
        {
            // A start that the service did not live to finish: nothing of it stays, and it can be made again.
            await EndAsync(run, cancellationToken).ConfigureAwait(false);
            process.Dispose();
            CleanUp(record);
            ForgetStranger();
            return;
        }

        lock (_gate)
        {
            _run = run;
            _crash = null;
        }

        if (record.Arrival is { } move)
        {
            await OwnAsync(record, move, cancellationToken).ConfigureAwait(false);
        }

        var events = await TryReconnectAsync(run).ConfigureAwait(false);
        await SettleAsync(run, cancellationToken).ConfigureAwait(false);
        await SettleMoveAsync(run, cancellationToken).ConfigureAwait(false);
        Log.Adopted(environment.Logger, id, pid);
        Publish(DomainEventKind.Started, run.State);
        _watch = WatchAsync(run, events);
    }

    /// <summary>Learns what became of the domain while nobody watched: no process was found for it.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task RecoverAsync(CancellationToken cancellationToken)
    {
        var crash = _files.ReadCrash();
        if (_files.ReadRun() is { } record)
        {
            if (record.HasRun && !record.EndsCleanly && record.BootId == HostReadings.BootId())
            {
                var log = _files.ReadQemuLogTail();
                crash = new(environment.Time.GetUtcNow(), log.Length == 0 ? "QEMU ended while nobody watched" : $"QEMU ended while nobody watched: {log}");
                await _files.WriteCrashAsync(crash, cancellationToken).ConfigureAwait(false);
                Log.Crashed(environment.Logger, id, crash.Reason);
            }

            if (record is { HasRun: true, Arrival: { } move })
            {
                await OwnAsync(record, move, cancellationToken).ConfigureAwait(false);
            }

            if (record.Departure is not null)
            {
                await PeerChannel.RemoveRemainsAsync(environment, id).ConfigureAwait(false);
            }

            CleanUp(record);
            ForgetStranger();
        }

        lock (_gate)
        {
            _crash = crash;
        }
    }

    /// <param name="memory">The memory that the guest goes on with; <see langword="null"/>: it boots.</param>
    /// <param name="cancellationToken">Gives the start up.</param>
    private async Task StartCoreAsync(MemoryVolume? memory, CancellationToken cancellationToken)
    {
        if (Run is not null)
        {
            return;
        }

        var definition = _files.ReadDefinition() ?? throw new NotFoundException("domain configuration", id.ToString());
        DomainRules.Check(definition);
        var binary = environment.FindBinary();
        var (useKvm, accelerator) = await environment.Probe.ChooseAsync(binary, cancellationToken).ConfigureAwait(false);
        if (!useKvm && environment.Options.Accelerator == QemuAccelerator.Kvm)
        {
            throw new UnavailableException($"Guests shall run with KVM only, but it cannot be used: {accelerator}.");
        }

        var kept = memory is null ? null : await ReadMemoryAsync(memory, definition, binary, useKvm, cancellationToken).ConfigureAwait(false);
        var size = kept?.AllMemory ?? definition.Memory;
        RequireMemory(size);
        if (!ListeningSocket.Fits(_files.MonitorSocket) || !ListeningSocket.Fits(_files.SerialSocket))
        {
            throw new InvalidFieldException(
                nameof(QemuOptions.RunDirectory), environment.RunDirectory, "the sockets' paths in it would have more than 107 bytes; configure a shorter one.");
        }

        var record = new RunRecord
        {
            BootId = HostReadings.BootId(),
            StartedAt = environment.Time.GetUtcNow(),
            IsEmulated = !useKvm,
            MaxMemoryBytes = kept?.MaxMemoryBytes ?? definition.MaxMemory.Bytes,
            Disks = [.. definition.Disks.Select(disk => new RunDisk(disk.Id.Value, disk.Vdev, disk.Id.Value))],
            Nics = [.. definition.Nics.Select((nic, index) => new RunNic(nic.Mac.ToString(), kept?.SlotOf(nic.Mac) ?? index + 1, UseBridge(nic) ? TapDevices.NameOf(id, nic.Mac) : null))],
        };

        QemuProcess? process = null;
        IQmpClient? client = null;
        try
        {
            CleanUp(_files.ReadRun());
            _files.CreateRunDirectory();
            environment.HandOver(_files.RunDirectory);
            await _files.WriteRunAsync(record, cancellationToken).ConfigureAwait(false);
            MakeTaps(definition.Nics, record.Nics);
            foreach (var disk in definition.Disks)
            {
                environment.HandOver(disk);
            }

            var arguments = kept is null
                ? QemuCommandLine.Build(new()
                {
                    Definition = definition,
                    Files = _files,
                    Nics = record.Nics,
                    UseKvm = useKvm,
                    VncListen = environment.Options.VncListen,
                })
                : QemuCommandLine.BuildIncoming(kept with { VncPassword = definition.VncPassword }, definition.Disks, record.Nics, _files, environment.Options.VncListen);
            process = Spawn(environment.Confine(binary, arguments));
            record = record with { Pid = process.Pid, StartTicks = ProcessTable.ReadStartTicks(process.Pid) ?? 0 };
            await _files.WriteRunAsync(record, cancellationToken).ConfigureAwait(false);

            client = await ConnectAsync(environment.Options.StartTimeout, cancellationToken).ConfigureAwait(false);
            var events = client.Subscribe();
            if (definition.VncPassword is { } password && environment.Options.VncListen != QemuVncListen.None)
            {
                await client.ExecuteAsync(QmpCommands.SetPassword, new() { Protocol = "vnc", Password = password }, cancellationToken).ConfigureAwait(false);
            }

            if (memory is not null)
            {
                await LoadMemoryAsync(memory, process, client, cancellationToken).ConfigureAwait(false);
            }

            // From here on it counts as running, should we die: the guest may have written to its disks.
            // One that has its memory stands still as one that somebody has paused: it is noted that it is to go on.
            record = record with { HasRun = true, IsHeld = memory is not null };
            await _files.WriteRunAsync(record, cancellationToken).ConfigureAwait(false);
            await client.ExecuteAsync(QmpCommands.Cont, cancellationToken).ConfigureAwait(false);
            _files.DeleteCrash();

            var run = new QemuRun(process, record)
            {
                Client = client,
                Cpus = kept?.AllCpus ?? definition.Cpus,
                Memory = size,
            };
            lock (_gate)
            {
                _run = run;
                _crash = null;
            }

            Log.Started(environment.Logger, id, process.Pid, accelerator);
            Publish(DomainEventKind.Started, VmState.Running);
            _watch = WatchAsync(run, events);
            if (record.IsHeld)
            {
                await NoteRunningAsync(run).ConfigureAwait(false);
            }
        }
        catch (Exception exception)
        {
            await UndoStartAsync(process, client, record).ConfigureAwait(false);
            if (exception is QmpException or IOException or UnauthorizedAccessException)
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

    // It runs: whatever becomes of the note, it is not ended for it.
    private async Task NoteRunningAsync(QemuRun run)
    {
        try
        {
            await WriteRecordAsync(run, run.Record with { IsHeld = false }, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Log.SettleFailed(environment.Logger, id, exception);
        }
    }

    private string? _startLog;

    private HypervisorException StartFailed(QemuProcess? process, Exception exception)
    {
        // A QEMU that gave up by itself said why on its standard error; one that refused a command said so in its reply.
        var isRefusal = exception is QmpCommandException or QmpTimeoutException || string.IsNullOrEmpty(_startLog);
        var words = isRefusal ? exception.Message : _startLog;
        var exit = !isRefusal && process?.ExitDescription is { } how ? $" ({how})" : "";
        return new($"Domain {id} could not be started{exit}: {words}", exception);
    }

    private async Task UndoStartAsync(QemuProcess? process, IQmpClient? client, RunRecord record)
    {
        if (client is not null)
        {
            await client.DisposeAsync().ConfigureAwait(false);
        }

        if (process is not null)
        {
            // One that failed by itself ends with a status worth telling; one that hangs is killed.
            if (client is not null || !await process.WaitForExitAsync(TimeSpan.FromMilliseconds(200), CancellationToken.None).ConfigureAwait(false))
            {
                process.Signal(NativeMethods.SigKill);
                _ = await process.WaitForExitAsync(environment.Options.StopTimeout, CancellationToken.None).ConfigureAwait(false);
            }

            process.Dispose();
        }

        _startLog = _files.ReadQemuLogTail();
        try
        {
            CleanUp(record);
            _files.DeleteLogs();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or HypervisorException)
        {
            Log.CleanupFailed(environment.Logger, id, exception);
        }
    }

    private QemuProcess Spawn(IReadOnlyList<string> line)
    {
        using var monitor = ListeningSocket.Create(_files.MonitorSocket);
        _files.DeleteLogs();
        using var nothing = File.OpenHandle("/dev/null", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        using var log = OpenLog(_files.QemuLog);
        using var serial = OpenLog(_files.SerialLog);
        return QemuProcess.Spawn(
            line,
            [(int)nothing.DangerousGetHandle(), (int)log.DangerousGetHandle(), (int)log.DangerousGetHandle(), monitor.Descriptor, (int)serial.DangerousGetHandle()],
            environment.Time);
    }

    private static Microsoft.Win32.SafeHandles.SafeFileHandle OpenLog(string path)
    {
        var descriptor = NativeMethods.Open(
            path, NativeMethods.WriteOnly | NativeMethods.Create | NativeMethods.Truncate | NativeMethods.Append | NativeMethods.CloseOnExec, 0x180);
        return descriptor >= 0
            ? new(descriptor, ownsHandle: true)
            : throw new HypervisorException($"The log '{path}' cannot be made: {NativeMethods.LastError()}");
    }

    private void RequireMemory(DataSize memory)
    {
        var free = environment.ReadFreeMemory();
        var needed = memory + QemuEnvironment.Overhead;
        if (free < needed)
        {
            throw new InsufficientResourceException(string.Create(
                CultureInfo.InvariantCulture,
                $"Domain {id} needs {needed.MiBCeiling} MiB of memory ({memory.MiBCeiling} for the guest, {QemuEnvironment.Overhead.MiB} for QEMU); the host has {free.MiB} MiB free."));
        }
    }

    private bool UseBridge(DomainNic nic)
    {
        var policy = environment.Options.BridgePolicy;
        if (policy == QemuBridgePolicy.Never)
        {
            return false;
        }

        var exists = TapDevices.IsBridge(nic.Switch);
        if (policy == QemuBridgePolicy.Require && !(exists && QemuEnvironment.IsRoot))
        {
            throw new InvalidFieldException("switch", nic.Switch, exists ? "only a service that runs as root can use it." : "the host has no such bridge.");
        }

        return exists && QemuEnvironment.IsRoot;
    }

    private void MakeTaps(IReadOnlyList<DomainNic> nics, IReadOnlyList<RunNic> made)
    {
        foreach (var (nic, run) in nics.Zip(made))
        {
            if (run.Tap is { } tap)
            {
                TapDevices.Create(tap, nic.Switch, nic.Mac, environment.User?.Uid ?? NativeMethods.EffectiveUser());
            }
        }
    }

    private async Task<bool> RebootCoreAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        if (run.State == VmState.Paused)
        {
            throw new WrongStateException($"Domain {id} is paused; resume it before its guest can reboot.");
        }

        var departure = new TaskCompletionSource<GuestDeparture>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            run.Departure = departure;
        }

        try
        {
            if (!await PressUntilAsync(client, departure.Task, timeout, cancellationToken).ConfigureAwait(false))
            {
                return false;
            }
        }
        finally
        {
            lock (_gate)
            {
                // The guest may have gone down in this very moment: then it is as if it had done so by itself.
                run.Departure = null;
            }

            if (departure.Task.IsCompletedSuccessfully && await departure.Task.ConfigureAwait(false) == GuestDeparture.ShutDown && cancellationToken.IsCancellationRequested)
            {
                lock (_gate)
                {
                    run.EndsCleanly = true;
                }

                _ = EndInBackgroundAsync(run);
            }
        }

        switch (await departure.Task.ConfigureAwait(false))
        {
            case GuestDeparture.Rebooted:
                return true;
            case GuestDeparture.Ended:
                return false;
            default:
                await RestartGuestAsync(run, client, cancellationToken).ConfigureAwait(false);
                return true;
        }
    }

    private async Task<bool> PressUntilAsync(IQmpClient client, Task departure, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var start = environment.Time.GetTimestamp();
        while (true)
        {
            await client.ExecuteAsync(QmpCommands.SystemPowerdown, cancellationToken).ConfigureAwait(false);
            var left = timeout - environment.Time.GetElapsedTime(start);
            var wait = left < environment.Options.PowerButtonInterval ? left : environment.Options.PowerButtonInterval;
            try
            {
                await departure.WaitAsync(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, environment.Time, cancellationToken).ConfigureAwait(false);
                return true;
            }
            catch (TimeoutException) when (environment.Time.GetElapsedTime(start) < timeout)
            {
                // A guest that is still starting has not heard the button: press again.
            }
            catch (TimeoutException)
            {
                return false;
            }
        }
    }

    private async Task RestartGuestAsync(QemuRun run, IQmpClient client, CancellationToken cancellationToken)
    {
        var reset = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            run.Reset = reset;
        }

        try
        {
            // The reset is carried out after the reply; going on before it is refused.
            await client.ExecuteAsync(QmpCommands.SystemReset, cancellationToken).ConfigureAwait(false);
            await reset.Task.WaitAsync(environment.Options.StartTimeout, environment.Time, cancellationToken).ConfigureAwait(false);
            await client.ExecuteAsync(QmpCommands.Cont, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // A guest that is down and cannot be brought back is a guest that has shut down.
            lock (_gate)
            {
                run.EndsCleanly = true;
            }

            _ = EndInBackgroundAsync(run);
            if (exception is TimeoutException)
            {
                throw new UnavailableException($"Domain {id}: QEMU did not reset the machine in time; it is ended.", exception);
            }

            throw;
        }
        finally
        {
            lock (_gate)
            {
                run.Reset = null;
            }
        }

        lock (_gate)
        {
            run.IsGuestDown = false;
            run.EndsCleanly = false;
            run.State = VmState.Running;
        }

        Publish(DomainEventKind.Rebooted, VmState.Running);
    }

    private async Task DestroyCoreAsync(CancellationToken cancellationToken)
    {
        if (Run is { } run)
        {
            lock (_gate)
            {
                run.EndsCleanly = true;
            }

            await EndAsync(run, cancellationToken).ConfigureAwait(false);
            await run.Ended.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        _files.DeleteCrash();
        lock (_gate)
        {
            _crash = null;
        }
    }
}
