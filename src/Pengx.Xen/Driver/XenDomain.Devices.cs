using System.Globalization;
using Pengx.Qmp;

namespace Pengx.Xen;

// Devices of a running domain.
internal sealed partial class XenDomain
{
    public Task PlugDiskAsync(DomainDisk disk, CancellationToken cancellationToken)
    {
        DefinitionRules.Check(disk);
        var specification = XlDisk.From(disk, environment.Guests, hotplug: true);
        return RunDeviceVerbAsync("disk plug", token => PlugDiskCoreAsync(disk, specification, token), cancellationToken);
    }

    public Task UnplugDiskAsync(DiskId disk, CancellationToken cancellationToken) =>
        RunDeviceVerbAsync(
            "disk unplug",
            async token =>
            {
                var run = await RequireRunAsync(token).ConfigureAwait(false);
                if (await FindDiskAsync(run, disk, token).ConfigureAwait(false) is { } device)
                {
                    await RequireReleasableAsync(run, device, token).ConfigureAwait(false);
                    await DetachDiskAsync(run, device, force: false, token).ConfigureAwait(false);
                }
            },
            cancellationToken);

    public Task PlugNicAsync(DomainNic nic, CancellationToken cancellationToken) =>
        RunDeviceVerbAsync("interface plug", token => PlugNicCoreAsync(nic, token), cancellationToken);

    public Task UnplugNicAsync(MacAddress mac, CancellationToken cancellationToken) =>
        RunDeviceVerbAsync(
            "interface unplug",
            async token =>
            {
                var run = await RequireRunAsync(token).ConfigureAwait(false);
                if (await FindNicAsync(run, mac, token).ConfigureAwait(false) is not null)
                {
                    await DetachNicAsync(run, mac, token).ConfigureAwait(false);
                }
            },
            cancellationToken);

