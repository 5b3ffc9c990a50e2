using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Pengx.Qmp;

namespace Pengx.Qemu;

/// <summary>One domain: its stored state, its run if it has one, and the verbs on it, one at a time.</summary>
internal sealed partial class QemuDomain(DomainId id, QemuEnvironment environment, CancellationToken detached) : IAsyncDisposable
{
    private static readonly TimeSpan s_connectTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_signalGrace = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_monitorRetry = TimeSpan.FromSeconds(5);

    // The firmware resets the machine once or twice more, some milliseconds after the guest has.
    private static readonly TimeSpan s_resetEcho = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();
    private readonly DomainTurns _turns = new(id, detached);
    private readonly DomainFiles _files = environment.FilesOf(id);
    private QemuRun? _run;
    private CrashRecord? _crash;
    private Task _watch = Task.CompletedTask;

    public DomainId Id => id;

    public DomainFiles Files => _files;

    /// <summary>What of the domain there is to tell; <see langword="null"/> when it is shut down.</summary>
    public DomainStatus? Status
    {
        get
        {
            lock (_gate)
            {
                return _run is { } run
                    ? new() { Id = id, State = run.State, Cpus = run.Cpus, Memory = run.Memory, StartedAt = run.Record.StartedAt }
                    : _crash is not null ? new() { Id = id, State = VmState.Crashed } : null;
            }
        }
    }

    private QemuRun? Run
    {
        get
        {
            lock (_gate)
            {
                return _run;
            }
        }
    }

