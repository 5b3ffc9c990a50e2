using System.Text.Json.Nodes;
using Pengx.Qmp;

namespace Pengx.Qemu;

// Disks and network interfaces of a running domain.
internal sealed partial class QemuDomain
{
    private const string DevicesPath = "/machine/peripheral";

    public Task PlugDiskAsync(DomainDisk disk, CancellationToken cancellationToken)
    {
        DefinitionRules.Check(disk);
        return RunVerbAsync("disk plug", token => PlugDiskCoreAsync(disk, token), cancellationToken);
    }

    public Task UnplugDiskAsync(DiskId disk, CancellationToken cancellationToken) =>
        RunVerbAsync(
            "disk unplug",
            async token =>
            {
                var run = RequireRun();
                var client = RequireClient(run);
                var known = DisksOf(run).FirstOrDefault(other => other.Id == disk.Value);
                var origin = known is null ? disk : new(known.Origin);
                if (known is null && DisksOf(run).Any(other => other.Origin == disk.Value))
                {
                    // The names that it once had are now those of the disk that was laid upon it.
                    return;
                }

                await RemoveDeviceAsync(client, Devices.DiskId(origin), $"disk {disk}", token).ConfigureAwait(false);

                // Also where an earlier unplug was interrupted between the device and its nodes.
                var left = await CloseNodesAsync(client, origin, token).ConfigureAwait(false);
                if (left is not null)
                {
                    throw new HypervisorException($"Domain {id} has let disk {disk} go, but QEMU still holds its image: {left}");
                }

                if (known is not null)
                {
                    await WriteRecordAsync(run, run.Record with { Disks = [.. DisksOf(run).Where(other => other != known)] }, token).ConfigureAwait(false);
                }
            },
            cancellationToken);

    public Task PlugNicAsync(DomainNic nic, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(nic);
        return RunVerbAsync("interface plug", token => PlugNicCoreAsync(nic, token), cancellationToken);
    }

    public Task UnplugNicAsync(MacAddress mac, CancellationToken cancellationToken) =>
        RunVerbAsync(
            "interface unplug",
            async token =>
            {
                var run = RequireRun();
                var client = RequireClient(run);
                await RemoveDeviceAsync(client, Devices.NicId(mac), $"network interface {mac}", token).ConfigureAwait(false);
                await RemoveNetdevAsync(client, mac, token).ConfigureAwait(false);
                await ForgetNicAsync(run, mac, token).ConfigureAwait(false);
            },
            cancellationToken);

