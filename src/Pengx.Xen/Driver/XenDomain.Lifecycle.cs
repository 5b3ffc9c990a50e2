using System.Globalization;

namespace Pengx.Xen;

// Coming and going: define, start, shut down, reboot, pause, destroy.
internal sealed partial class XenDomain
{
    private static readonly TimeSpan s_memorySettling = TimeSpan.FromSeconds(10);

    private readonly Lock _rebuildGate = new();
    private (CancellationTokenSource Ends, Task Done)? _rebuild;
    private int _destroyers;

    public Task DefineAsync(DomainDefinition definition, CancellationToken cancellationToken)
    {
        // Refused here, before anything is changed, not at the next start.
        var configuration = Configure(definition);
        return _turns.TakeAsync("define", token => DefineCoreAsync(definition, configuration, token), cancellationToken);
    }

    public Task UndefineAsync(CancellationToken cancellationToken) =>
        _turns.TakeAsync(
            "undefine",
            async token =>
            {
                if (await ReadRunAsync(token).ConfigureAwait(false) is { IsAlive: true })
                {
                    throw new WrongStateException($"Domain {id} runs; its configuration can be removed when it is stopped.");
                }

                await RequireGoneAsync(token).ConfigureAwait(false);
                _files.DeleteAll();
            },
            cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => _turns.TakeAsync("start", StartCoreAsync, cancellationToken);

    /// <summary>Builds the domain again after its guest asked for a reboot that no monitor of xl carries out.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="HypervisorException">A destroy came in between.</exception>
    public async Task RebuildAsync(CancellationToken cancellationToken)
    {
        // Not a verb of its own turn: the verb whose turn it is may be waiting for just this.
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_rebuildGate)
        {
            if (_destroyers > 0)
            {
                throw new HypervisorException($"Domain {id} was destroyed during its reboot.");
            }

            _rebuild = (ends, done.Task);
        }

        try
        {
            // A QEMU that is still ending may write to the images that the next one opens.
            await RequireGoneAsync(ends.Token).ConfigureAwait(false);
            await BuildAsync(RequireDefinition(), ends.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HypervisorException($"Domain {id} was destroyed during its reboot.");
        }
        finally
        {
            lock (_rebuildGate)
            {
                _rebuild = null;
            }

            done.SetResult();
        }
    }

    public async Task RequestShutdownAsync(CancellationToken cancellationToken)
    {
        // Not a verb of its own turn: it returns at once, whatever else waits for the guest.
        if (await ReadRunAsync(cancellationToken).ConfigureAwait(false) is { IsAlive: true } run)
        {
            await AskGuestAsync(run, XenGuestRequest.PowerOff, cancellationToken).ConfigureAwait(false);
        }
    }

    public Task<bool> RebootAsync(TimeSpan timeout, CancellationToken cancellationToken) =>
        _turns.TakeAsync("reboot", token => RebootCoreAsync(timeout, token), cancellationToken);

    public Task PauseAsync(CancellationToken cancellationToken) =>
        _turns.TakeAsync("pause", token => SwitchAsync(VmState.Paused, XlCommand.Pause, token), cancellationToken);

    public Task ResumeAsync(CancellationToken cancellationToken) =>
        _turns.TakeAsync("resume", token => SwitchAsync(VmState.Running, XlCommand.Unpause, token), cancellationToken);

    public Task DestroyAsync(CancellationToken cancellationToken) => _turns.TakeFirstAsync(DestroyCoreAsync, cancellationToken);

    public async Task WaitUntilStoppedAsync(CancellationToken cancellationToken)
    {
        await environment.Table.ReadAsync(cancellationToken).ConfigureAwait(false);
        _ = await environment.Table.WaitAsync(id, static run => run is not { IsAlive: true }, cancellationToken).ConfigureAwait(false);
    }

    private string Configure(DomainDefinition definition) =>
        XlDomainConfig.Write(definition, environment.Guests, _files.MonitorSocket).ToString();

    private DomainDefinition RequireDefinition() => _files.ReadDefinition() ?? throw new NotFoundException("domain", id.ToString());

    private async Task DefineCoreAsync(DomainDefinition definition, string configuration, CancellationToken cancellationToken)
    {
        await _files.WriteAsync(definition, configuration, cancellationToken).ConfigureAwait(false);
        var run = await ReadSettledRunAsync(cancellationToken).ConfigureAwait(false);
        if (run is { IsAlive: true })
        {
            var named = WithFreeName(definition);
            if (named != definition)
            {
                await _files.WriteConfigurationAsync(Configure(named), cancellationToken).ConfigureAwait(false);
            }

            // libxl keeps what the domain was created with, and would build it from that when the guest reboots: on the disks of
            // then. What is stored here is used once, so every change stores it anew.
            await XlAsync(XlCommand.UpdateConfiguration(run.Domain, _files.Configuration), cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task StartCoreAsync(CancellationToken cancellationToken)
    {
        var definition = RequireDefinition();
        var run = await ReadSettledRunAsync(cancellationToken).ConfigureAwait(false);
        if (run is { IsAlive: true })
        {
            return;
        }

        await RequireGoneAsync(cancellationToken).ConfigureAwait(false);
        await BuildAsync(definition, cancellationToken).ConfigureAwait(false);
        await environment.Table.ReadAsync(cancellationToken).ConfigureAwait(false);
        if (environment.Table.Find(id) is null)
        {
            throw new HypervisorException($"Domain {id} was started and was gone at once; /var/log/xen tells more.");
        }
    }

    /// <summary>Makes the domain and lets its processors run; a failure leaves nothing behind.</summary>
    private async Task BuildAsync(DomainDefinition definition, CancellationToken cancellationToken)
    {
        RequireImages(definition);
        RequireBridges(definition);
        await RequireMemoryAsync(definition, cancellationToken).ConfigureAwait(false);
        await _files.WriteConfigurationAsync(Configure(WithFreeName(definition)), cancellationToken).ConfigureAwait(false);
        _files.PrepareRun();
        using (environment.Table.HideWhileBuilt(id))
        {
            var command = XlCommand.Create(_files.Configuration) with { Timeout = environment.Options.StartTimeout };
            try
            {
                var result = await environment.Xl.TryAsync(command, cancellationToken).ConfigureAwait(false);
                if (result.ExitCode != 0)
                {
                    var error = XlError.Parse(result.Error);
                    throw error.Kind == XlErrorKind.OutOfMemory
                        ? new InsufficientResourceException($"Domain {id} could not be started for want of memory: {error.Message}.")
                        : XlTool.Failure(command, id, result);
                }
            }
            catch
            {
                await UndoBuildAsync().ConfigureAwait(false);
                throw;
            }
        }
    }

    // Xen allows a name once; ours are unique for people, not for Xen.
    private DomainDefinition WithFreeName(DomainDefinition definition) =>
        environment.Table.IsNameTaken(XlName.For(id, definition.Name).Value, id) ? definition with { Name = XlName.For(id).Value } : definition;

    private async Task UndoBuildAsync()
    {
        try
        {
            await RequireGoneAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (PengxException exception)
        {
            Log.CleanupFailed(environment.Logger, id, exception);
        }
    }

    private void RequireImages(DomainDefinition definition)
    {
        var profile = environment.Guests;
        foreach (var path in definition.Disks.SelectMany(disk => disk.Layers).Select(layer => layer.Location.ToString()!)
            .Append(definition.IsoPath).Append(profile.Kernel).Append(profile.Ramdisk).OfType<string>())
        {
            if (!File.Exists(path))
            {
                throw new HypervisorException($"Domain {id} cannot be started: there is no {path}.");
            }
        }
    }

    private void RequireBridges(DomainDefinition definition)
    {
        foreach (var nic in definition.Nics)
        {
            RequireBridge(nic);
        }
    }

    private void RequireBridge(DomainNic nic)
    {
        // An Open vSwitch bridge is a network device, too; what follows its name are a tag or trunks.
        var device = nic.Switch.Split('.', ':')[0];
        if (!Path.Exists($"/sys/class/net/{device}"))
        {
            throw new HypervisorException($"Domain {id}: the host has no switch {device} for the interface {nic.Mac}.");
        }
    }

    private async Task RequireMemoryAsync(DomainDefinition definition, CancellationToken cancellationToken)
    {
        var needed = definition.Memory + environment.Options.Overhead;
        XlInfo? info = null;

        // Xen scrubs a destroyed domain's memory before it gives it away again.
        var isEnough = await IsReachedAsync(
            async token =>
            {
                info = await environment.Xl.GetInfoAsync(token).ConfigureAwait(false);
                return info.FreeMemory >= needed || info.Memory < needed;
            },
            s_memorySettling,
            cancellationToken).ConfigureAwait(false);
        if (!isEnough || info!.FreeMemory < needed)
        {
            throw new InsufficientResourceException(string.Create(
                CultureInfo.InvariantCulture,
                $"Domain {id} needs {needed.MiBCeiling} MiB of memory ({definition.Memory.MiBCeiling} for the guest, {environment.Options.Overhead.MiB} for Xen and QEMU); the host has {info!.FreeMemory.MiB} MiB free."));
        }
    }

    private async Task AskGuestAsync(XenRun run, XenGuestRequest request, CancellationToken cancellationToken)
    {
        try
        {
            if (await XenGuestControl.TryAskAsync(environment.Store, run.Domain, request, cancellationToken).ConfigureAwait(false))
            {
                return;
            }
        }
        catch (XenstoreException exception)
        {
            throw StoreFailure(request.ToString(), exception);
        }

        // A guest without Xen's drivers: the machine's own buttons.
        var command = XlCommand.Trigger(run.Domain, request == XenGuestRequest.PowerOff ? "power" : "reset");
        var result = await environment.Xl.TryAsync(command, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0 || XlError.IsHidden(result.Error))
        {
            if (await ReadRunAsync(cancellationToken).ConfigureAwait(false) is { IsAlive: true, IsLeaving: false })
            {
                throw XlTool.Failure(command, id, result);
            }
        }
    }

    private async Task<bool> RebootCoreAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        var run = await RequireRunAsync(cancellationToken).ConfigureAwait(false);
        if (run.State == VmState.Paused)
        {
            throw new WrongStateException($"Domain {id} is paused; resume it before its guest can reboot.");
        }

        using var patience = new CancellationTokenSource(timeout, environment.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            while (true)
            {
                await AskGuestAsync(run, XenGuestRequest.Reboot, either.Token).ConfigureAwait(false);
                using var interval = new CancellationTokenSource(environment.Options.RebootInterval, environment.Time);
                using var any = CancellationTokenSource.CreateLinkedTokenSource(interval.Token, either.Token);
                try
                {
                    var now = await environment.Table.WaitAsync(id, next => next is not { IsAlive: true } || next.IsLeaving || next.Domain != run.Domain, any.Token).ConfigureAwait(false);
                    now = await environment.Table.WaitAsync(id, static next => next is not { IsLeaving: true }, either.Token).ConfigureAwait(false);
                    return now is { IsAlive: true };
                }
                catch (OperationCanceledException) when (!either.IsCancellationRequested)
                {
                    // It may still be starting, and have missed it.
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private async Task SwitchAsync(VmState wanted, Func<int, XlCommand> command, CancellationToken cancellationToken)
    {
        var run = await RequireRunAsync(cancellationToken).ConfigureAwait(false);
        if (run.State == wanted)
        {
            return;
        }

        // xl pause and unpause say 0 whatever happened: the list is the judge.
        var result = await XlAsync(command(run.Domain), cancellationToken).ConfigureAwait(false);
        var now = await ReadRunAsync(cancellationToken).ConfigureAwait(false);
        if (now?.State != wanted)
        {
            throw now is { IsAlive: true }
                ? new HypervisorException($"Domain {id}: xl {result.Command.Arguments[0]} had no effect: {XlError.Parse(result.Error).Message}.")
                : new WrongStateException($"Domain {id} has ended.");
        }
    }

    private async Task DestroyCoreAsync(CancellationToken cancellationToken)
    {
        Task? rebuilt;
        lock (_rebuildGate)
        {
            _destroyers++;
            rebuilt = _rebuild?.Done;
            _rebuild?.Ends.Cancel();
        }

        try
        {
            await (rebuilt ?? Task.CompletedTask).WaitAsync(cancellationToken).ConfigureAwait(false);
            await RequireGoneAsync(cancellationToken).ConfigureAwait(false);

            // Gone from Xen; what is said of it follows.
            _ = await environment.Table.WaitAsync(id, static run => run is null, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            lock (_rebuildGate)
            {
                _destroyers--;
            }
        }
    }

    /// <summary>Sees to it that no domain of this UUID is left: running, crashed, dying, or about to be built again by xl.</summary>
    private async Task RequireGoneAsync(CancellationToken cancellationToken)
    {
        await DestroyRowsAsync(cancellationToken).ConfigureAwait(false);
        await RemoveRemainsAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task DestroyRowsAsync(CancellationToken cancellationToken)
    {
        // First the monitor: it could be about to build the domain again, and a destroy in the middle of that leaves a zombie.
        foreach (var monitor in XenProcesses.FindMonitors(_files))
        {
            await XenProcesses.EndAsync(monitor, cancellationToken).ConfigureAwait(false);
        }

        string? refusal = null;
        XlListEntry? last = null;
        var isGone = await IsReachedAsync(
            async token =>
            {
                await environment.Table.ReadAsync(token).ConfigureAwait(false);
                last = environment.Table.FindRow(id);
                if (last is null)
                {
                    return true;
                }

                if (last.State.Activity != XlDomainActivity.Dying)
                {
                    var result = await environment.Xl.TryAsync(XlCommand.Destroy(last.Domain), token).ConfigureAwait(false);
                    refusal = result.ExitCode == 0 ? null : XlError.Parse(result.Error).Message;
                }

                return false;
            },
            environment.Options.StopTimeout,
            cancellationToken).ConfigureAwait(false);
        if (!isGone)
        {
            if (last is { State.Activity: XlDomainActivity.Dying })
            {
                Log.Zombie(environment.Logger, id, last.Memory.MiB);
            }

            throw new HypervisorException(refusal is not null
                ? $"Domain {id} could not be destroyed: {refusal}."
                : $"Domain {id} is destroyed, but Xen still holds {last!.Memory.MiB} MiB of it: something on the host keeps its memory mapped.");
        }
    }

    /// <summary>Ends a QEMU that outlived its domain, and removes its socket.</summary>
    private async Task RemoveRemainsAsync(CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(environment.Options.DeviceTimeout, environment.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        foreach (var qemu in XenProcesses.FindQemus(_files))
        {
            Log.StrayQemu(environment.Logger, id, qemu);
            try
            {
                await XenProcesses.EndAsync(qemu, either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                throw new HypervisorException(string.Create(CultureInfo.InvariantCulture, $"Domain {id} is gone, but its QEMU (process {qemu}) does not end, and may have the disks open."));
            }
        }

        _files.DeleteRun();
        environment.Table.Release(id);
    }
}