    private async Task RunDeviceVerbAsync(string verb, Func<CancellationToken, Task> body, CancellationToken cancellationToken)
    {
        try
        {
            await _turns.TakeAsync(verb, body, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or XenstoreException)
        {
            throw Translate(verb, exception);
        }
    }

    private async Task PlugDiskCoreAsync(DomainDisk disk, XlDisk specification, CancellationToken cancellationToken)
    {
        var run = await RequireRunAsync(cancellationToken).ConfigureAwait(false);
        if (await FindDiskAsync(run, disk.Id, cancellationToken).ConfigureAwait(false) is { } present)
        {
            await RequireConnectedAsync(run, present, cancellationToken).ConfigureAwait(false);
            return;
        }

        foreach (var layer in disk.Layers)
        {
            if (!File.Exists(layer.Location.ToString()))
            {
                throw new HypervisorException($"Domain {id}: disk {disk.Id} cannot be plugged in: there is no {layer.Location}.");
            }
        }

        if ((await XenDevices.ListDisksAsync(environment.Store, run.Domain, cancellationToken).ConfigureAwait(false)).FirstOrDefault(other => other.Vdev == disk.Vdev) is { } occupant)
        {
            throw new HypervisorException($"Domain {id} has another disk ({occupant.Path}) at {disk.Vdev}.");
        }

        try
        {
            await XlAsync(XlCommand.AttachDisk(run.Domain, specification), cancellationToken).ConfigureAwait(false);
            var device = (await XenDevices.ListDisksAsync(environment.Store, run.Domain, cancellationToken).ConfigureAwait(false)).FirstOrDefault(other => other.Vdev == disk.Vdev)
                ?? throw new HypervisorException($"Domain {id}: xl block-attach said nothing, and {disk.Vdev} is not there.");
            await environment.Store.WriteAsync(device.Record / XenDevices.DiskMark, disk.Id.ToString(), cancellationToken).ConfigureAwait(false);
            await RequireConnectedAsync(run, device, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await UndoAsync(
                async token =>
                {
                    var half = (await XenDevices.ListDisksAsync(environment.Store, run.Domain, token).ConfigureAwait(false)).FirstOrDefault(other => other.Vdev == disk.Vdev);
                    if (half is not null)
                    {
                        await DetachDiskAsync(run, half, force: true, token).ConfigureAwait(false);
                    }
                }).ConfigureAwait(false);
            throw;
        }
    }

    private async Task PlugNicCoreAsync(DomainNic nic, CancellationToken cancellationToken)
    {
        var run = await RequireRunAsync(cancellationToken).ConfigureAwait(false);
        var device = await FindNicAsync(run, nic.Mac, cancellationToken).ConfigureAwait(false);
        if (device is not null)
        {
            await RequireConnectedAsync(run, device, cancellationToken).ConfigureAwait(false);
            return;
        }

        RequireBridge(nic);
        try
        {
            // It says 0 although the hotplug script failed, so the result is read back.
            await XlAsync(XlCommand.AttachNic(run.Domain, XlVif.From(nic, _files.ReadDefinition()?.IsWindows ?? false, environment.Guests)), cancellationToken).ConfigureAwait(false);
            device = await FindNicAsync(run, nic.Mac, cancellationToken).ConfigureAwait(false)
                ?? throw new HypervisorException($"Domain {id}: xl network-attach said nothing, and the interface {nic.Mac} is not there.");
            if (await XenDevices.FindBackendValueAsync(environment.Store, device, "hotplug-error", cancellationToken).ConfigureAwait(false) is { } error)
            {
                throw new HypervisorException($"Domain {id}: the interface {nic.Mac} could not be plugged into {nic.Switch}: {error}");
            }

            await RequireConnectedAsync(run, device, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await UndoAsync(
                async token =>
                {
                    if (await FindNicAsync(run, nic.Mac, token).ConfigureAwait(false) is not null)
                    {
                        await DetachNicAsync(run, nic.Mac, token).ConfigureAwait(false);
                    }
                }).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Waits until the guest has taken a device up. One that is paused does so when it goes on.</summary>
    private async Task RequireConnectedAsync(XenRun run, XenDevice device, CancellationToken cancellationToken)
    {
        if (run.State == VmState.Paused)
        {
            return;
        }

        int? state = null;
        var isConnected = await IsReachedAsync(
            async token =>
            {
                state = await XenDevices.FindStateAsync(environment.Store, device, token).ConfigureAwait(false);
                return state == XenDevice.Connected;
            },
            environment.Options.DeviceTimeout,
            cancellationToken).ConfigureAwait(false);
        if (!isConnected)
        {
            throw new HypervisorException(string.Create(
                CultureInfo.InvariantCulture,
                $"Domain {id}: the guest has not taken {device.Vdev ?? device.Mac?.ToString()} up within {environment.Options.DeviceTimeout.TotalSeconds:0} s (state {state}): it needs Xen's driver for it."));
        }
    }

    /// <summary>Which device a disk is: by our note, by the stored configuration, by the name of its image.</summary>
    private async Task<XenDevice?> FindDiskAsync(XenRun run, DiskId disk, CancellationToken cancellationToken)
    {
        var devices = await XenDevices.ListDisksAsync(environment.Store, run.Domain, cancellationToken).ConfigureAwait(false);
        if (devices.FirstOrDefault(device => device.Disk == disk) is { } noted)
        {
            return noted;
        }

        var unnoted = devices.Where(device => device.Disk is null).ToList();
        var defined = _files.ReadDefinition()?.Disks.FirstOrDefault(other => other.Id == disk);
        return unnoted.FirstOrDefault(device => device.Vdev is { } vdev && vdev == defined?.Vdev)
            ?? unnoted.FirstOrDefault(device => Path.GetFileNameWithoutExtension(device.Path) is { } name && DiskId.TryParse(name, out var named) && named == disk);
    }

    private async Task<XenDevice?> FindNicAsync(XenRun run, MacAddress mac, CancellationToken cancellationToken) =>
        (await XenDevices.ListNicsAsync(environment.Store, run.Domain, cancellationToken).ConfigureAwait(false)).FirstOrDefault(device => device.Mac == mac);

    /// <summary>Refuses a disk whose image QEMU would keep open for an emulated drive after the guest has let it go.</summary>
    private async Task RequireReleasableAsync(XenRun run, XenDevice device, CancellationToken cancellationToken)
    {
        if (!_monitor.IsThere)
        {
            return;
        }

        var lease = await _monitor.OpenAsync(cancellationToken).ConfigureAwait(false);
        await using (lease.ConfigureAwait(false))
        {
            var real = await ReadRealAsync(run, lease.Client, cancellationToken).ConfigureAwait(false);
            if (real.FirstOrDefault(known => known.Device.Vdev == device.Vdev) is { } target)
            {
                RequireNoTwin(target);
            }
        }
    }

    private async Task DetachDiskAsync(XenRun run, XenDevice device, bool force, CancellationToken cancellationToken)
    {
        var command = XlCommand.DetachDisk(run.Domain, device.Vdev!, force);
        var result = await environment.Xl.TryAsync(command, cancellationToken).ConfigureAwait(false);

        // The guest may still be letting it go, and QEMU closes the image after that.
        var qemus = XenProcesses.FindQemus(_files);
        var holder = "";
        var isGone = await IsReachedAsync(
            async token =>
            {
                holder = await environment.Store.FindAsync(device.Record, token).ConfigureAwait(false) is not null ? "libxl has its record"
                    : device.Backend is { } backend && await environment.Store.FindAsync(backend, token).ConfigureAwait(false) is not null ? "its backend is there"
                    : device.Path is { } path && qemus.Any(qemu => XenProcesses.HasOpen(qemu, path)) ? "QEMU has its image open"
                    : "";
                return holder.Length == 0;
            },
            result.ExitCode == 0 ? environment.Options.DeviceTimeout : TimeSpan.Zero,
            cancellationToken).ConfigureAwait(false);
        if (!isGone)
        {
            throw result.ExitCode != 0 ? XlTool.Failure(command, id, result)
                : new HypervisorException($"Domain {id}: the guest has not let {device.Vdev} go ({holder}); it keeps the disk.");
        }
    }

    private async Task DetachNicAsync(XenRun run, MacAddress mac, CancellationToken cancellationToken)
    {
        var command = XlCommand.DetachNic(run.Domain, mac);
        var result = await environment.Xl.TryAsync(command, cancellationToken).ConfigureAwait(false);
        var isGone = await IsReachedAsync(
            async token => await FindNicAsync(run, mac, token).ConfigureAwait(false) is null,
            result.ExitCode == 0 ? environment.Options.DeviceTimeout : TimeSpan.Zero,
            cancellationToken).ConfigureAwait(false);
        if (!isGone)
        {
            throw result.ExitCode != 0 ? XlTool.Failure(command, id, result)
                : new HypervisorException($"Domain {id}: the guest has not let the interface {mac} go; it keeps it.");
        }
    }

    private async Task UndoAsync(Func<CancellationToken, Task> undo)
    {
        using var limit = new CancellationTokenSource(environment.Options.DeviceTimeout * 2, environment.Time);
        try
        {
            await undo(limit.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is PengxException or XenstoreException or OperationCanceledException)
        {
            Log.CleanupFailed(environment.Logger, id, exception);
        }
    }
}