    private async Task PlugDiskCoreAsync(DomainDisk disk, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        var disks = DisksOf(run);
        var known = disks.FirstOrDefault(other => other.Id == disk.Id.Value);
        if (await HasDeviceAsync(client, Devices.DiskId(known is null ? disk.Id : new(known.Origin)), cancellationToken).ConfigureAwait(false))
        {
            if (known is null && disks.Any(other => other.Origin == disk.Id.Value))
            {
                throw new HypervisorException($"Disk {disk.Id} cannot be plugged in: domain {id} runs on a layer upon it.");
            }

            return;
        }

        // What an interrupted plug left.
        _ = await CloseNodesAsync(client, disk.Id, cancellationToken).ConfigureAwait(false);
        environment.HandOver(disk);
        RunDisk added = new(disk.Id.Value, disk.Vdev, disk.Id.Value);
        await WriteRecordAsync(run, run.Record with { Disks = [.. disks.Where(other => other.Id != added.Id), added] }, cancellationToken).ConfigureAwait(false);
        try
        {
            foreach (var node in BlockNodes.Describe(disk))
            {
                await client.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(node), cancellationToken).ConfigureAwait(false);
            }

            await client.ExecuteAsync(QmpCommands.DeviceAdd, QmpArguments.Create(Devices.Disk(id, disk, bootIndex: null)), cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await UndoAsync(async token =>
            {
                if (await HasDeviceAsync(client, Devices.DiskId(disk.Id), token).ConfigureAwait(false))
                {
                    await RemoveDeviceAsync(client, Devices.DiskId(disk.Id), $"disk {disk.Id}", token).ConfigureAwait(false);
                }

                _ = await CloseNodesAsync(client, disk.Id, token).ConfigureAwait(false);
            }).ConfigureAwait(false);
            await WriteRecordAsync(run, run.Record with { Disks = [.. DisksOf(run).Where(other => other.Id != added.Id)] }, CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    private async Task PlugNicCoreAsync(DomainNic nic, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        if (await HasDeviceAsync(client, Devices.NicId(nic.Mac), cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        var mac = nic.Mac.ToString();
        await RemoveNetdevAsync(client, nic.Mac, cancellationToken).ConfigureAwait(false);
        await ForgetNicAsync(run, nic.Mac, cancellationToken).ConfigureAwait(false);
        var taken = run.Record.Nics.Select(known => known.Slot).ToHashSet();
        var slot = Enumerable.Range(1, PciSlots.LastOnBridge).FirstOrDefault(free => !taken.Contains(free));
        if (slot == 0)
        {
            throw new HypervisorException($"Domain {id} has no free slot for another network interface.");
        }

        var added = new RunNic(mac, slot, UseBridge(nic) ? TapDevices.NameOf(id, nic.Mac) : null);
        await WriteRecordAsync(run, run.Record with { Nics = [.. run.Record.Nics, added] }, cancellationToken).ConfigureAwait(false);
        try
        {
            MakeTaps([nic], [added]);
            await client.ExecuteAsync(QmpCommands.NetdevAdd, QmpArguments.Create(Devices.Netdev(nic.Mac, added.Tap)), cancellationToken).ConfigureAwait(false);
            await client.ExecuteAsync(QmpCommands.DeviceAdd, QmpArguments.Create(Devices.Nic(nic.Mac, slot)), cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await UndoAsync(async token =>
            {
                if (await HasDeviceAsync(client, Devices.NicId(nic.Mac), token).ConfigureAwait(false))
                {
                    await RemoveDeviceAsync(client, Devices.NicId(nic.Mac), $"network interface {mac}", token).ConfigureAwait(false);
                }

                await RemoveNetdevAsync(client, nic.Mac, token).ConfigureAwait(false);
            }).ConfigureAwait(false);
            await ForgetNicAsync(run, nic.Mac, CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Undoes after a failure or a cancel, which must not stop it; what caused it is what the user is told.</summary>
    private async Task UndoAsync(Func<CancellationToken, Task> undo)
    {
        try
        {
            using var deadline = new CancellationTokenSource(environment.Options.UnplugTimeout, environment.Time);
            await undo(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or OperationCanceledException or HypervisorException or TimeoutException)
        {
            Log.CleanupFailed(environment.Logger, id, exception);
        }
    }

    private static async Task<bool> HasDeviceAsync(IQmpClient client, string device, CancellationToken cancellationToken)
    {
        var devices = await client.ExecuteAsync(QmpCommands.QomList, new() { Path = DevicesPath }, cancellationToken).ConfigureAwait(false);
        return devices.Any(known => known.Name == device);
    }

    /// <summary>Takes a device from the guest and returns when the guest has let it go. None: returns at once.</summary>
    private async Task RemoveDeviceAsync(IQmpClient client, string device, string what, CancellationToken cancellationToken)
    {
        if (!await HasDeviceAsync(client, device, cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        if (!await TryRemoveAsync(client, device, device, environment.Options.UnplugTimeout, cancellationToken).ConfigureAwait(false)
            && await HasDeviceAsync(client, device, cancellationToken).ConfigureAwait(false))
        {
            throw new HypervisorException($"The guest of domain {id} did not let {what} go within {environment.Options.UnplugTimeout.TotalSeconds:0.#} s; it keeps it.");
        }
    }

    /// <summary>Asks for a device's removal and waits for it.</summary>
    /// <returns>Whether the guest let it go in time.</returns>
    private async Task<bool> TryRemoveAsync(IQmpClient client, string device, string idOrPath, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var deleted = client.Subscribe(QmpEventFilter.Named(QmpEventNames.DeviceDeleted, QmpEventNames.DeviceUnplugGuestError));
        try
        {
            await client.ExecuteAsync(QmpCommands.DeviceDel, new() { Id = device }, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpCommandException)
        {
            // Asked before, and the guest still thinks about it (or it is gone by now): what counts is whether it goes.
            if (!await HasDeviceAsync(client, device, cancellationToken).ConfigureAwait(false))
            {
                return true;
            }
        }

        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = environment.Time.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), deadline, timeout, Timeout.InfiniteTimeSpan);
        try
        {
            await foreach (var qmpEvent in deleted.WithCancellation(deadline.Token).ConfigureAwait(false))
            {
                if (IsAbout(qmpEvent, "device", idOrPath) || IsAbout(qmpEvent, "path", idOrPath))
                {
                    return qmpEvent.Name == QmpEventNames.DeviceDeleted;
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }

        return false;
    }

    private static bool IsAbout(QmpEvent qmpEvent, string property, string value) =>
        qmpEvent.Data.TryGetProperty(property, out var named) && named.ValueEquals(value);

    /// <summary>Closes a disk's nodes, whatever chain they make by now: those that nothing uses first, until none is left.</summary>
    /// <returns>What QEMU said of a node that it keeps; <see langword="null"/> when all are closed.</returns>
    private async Task<string?> CloseNodesAsync(IQmpClient client, DiskId disk, CancellationToken cancellationToken)
    {
        var nodes = await client.ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new() { Flat = true }, cancellationToken).ConfigureAwait(false);
        return await CloseNodesAsync(client, [.. nodes.Select(node => node.NodeName).Where(node => BlockNodes.IsOf(disk, node)).OfType<string>()], cancellationToken).ConfigureAwait(false);
    }

    private async Task<string?> CloseNodesAsync(IQmpClient client, IReadOnlyList<string> nodes, CancellationToken cancellationToken)
    {
        var left = nodes;
        while (left.Count > 0)
        {
            string? refusal = null;
            var kept = new List<string>();
            foreach (var node in left)
            {
                try
                {
                    await client.ExecuteAsync(QmpCommands.BlockdevDel, new() { NodeName = node }, cancellationToken).ConfigureAwait(false);
                }
                catch (QmpCommandException exception)
                {
                    refusal = exception.Description;
                    kept.Add(node);
                }
            }

            if (kept.Count == left.Count)
            {
                Log.NodeKept(environment.Logger, id, kept[0], refusal!);
                return refusal;
            }

            left = kept;
        }

        return null;
    }

    private static async Task RemoveNetdevAsync(IQmpClient client, MacAddress mac, CancellationToken cancellationToken)
    {
        try
        {
            await client.ExecuteAsync(QmpCommands.NetdevDel, new() { Id = Devices.NetdevId(mac) }, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpCommandException)
        {
            // There is none: what was wanted.
        }
    }

    private async Task ForgetNicAsync(QemuRun run, MacAddress mac, CancellationToken cancellationToken)
    {
        var text = mac.ToString();
        if (run.Record.Nics.FirstOrDefault(nic => nic.Mac == text) is { } known)
        {
            if (known.Tap is { } tap)
            {
                TapDevices.Delete(tap);
            }

            await WriteRecordAsync(run, run.Record with { Nics = [.. run.Record.Nics.Where(nic => nic.Mac != text)] }, cancellationToken).ConfigureAwait(false);
        }
    }
}