    /// <summary>Waits until the domain does not run.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task WaitUntilStoppedAsync(CancellationToken cancellationToken)
    {
        while (Run is { } run)
        {
            await run.Ended.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Hangs up; the guest goes on.</summary>
    public async ValueTask DisposeAsync()
    {
        var client = Run?.Client;
        if (client is not null)
        {
            await client.DisposeAsync().ConfigureAwait(false);
        }

        await _watch.ConfigureAwait(false);
        Run?.Process.Dispose();
        _turns.Dispose();
    }

    /// <summary>Runs a verb alone on the domain. A destroy that comes ends it.</summary>
    private async Task<T> RunVerbAsync<T>(string verb, Func<CancellationToken, Task<T>> body, CancellationToken cancellationToken)
    {
        try
        {
            return await _turns.TakeAsync(verb, body, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or IOException or UnauthorizedAccessException)
        {
            throw Translate(verb, exception);
        }
    }

    private async Task RunVerbAsync(string verb, Func<CancellationToken, Task> body, CancellationToken cancellationToken)
    {
        try
        {
            await _turns.TakeAsync(verb, body, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or IOException or UnauthorizedAccessException)
        {
            throw Translate(verb, exception);
        }
    }

    private PengxException Translate(string verb, Exception exception) => exception switch
    {
        QmpTimeoutException => new UnavailableException($"Domain {id}: QEMU did not answer during {verb}: {exception.Message}", exception),
        QmpDisconnectedException => new HypervisorException($"Domain {id}: QEMU ended during {verb}.", exception),
        QmpCommandException refused => new HypervisorException($"Domain {id}: QEMU refused {refused.Command} during {verb}: {refused.Description}", exception),
        _ => new HypervisorException($"Domain {id}: {verb} failed: {exception.Message}", exception),
    };

    private QemuRun RequireRun() => Run switch
    {
        null => throw new WrongStateException($"Domain {id} does not run."),
        { Record.Departure: { HasLeft: true, Host: var host } } => throw new WrongStateException(
            $"Domain {id} stands still: whether host {host} runs it is not known. Move it again when that host can be asked; or make sure that it does not run there, then destroy and start it."),
        var run => run,
    };

    private IQmpClient RequireClient(QemuRun run) => run.Client
        ?? throw new UnavailableException($"Domain {id} runs (process {run.Process.Pid.ToString(CultureInfo.InvariantCulture)}), but its monitor does not answer; destroy it or try again.");

    private Task<IQmpClient> ConnectAsync(TimeSpan timeout, CancellationToken cancellationToken) => ConnectCoreAsync(
        new()
        {
            GreetingTimeout = timeout,
            CommandTimeout = environment.Options.CommandTimeout,
            Logger = environment.Logger,
            TimeProvider = environment.Time,
        },
        cancellationToken);

    private async Task<IQmpClient> ConnectCoreAsync(QmpClientOptions options, CancellationToken cancellationToken) =>
        await QmpClient.ConnectAsync(_files.MonitorSocket, options, cancellationToken).ConfigureAwait(false);

    /// <summary>Follows a run from here to its end, whatever becomes of its monitor.</summary>
    private async Task WatchAsync(QemuRun run, QmpEventSubscription? events)
    {
        try
        {
            while (true)
            {
                if (events is not null)
                {
                    try
                    {
                        await foreach (var qmpEvent in events.ConfigureAwait(false))
                        {
                            OnEvent(run, qmpEvent);
                        }
                    }
                    catch (QmpException)
                    {
                        // How the connection ended says nothing; whether the process still is does.
                    }

                    events.Dispose();
                    events = null;
                    await HangUpAsync(run).ConfigureAwait(false);
                }

                if (await run.Process.WaitForExitAsync(s_monitorRetry, detached).ConfigureAwait(false))
                {
                    break;
                }

                events = await TryReconnectAsync(run).ConfigureAwait(false);
            }

            await FinishAsync(run).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (detached.IsCancellationRequested)
        {
            // The driver was closed; the guest goes on without us.
        }
        catch (Exception exception)
        {
            Log.WatchFailed(environment.Logger, id, exception);
        }
    }

    private async Task HangUpAsync(QemuRun run)
    {
        IQmpClient? client;
        lock (_gate)
        {
            client = run.Client;
            run.Client = null;
        }

        if (client is not null)
        {
            await client.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task<QmpEventSubscription?> TryReconnectAsync(QemuRun run)
    {
        try
        {
            return await AttachAsync(run, detached).ConfigureAwait(false);
        }
        catch (QmpException exception)
        {
            Log.MonitorLost(environment.Logger, id, run.Process.Pid, exception);
            return null;
        }
    }

    /// <summary>Connects to a run's monitor and learns how it stands.</summary>
    private async Task<QmpEventSubscription> AttachAsync(QemuRun run, CancellationToken cancellationToken)
    {
        var client = await ConnectAsync(s_connectTimeout, cancellationToken).ConfigureAwait(false);
        try
        {
            var events = client.Subscribe();
            var status = await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false);
            var cpus = await client.ExecuteAsync(QmpCommands.QueryCpusFast, cancellationToken).ConfigureAwait(false);
            var balloon = await client.ExecuteAsync(QmpCommands.QueryBalloon, cancellationToken).ConfigureAwait(false);
            lock (_gate)
            {
                run.Client = client;
                run.Cpus = cpus.Count;
                run.Memory = new(balloon.Actual);
                run.State = status.Running || run.Record.IsHeld || run.Record.Departure is { HasLeft: false } ? VmState.Running : VmState.Paused;
                run.IsHeld = run.Record.IsHeld || run.Record.Departure is { HasLeft: false };
            }

            switch (status.Status)
            {
                case QmpRunState.Shutdown:
                    lock (_gate)
                    {
                        run.IsGuestDown = true;
                        run.EndsCleanly = true;
                    }

                    _ = EndInBackgroundAsync(run);
                    break;
                case QmpRunState.GuestPanicked:
                    lock (_gate)
                    {
                        run.CrashReason = "the guest panicked";
                    }

                    _ = EndInBackgroundAsync(run);
                    break;
                case QmpRunState.PreLaunch when run.Record.HasRun:
                case QmpRunState.Paused when run.Record.Arrival is not null:
                    // A service died between a guest's shutdown and its next life, or between its arrival and its first moment here.
                    await client.ExecuteAsync(QmpCommands.Cont, cancellationToken).ConfigureAwait(false);
                    lock (_gate)
                    {
                        run.State = VmState.Running;
                    }

                    break;
            }

            if (run.Record.Arrival is not null)
            {
                await WriteRecordAsync(run, run.Record with { Arrival = null, ArrivedDefinition = null }, CancellationToken.None).ConfigureAwait(false);
            }

            return events;
        }
        catch
        {
            lock (_gate)
            {
                run.Client = null;
            }

            await client.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private void OnEvent(QemuRun run, QmpEvent qmpEvent)
    {
        switch (qmpEvent.Name)
        {
            case QmpEventNames.Stop when IsHeld(run):
                break;
            case QmpEventNames.Resume when Release(run):
                break;
            case QmpEventNames.Stop:
                Change(run, VmState.Running, VmState.Paused, DomainEventKind.Paused);
                break;
            case QmpEventNames.Resume:
                Change(run, VmState.Paused, VmState.Running, DomainEventKind.Resumed);
                break;
            case QmpEventNames.Shutdown:
                OnShutdown(run, Flag(qmpEvent, "guest"));
                break;
            case QmpEventNames.Reset:
                OnReset(run, Flag(qmpEvent, "guest"), qmpEvent.Timestamp);
                break;
            case QmpEventNames.GuestPanicked:
                lock (_gate)
                {
                    run.CrashReason = "the guest panicked";
                }

                _ = EndInBackgroundAsync(run);
                break;
            case QmpEventNames.BlockIoError:
                OnDiskFailure(run, Text(qmpEvent, "node-name"), Text(qmpEvent, "operation"), Text(qmpEvent, "reason"), Text(qmpEvent, "action") == "stop");
                break;
            case QmpEventNames.BalloonChange when qmpEvent.Data.TryGetProperty("actual", out var actual):
                lock (_gate)
                {
                    run.Memory = new(actual.GetInt64());
                }

                break;
        }
    }

    private void OnShutdown(QemuRun run, bool byGuest)
    {
        TaskCompletionSource<GuestDeparture>? departure;
        lock (_gate)
        {
            if (run.CrashReason is not null)
            {
                return;
            }

            departure = run.Departure;
            run.Departure = null;
            run.IsGuestDown = byGuest;
            run.EndsCleanly = !byGuest || departure is null;
        }

        if (!byGuest)
        {
            departure?.TrySetResult(GuestDeparture.Ended);
        }
        else if (departure is not null)
        {
            departure.TrySetResult(GuestDeparture.ShutDown);
        }
        else
        {
            _ = EndInBackgroundAsync(run);
        }
    }

    private void OnReset(QemuRun run, bool byGuest, DateTimeOffset at)
    {
        TaskCompletionSource<GuestDeparture>? departure = null;
        lock (_gate)
        {
            var isEcho = byGuest && at - run.ResetAt < s_resetEcho;
            run.ResetAt = at;
            if (isEcho)
            {
                return;
            }

            if (byGuest)
            {
                departure = run.Departure;
                run.Departure = null;
            }
            else
            {
                run.Reset?.TrySetResult();
            }
        }

        if (byGuest)
        {
            Publish(DomainEventKind.Rebooted, VmState.Running);
            departure?.TrySetResult(GuestDeparture.Rebooted);
        }
    }

    private void Change(QemuRun run, VmState from, VmState to, DomainEventKind kind)
    {
        lock (_gate)
        {
            if (run.State != from || run.IsGuestDown || run.CrashReason is not null)
            {
                return;
            }

            run.State = to;
        }

        Publish(kind, to);
    }

    private void Publish(DomainEventKind kind, VmState state) =>
        environment.Events.Publish(new(id, kind, state, environment.Time.GetUtcNow()));

    private async Task EndInBackgroundAsync(QemuRun run)
    {
        try
        {
            await EndAsync(run, detached).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The driver was closed; the next one finds the guest down and ends it.
        }
        catch (Exception exception)
        {
            Log.WatchFailed(environment.Logger, id, exception);
        }
    }

    /// <summary>Ends a run's process and waits until it is gone: politely, then by signals.</summary>
    /// <exception cref="HypervisorException">It survived SIGKILL: it hangs in the kernel, on dead storage as a rule.</exception>
    private async Task EndAsync(QemuRun run, CancellationToken cancellationToken)
    {
        if (run.CrashReason is null)
        {
            // Whoever comes after us, should we die now, must not take the end for a crash.
            await WriteRecordAsync(run, run.Record with { EndsCleanly = true }, cancellationToken).ConfigureAwait(false);
        }

        if (!await TryQuitAsync(run, cancellationToken).ConfigureAwait(false)
            && !await TrySignalAsync(run, NativeMethods.SigTerm, s_signalGrace, cancellationToken).ConfigureAwait(false)
            && !await TrySignalAsync(run, NativeMethods.SigKill, environment.Options.StopTimeout, cancellationToken).ConfigureAwait(false))
        {
            throw new HypervisorException(string.Create(
                CultureInfo.InvariantCulture,
                $"QEMU process {run.Process.Pid} of domain {id} cannot be killed; it hangs in the kernel, as a rule on storage that does not answer."));
        }
    }

    private async Task<bool> TryQuitAsync(QemuRun run, CancellationToken cancellationToken)
    {
        if (run.Client is not { } client)
        {
            return false;
        }

        try
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            deadline.CancelAfter(environment.Options.StopTimeout);
            await client.ExecuteAsync(QmpCommands.Quit, deadline.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            // It ended before it could answer, or it will be told by a signal.
        }

        return await run.Process.WaitForExitAsync(environment.Options.StopTimeout, cancellationToken).ConfigureAwait(false);
    }

    private async Task<bool> TrySignalAsync(QemuRun run, int signal, TimeSpan grace, CancellationToken cancellationToken)
    {
        Log.Signalled(environment.Logger, id, run.Process.Pid, signal);
        run.Process.Signal(signal);
        return await run.Process.WaitForExitAsync(grace, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The process is gone: keeps what must be kept, removes the rest, tells.</summary>
    private async Task FinishAsync(QemuRun run)
    {
        CrashRecord? crash = null;
        if (!run.EndsCleanly || run.CrashReason is not null)
        {
            var reason = run.CrashReason ?? DescribeDeath(run);
            crash = new(environment.Time.GetUtcNow(), reason);
            Log.Crashed(environment.Logger, id, reason);
        }
        else
        {
            Log.Stopped(environment.Logger, id);
        }

        try
        {
            if (crash is not null)
            {
                await _files.WriteCrashAsync(crash, CancellationToken.None).ConfigureAwait(false);
            }

            CleanUp(run.Record);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or HypervisorException)
        {
            Log.CleanupFailed(environment.Logger, id, exception);
        }

        TaskCompletionSource<GuestDeparture>? departure;
        lock (_gate)
        {
            _run = null;
            _crash = crash;
            departure = run.Departure;
            run.Reset?.TrySetCanceled();
        }

        run.Process.Dispose();
        Publish(crash is null ? DomainEventKind.Stopped : DomainEventKind.Crashed, crash is null ? VmState.Shutdown : VmState.Crashed);
        departure?.TrySetResult(GuestDeparture.Ended);
        run.SetEnded();
    }

    private string DescribeDeath(QemuRun run)
    {
        var log = _files.ReadQemuLogTail();
        var death = run.Process.ExitDescription is { } exit ? $"QEMU ended ({exit})" : "QEMU ended";
        return log.Length == 0 ? death : $"{death}: {log}";
    }

    private void CleanUp(RunRecord? record)
    {
        foreach (var nic in record?.Nics ?? [])
        {
            if (nic.Tap is { } tap)
            {
                TapDevices.Delete(tap);
            }
        }

        _files.DeleteRun();
    }

    private async Task WriteRecordAsync(QemuRun run, RunRecord record, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            run.Record = record;
        }

        if (!_files.HasRunDirectory)
        {
            return;
        }

        try
        {
            await _files.WriteRunAsync(record, cancellationToken).ConfigureAwait(false);
        }
        catch (FileNotFoundException) when (!_files.HasRunDirectory)
        {
            // The run has ended meanwhile, and what was half written went with its files.
        }

        if (!_files.HasRunDirectory)
        {
            // Or was written whole after they went.
            _files.DeleteRun();
        }
    }

    private static bool Flag(QmpEvent qmpEvent, string name) =>
        qmpEvent.Data.ValueKind == JsonValueKind.Object && qmpEvent.Data.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.True;

    private static string Text(QmpEvent qmpEvent, string name) =>
        qmpEvent.Data.ValueKind == JsonValueKind.Object && qmpEvent.Data.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : string.Empty;

    /// <summary>Tells of a disk that failed the guest: each time where that stopped it, else the first time in a row only, since a guest
    /// may try again for ever.</summary>
    private void OnDiskFailure(QemuRun run, string node, string operation, string reason, bool stops)
    {
        var failure = $"{node} {operation} {reason}";
        lock (_gate)
        {
            if (!stops && run.DiskFailure == failure)
            {
                return;
            }

            run.DiskFailure = failure;
        }

        Log.DiskFailed(environment.Logger, id, node, operation, reason, stops ? "stands still until it is resumed" : "was told");
    }
}
