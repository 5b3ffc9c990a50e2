using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json.Nodes;
using Pengx.Qmp;

namespace Pengx.Xen;

// The images beneath the disks of a running domain. Whenever QEMU or the host dies, and whenever the guest reboots, which xl's monitor carries
// out from what libxl was told last, what is stored must name images that hold every flushed byte. So libxl, too, is told of an
// overlay before it is used, while it is empty and shows what is beneath it; and a guest that changes over to the image beneath its
// own stands still for the moment in which both hold the same and libxl is told. One that stands still cannot reboot.
internal sealed partial class XenDomain
{
    private const string ReadVerb = "reading the disks";
    private const string OverlayVerb = "laying overlays on disks";
    private const string CommitVerb = "merging layers of a disk";
    private const string StreamVerb = "pulling up layers of a disk";
    private const string TakeUpVerb = "seeing to changed disks";

    private const int Attempts = 3;

    private static readonly TimeSpan s_changeOverTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_takeUpInterval = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, SemaphoreSlim> _moves = new(StringComparer.Ordinal);

    public async Task<IReadOnlyList<DomainDisk>> ReadDisksAsync(CancellationToken cancellationToken)
    {
        // Not a verb of its own turn: it changes nothing, whatever else goes on.
        try
        {
            var run = await RequireRunAsync(cancellationToken).ConfigureAwait(false);
            var lease = _monitor.IsThere ? await _monitor.OpenAsync(cancellationToken).ConfigureAwait(false) : null;
            await using ((lease ?? (IAsyncDisposable)Nothing.Instance).ConfigureAwait(false))
            {
                return [.. (await ReadRealAsync(run, lease?.Client, cancellationToken).ConfigureAwait(false)).Select(real => real.Disk)];
            }
        }
        catch (Exception exception) when (exception is QmpException or XenstoreException)
        {
            throw Translate(ReadVerb, exception);
        }
    }

    public Task<bool> OverlayAsync(IReadOnlyList<DiskReplacement> disks, CancellationToken cancellationToken)
    {
        ReplacementRules.CheckOverlays(disks);
        return RunLiveVerbAsync(
            OverlayVerb,
            async token =>
            {
                await OverlayCoreAsync(disks, token).ConfigureAwait(false);

                // Xen's guests have no channel to an agent that could freeze their file systems.
                return false;
            },
            cancellationToken);
    }

    public Task CommitAsync(DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var move = ReplacementRules.CheckCommit(disk);
        ReplacementRules.Check(limits);
        return MoveAsync(CommitVerb, disk, move, isCommit: true, limits, progress, cancellationToken);
    }

    public Task StreamAsync(DiskReplacement disk, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var move = ReplacementRules.CheckStream(disk);
        ReplacementRules.Check(limits);
        return MoveAsync(StreamVerb, disk, move, isCommit: false, limits, progress, cancellationToken);
    }

    /// <summary>Looks after the changes that a service which is gone had under way.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task TakeUpAsync(CancellationToken cancellationToken)
    {
        if (!await TryTakeUpAsync(cancellationToken).ConfigureAwait(false))
        {
            _ = TakeUpInBackgroundAsync();
        }
    }

    private IReadOnlyList<XenRunChange> Changes() => _files.ReadRunRecord()?.Changes ?? [];

    private async Task<T> RunLiveVerbAsync<T>(string verb, Func<CancellationToken, Task<T>> body, CancellationToken cancellationToken)
    {
        try
        {
            return await _turns.TakeAsync(verb, body, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            if (verb != TakeUpVerb && environment.Table.IsHeld(id))
            {
                // Nobody who asks again knows that the guest still has to go on.
                _ = TakeUpInBackgroundAsync();
            }

            if (exception is QmpException or XenstoreException)
            {
                throw Translate(verb, exception);
            }

            throw;
        }
    }

    private PengxException Translate(string verb, Exception exception) => exception switch
    {
        QmpTimeoutException => new UnavailableException($"Domain {id}: QEMU did not answer during {verb}: {exception.Message}", exception),
        QmpDisconnectedException => new HypervisorException($"Domain {id}: QEMU ended during {verb}: the guest has rebooted or is gone.", exception),
        QmpCommandException refused => new HypervisorException($"Domain {id}: QEMU refused {refused.Command} during {verb}: {refused.Description}", exception),
        XenstoreException refused => StoreFailure(verb, refused),
        _ => new HypervisorException($"Domain {id}: {verb} failed: {exception.Message}", exception),
    };

    private Task<XenMonitor.Lease> OpenMonitorAsync(CancellationToken cancellationToken) => _monitor.IsThere
        ? _monitor.OpenAsync(cancellationToken)
        : throw new WrongStateException($"Domain {id} runs without a QEMU that listens here (there is no {_files.MonitorSocket}): only disks that QEMU serves can be changed while their guest runs.");

    private async Task<IReadOnlyList<RealDisk>> ReadRealAsync(XenRun run, IQmpClient? client, CancellationToken cancellationToken)
    {
        var devices = await XenDevices.ListDisksAsync(environment.Store, run.Domain, cancellationToken).ConfigureAwait(false);
        var defined = _files.ReadDefinition()?.Disks ?? [];
        var graph = client is null ? null : await QmpBlockGraph.QueryAsync(client, cancellationToken).ConfigureAwait(false);
        var roots = client is null ? [] : await FindRootsAsync(client, graph!, cancellationToken).ConfigureAwait(false);
        List<RealDisk> real = [];
        foreach (var device in devices.Where(device => !device.IsCdrom && device.Vdev is not null))
        {
            var vdev = device.Vdev!;
            if ((device.Disk ?? defined.FirstOrDefault(disk => disk.Vdev == vdev)?.Id ?? NamedBy(device)) is not { } disk)
            {
                // Somebody else has plugged it in.
                continue;
            }

            if (device.IsServedByQemu && graph is not null)
            {
                if (roots.TryGetValue(vdev, out var root))
                {
                    real.Add(ReadDisk(graph, device, disk, root));
                }
            }
            else if (device.Path is { } path)
            {
                DomainDisk direct = new() { Id = disk, Vdev = vdev, ReadOnly = device.IsReadOnly, Layers = [new(new BlockLocation(path), DiskFormat.Raw)] };
                real.Add(new(direct, device, [], [], graph is null ? null : FindTwin(graph, root: null, direct)));
            }
        }

        return real;
    }

    private static DiskId? NamedBy(XenDevice device) => DiskId.TryParse(Path.GetFileNameWithoutExtension(device.Path), out var disk) ? disk : null;

    private static RealDisk ReadDisk(QmpBlockGraph graph, XenDevice device, DiskId id, string root)
    {
        var vdev = device.Vdev!;
        var chain = XenBlockNodes.Chain(graph, root);
        DomainDisk disk = new() { Id = id, Vdev = vdev, ReadOnly = device.IsReadOnly, Layers = [.. chain.Select(node => XenBlockNodes.Read(graph, node))] };
        var used = chain.Select(node => node.Name).ToHashSet(StringComparer.Ordinal);
        var strays = graph.Nodes.Select(node => node.Name).Where(name => XenBlockNodes.IsOf(vdev, name) && !used.Contains(name) && !graph.Parents(name).Any());
        return new(disk, device, chain, [.. strays], FindTwin(graph, root, disk));
    }

    /// <summary>The emulated drive with the same image: what an HVM guest starts from, until its own driver takes over and the drive is
    /// unplugged. QEMU 7.2 never unplugs those of AHCI.</summary>
    private static string? FindTwin(QmpBlockGraph graph, string? root, DomainDisk disk)
    {
        var paths = disk.Layers.Select(layer => layer.Location.ToString()).ToHashSet(StringComparer.Ordinal);
        var twin = graph.Devices.FirstOrDefault(other => other.Inserted is { } inserted && inserted.NodeName != root && paths.Contains(inserted.File));
        return twin is null ? null : twin.Device.Length > 0 ? twin.Device : twin.Qdev;
    }

    /// <summary>The nodes that the guest uses, by its devices: Xen's disk device in QEMU tells which one it serves.</summary>
    private static async Task<Dictionary<string, string>> FindRootsAsync(IQmpClient client, QmpBlockGraph graph, CancellationToken cancellationToken)
    {
        Dictionary<string, string> roots = new(StringComparer.Ordinal);
        foreach (var device in graph.Devices)
        {
            if (device is not { Qdev: { } path, Inserted.NodeName: { } root })
            {
                continue;
            }

            try
            {
                var answer = await client.ExecuteRawAsync("qom-get", QmpArguments.Create(new JsonObject { ["path"] = path, ["property"] = "vdev" }), cancellationToken).ConfigureAwait(false);

                // QEMU puts the number of the partition behind it, 0 for the whole disk.
                if (answer.GetString() is { } vdev)
                {
                    roots[vdev.TrimEnd('0')] = root;
                }
            }
            catch (QmpCommandException)
            {
                // An emulated drive.
            }
        }

        return roots;
    }

    /// <summary>Refuses a disk whose writes do not all pass through the node that would be changed.</summary>
    private void RequireChangeable(RealDisk target)
    {
        if (!target.Device.IsServedByQemu)
        {
            throw new WrongStateException(
                $"Domain {id}: disk {target.Disk.Vdev} is served by the kernel, not by QEMU, so it cannot be changed while its guest runs (Pengx:Xen:KernelBlockBackend, at the next start).");
        }

        RequireNoTwin(target);
    }

    /// <summary>Refuses a disk that is behind an emulated drive, too.</summary>
    private void RequireNoTwin(RealDisk target)
    {
        if (target.Twin is { } twin)
        {
            throw new WrongStateException(
                $"Domain {id}: disk {target.Disk.Vdev} is behind an emulated drive, too ({twin}): it cannot be changed or unplugged while its guest runs before the guest uses Xen's driver for it, and with hdtype=\"ahci\" on an older QEMU not at all.");
        }
    }

    private async Task OverlayCoreAsync(IReadOnlyList<DiskReplacement> disks, CancellationToken cancellationToken)
    {
        var run = await RequireRunAsync(cancellationToken).ConfigureAwait(false);
        CheckAgainstXl(disks);
        var lease = await OpenMonitorAsync(cancellationToken).ConfigureAwait(false);
        await using (lease.ConfigureAwait(false))
        {
            var client = lease.Client;
            var real = await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false);
            var now = real.Select(disk => disk.Disk).ToList();
            var left = disks.Where(disk => ReplacementRules.IsToDo(disk, now)).ToList();
            if (left.Count == 0)
            {
                await StoreAsync(run, [.. disks.Select(disk => disk.After)]).ConfigureAwait(false);
                return;
            }

            QmpJobEngine jobs = new(client, new() { TimeProvider = environment.Time });
            foreach (var change in Changes().Where(change => left.Any(disk => disk.Before.Vdev == change.Before.Vdev)))
            {
                if (change.JobId is { } jobId && await jobs.FindAsync(jobId, cancellationToken).ConfigureAwait(false) is not null)
                {
                    throw new WrongStateException($"Layers of disk {change.Before.Vdev} of domain {id} are being merged; it can get another one when that has ended.");
                }
            }

            QmpTransaction transaction = new();
            foreach (var disk in left)
            {
                var target = real.First(candidate => candidate.Disk.Vdev == disk.Before.Vdev);
                RequireChangeable(target);
                await CheckOverlayAsync(client, target, disk, cancellationToken).ConfigureAwait(false);
                var layer = disk.After.Layers[0];

                // A node made so is QEMU's own: it goes when nothing uses it any more, after a merge or with its device.
                transaction.Add("blockdev-snapshot-sync", new()
                {
                    ["node-name"] = target.Chain[0].Name,
                    ["snapshot-file"] = XenBlockNodes.PathOf(layer),
                    ["snapshot-node-name"] = XenBlockNodes.Name(disk.After.Vdev, layer),
                    ["format"] = layer.Format.Name,
                    ["mode"] = "existing",
                });
            }

            cancellationToken.ThrowIfCancellationRequested();
            await ChangeOverAsync(run, client, real, disks, left, transaction).ConfigureAwait(false);
        }
    }

    // What xl would not start from is refused before anything changes.
    private void CheckAgainstXl(IReadOnlyList<DiskReplacement> disks)
    {
        if (_files.ReadDefinition() is { } definition)
        {
            _ = Configure(ReplacementRules.Apply(definition, disks.Select(disk => disk.After)));
        }
    }

    private async Task CheckOverlayAsync(IQmpClient client, RealDisk target, DiskReplacement disk, CancellationToken cancellationToken)
    {
        // What an interrupted try left.
        await CloseNodesAsync(client, target.Strays, cancellationToken).ConfigureAwait(false);
        var (layer, beneath) = (disk.After.Layers[0], disk.Before.Layers[0]);
        var name = XenBlockNodes.LookName(disk.After.Vdev);
        QmpImage image;
        try
        {
            await client.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(XenBlockNodes.DescribeLook(disk.After.Vdev, layer)), cancellationToken).ConfigureAwait(false);
            var nodes = await client.ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new() { Flat = true }, cancellationToken).ConfigureAwait(false);
            image = nodes.First(node => node.NodeName == name).Image;
        }
        catch (QmpCommandException)
        {
            throw;
        }
        catch (Exception exception) when (exception is not QmpDisconnectedException)
        {
            await UndoAsync(token => CloseNodesAsync(client, [name], token)).ConfigureAwait(false);
            throw;
        }

        await CloseNodesAsync(client, [name], CancellationToken.None).ConfigureAwait(false);
        if (image.VirtualSize != target.Chain[0].Info.Image.VirtualSize)
        {
            throw new InvalidFieldException("disk", layer.Location.ToString(), string.Create(
                CultureInfo.InvariantCulture, $"the overlay has {image.VirtualSize} bytes and the disk {target.Chain[0].Info.Image.VirtualSize}; they must be equal."));
        }

        // By its header QEMU finds what is beneath it, at the next start at the latest.
        if (image.BackingFilename != XenBlockNodes.PathOf(beneath) || image.BackingFilenameFormat != beneath.Format.Name)
        {
            throw new InvalidFieldException(
                "disk",
                layer.Location.ToString(),
                $"the overlay is backed by '{image.BackingFilename}' ({image.BackingFilenameFormat ?? "no format"}), not by '{XenBlockNodes.PathOf(beneath)}' ({beneath.Format.Name}).");
        }
    }

    /// <summary>The instant itself: from the first byte written here on, it is seen through.</summary>
    private async Task ChangeOverAsync(
        XenRun run, IQmpClient client, IReadOnlyList<RealDisk> real, IReadOnlyList<DiskReplacement> disks, IReadOnlyList<DiskReplacement> left, QmpTransaction transaction)
    {
        try
        {
            // Which disk is which must be known while the definition is ahead of it.
            await WriteChangesAsync(run, [.. left.Select(disk => new XenRunChange(StoredDisk.From(disk.Before), StoredDisk.From(disk.After), null))]).ConfigureAwait(false);
            foreach (var disk in left)
            {
                await XenDevices.NoteAsync(environment.Store, real.First(known => known.Disk.Vdev == disk.Before.Vdev).Device, disk.Before, CancellationToken.None).ConfigureAwait(false);
            }

            await StoreDefinitionAsync([.. disks.Select(disk => disk.After)]).ConfigureAwait(false);
            await XlAsync(XlCommand.UpdateConfiguration(run.Domain, _files.Configuration), CancellationToken.None).ConfigureAwait(false);
            if (await ReadRunAsync(CancellationToken.None).ConfigureAwait(false) is not { IsAlive: true, IsLeaving: false } now || now.Domain != run.Domain)
            {
                // Its monitor may have asked libxl before that was told.
                throw new HypervisorException($"Domain {id}: its guest left during {OverlayVerb}.");
            }

            await SnapshotAsync(run, client, left, transaction).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or XenstoreException or PengxException or IOException or UnauthorizedAccessException)
        {
            if (!await IsDoneAfterAllAsync(disks, left).ConfigureAwait(false))
            {
                throw;
            }

            return;
        }

        await NoteAsync(run, [.. disks.Select(disk => disk.After)]).ConfigureAwait(false);
        await ForgetChangesAsync(left).ConfigureAwait(false);
    }

    private async Task SnapshotAsync(XenRun run, IQmpClient client, IReadOnlyList<DiskReplacement> left, QmpTransaction transaction)
    {
        try
        {
            await transaction.ExecuteAsync(client, CancellationToken.None).ConfigureAwait(false);
        }
        catch (QmpTimeoutException exception) when (exception.IsOutcomeUnknown)
        {
            // Commands are carried out in order: the answer to this look tells what became of it.
            var real = await ReadRealAsync(run, client, CancellationToken.None).ConfigureAwait(false);
            if (left.Any(disk => ReplacementRules.IsToDo(disk, [.. real.Select(known => known.Disk)])))
            {
                throw;
            }
        }
    }

    /// <summary>Finds out, after a failure, which disks the guest really has, and stores those. A guest that rebooted meanwhile may be on its
    /// overlays; one that is gone will be, and they show what is beneath them.</summary>
    private async Task<bool> IsDoneAfterAllAsync(IReadOnlyList<DiskReplacement> disks, IReadOnlyList<DiskReplacement> left)
    {
        for (var attempt = 1; attempt <= Attempts; attempt++)
        {
            if (await ReadSettledRunAsync(CancellationToken.None).ConfigureAwait(false) is not { IsAlive: true } run)
            {
                await ForgetChangesAsync(left).ConfigureAwait(false);
                return false;
            }

            var isHeld = run.State == VmState.Running;
            if (isHeld && !await TryHoldAsync(run).ConfigureAwait(false))
            {
                continue;
            }

            try
            {
                var lease = await OpenMonitorAsync(CancellationToken.None).ConfigureAwait(false);
                await using (lease.ConfigureAwait(false))
                {
                    var real = await ReadRealAsync(run, lease.Client, CancellationToken.None).ConfigureAwait(false);
                    var isDone = !left.Any(disk => ReplacementRules.IsToDo(disk, [.. real.Select(known => known.Disk)]));
                    await StoreAsync(run, [.. disks.Select(disk => isDone || !left.Contains(disk) ? disk.After : disk.Before)]).ConfigureAwait(false);
                    return isDone;
                }
            }
            catch (Exception exception) when (exception is QmpException or XenstoreException or PengxException)
            {
                // What is stored stays ahead, which is right either way.
                Log.SettleFailed(environment.Logger, id, exception);
                return false;
            }
            finally
            {
                if (isHeld)
                {
                    await ReleaseAsync(run).ConfigureAwait(false);
                }
            }
        }

        return false;
    }

    private async Task MoveAsync(
        string verb, DiskReplacement disk, LayerMove move, bool isCommit, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        // One caller at a time on a disk; the domain's other verbs need not wait for hours of merging.
        var gate = _moves.GetOrAdd(disk.Before.Vdev, static _ => new(1, 1));
        await gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        DiskJob? begun = null;
        try
        {
            begun = await RunLiveVerbAsync(verb, token => BeginAsync(disk, move, isCommit, limits, token), cancellationToken).ConfigureAwait(false);
            if (begun is null)
            {
                return;
            }

            var state = await FollowAsync(verb, begun, disk, progress, cancellationToken).ConfigureAwait(false);
            await RunLiveVerbAsync(
                verb,
                async _ =>
                {
                    await EndAsync(begun, disk, verb, state, progress, cancellationToken).ConfigureAwait(false);
                    return true;
                },
                CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            if (begun is not null)
            {
                await begun.DisposeAsync().ConfigureAwait(false);
            }

            gate.Release();
        }
    }

    private async Task<DiskJob?> BeginAsync(DiskReplacement disk, LayerMove move, bool isCommit, LiveDiskLimits? limits, CancellationToken cancellationToken)
    {
        var run = await RequireRunAsync(cancellationToken).ConfigureAwait(false);
        CheckAgainstXl([disk]);
        if (!_monitor.IsThere && await IsTheKernelsAsync(run, disk.After, cancellationToken).ConfigureAwait(false))
        {
            await StoreAsync(run, [disk.After]).ConfigureAwait(false);
            return null;
        }

        var lease = await OpenMonitorAsync(cancellationToken).ConfigureAwait(false);
        DiskJob? begun = null;
        try
        {
            return begun = await BeginAsync(run, lease, disk, move, isCommit, limits, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (begun is null)
            {
                await lease.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private async Task<DiskJob?> BeginAsync(
        XenRun run, XenMonitor.Lease lease, DiskReplacement disk, LayerMove move, bool isCommit, LiveDiskLimits? limits, CancellationToken cancellationToken)
    {
        var client = lease.Client;
        var (target, isToDo) = await FindTargetAsync(run, client, disk, cancellationToken).ConfigureAwait(false);
        QmpJobEngine jobs = new(client, new() { TimeProvider = environment.Time });
        QmpLayerJob layers = new(jobs, JobIdOf(disk.Before.Vdev, move, isCommit), isCommit || !isToDo ? null : target.Chain[move.First - 1]);
        DiskJob? begun = null;
        try
        {
            var isUnderWay = await layers.TakeUpAsync(cancellationToken).ConfigureAwait(false);
            if (!isToDo)
            {
                await CloseNodesAsync(client, target.Strays, cancellationToken).ConfigureAwait(false);
                await StoreAsync(run, [disk.After]).ConfigureAwait(false);
                return null;
            }

            if (isUnderWay)
            {
                if (limits?.BytesPerSecond is { } speed)
                {
                    await layers.Job.SetSpeedAsync(speed, cancellationToken).ConfigureAwait(false);
                }

                return begun = new(run, lease, layers);
            }

            if (Changes().FirstOrDefault(other => other.Before.Vdev == disk.Before.Vdev)?.JobId is { } other && other != layers.Job.Id
                && await jobs.FindAsync(other, cancellationToken).ConfigureAwait(false) is { } orphan)
            {
                // Nobody follows it, or we would wait at the gate: a caller that is gone began it, and what is asked now is to undo what he did.
                await AbandonAsync(orphan).ConfigureAwait(false);
                return await BeginAsync(run, lease, disk, move, isCommit, limits, cancellationToken).ConfigureAwait(false);
            }

            await WriteChangesAsync(run, [new(StoredDisk.From(disk.Before), StoredDisk.From(disk.After), layers.Job.Id)]).ConfigureAwait(false);
            await XenDevices.NoteAsync(environment.Store, target.Device, disk.Before, cancellationToken).ConfigureAwait(false);
            try
            {
                await StartAsync(layers, target, move, isCommit, limits, cancellationToken).ConfigureAwait(false);
            }
            catch (QmpCommandException)
            {
                await ForgetChangesAsync([disk]).ConfigureAwait(false);
                throw;
            }

            return begun = new(run, lease, layers);
        }
        finally
        {
            if (begun is null)
            {
                layers.Dispose();
            }
        }
    }

    /// <summary>Whether a disk is one that the kernel serves as it was attached, without a QEMU that could have changed it.</summary>
    private async Task<bool> IsTheKernelsAsync(XenRun run, DomainDisk disk, CancellationToken cancellationToken) =>
        (await ReadRealAsync(run, null, cancellationToken).ConfigureAwait(false))
            .Any(known => !known.Device.IsServedByQemu && known.Disk.Vdev == disk.Vdev && known.Disk.Layers.SequenceEqual(disk.Layers));

    /// <summary>Finds a disk, and whether anything is to be done. If so, a guest that has just rebooted is given the time to take the disk over from its
    /// emulated drive: it had done that before, or the layers would not be there.</summary>
    /// <exception cref="WrongStateException">It is to be done, and cannot while the guest runs.</exception>
    private async Task<(RealDisk Target, bool IsToDo)> FindTargetAsync(XenRun run, IQmpClient client, DiskReplacement disk, CancellationToken cancellationToken)
    {
        RealDisk? target = null;
        var isToDo = false;
        _ = await IsReachedAsync(
            async token =>
            {
                var real = await ReadRealAsync(run, client, token).ConfigureAwait(false);
                isToDo = ReplacementRules.IsToDo(disk, [.. real.Select(known => known.Disk)]);
                target = real.First(known => known.Disk.Vdev == disk.Before.Vdev);
                return !isToDo || target.Twin is null;
            },
            environment.Options.DeviceTimeout,
            cancellationToken).ConfigureAwait(false);
        if (isToDo)
        {
            RequireChangeable(target!);
        }

        return (target!, isToDo);
    }

    private async Task AbandonAsync(QmpJob job)
    {
        try
        {
            await job.AbandonAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (TimeoutException exception)
        {
            throw new UnavailableException($"Domain {id}: {exception.Message}", exception);
        }
    }

    private static Task StartAsync(QmpLayerJob layers, RealDisk target, LayerMove move, bool isCommit, LiveDiskLimits? limits, CancellationToken cancellationToken)
    {
        var beneath = move.Below is null ? null : target.Chain[move.First + move.Count].Name;
        var backingFile = move is { Above: not null, Below: { } below } ? XenBlockNodes.PathOf(below) : null;
        return isCommit
            ? layers.StartCommitAsync(target.Chain[0].Name, target.Chain[move.First].Name, beneath!, backingFile, limits?.BytesPerSecond, cancellationToken)
            : layers.StartStreamAsync(beneath, backingFile, limits?.BytesPerSecond, cancellationToken);
    }

    /// <summary>Made of what the job does, so that another service finds the same job by asking for the same.</summary>
    private static string JobIdOf(string vdev, LayerMove move, bool isCommit) => isCommit
        ? QmpJobId.Create("commit", $"{vdev}-{XenBlockNodes.LocationHash(move.Top)}-{XenBlockNodes.LocationHash(move.Below!)}")
        : QmpJobId.Create("stream", $"{vdev}-{XenBlockNodes.LocationHash(move.Above!)}-{(move.Below is { } below ? XenBlockNodes.LocationHash(below) : "none")}");

    /// <summary>Waits until the job is over, or waits for its guest to change over.</summary>
    /// <returns>How it stands; <see langword="null"/> when it was given up.</returns>
    private async Task<QmpJobInfo?> FollowAsync(string verb, DiskJob begun, DiskReplacement disk, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, detached);
        try
        {
            return await begun.Layers.FollowAsync(progress is null ? null : new ByteRelay(progress), either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            try
            {
                await AbandonAsync(begun.Layers.Job).ConfigureAwait(false);
                return null;
            }
            catch (QmpException exception)
            {
                throw Translate(verb, exception);
            }
        }
        catch (OperationCanceledException)
        {
            throw new HypervisorException($"Domain {id}: the driver was closed during {verb}; QEMU goes on with it, and whoever asks again takes it up.");
        }
        catch (QmpDisconnectedException exception) when (!detached.IsCancellationRequested)
        {
            // The job went with its QEMU, and a guest that reboots does so on the layers it had.
            await RunLiveVerbAsync(
                verb,
                async _ =>
                {
                    await ForgetChangesAsync([disk]).ConfigureAwait(false);
                    return true;
                },
                CancellationToken.None).ConfigureAwait(false);
            throw Translate(verb, exception);
        }
        catch (QmpException exception)
        {
            throw Translate(verb, exception);
        }
    }

    private async Task EndAsync(DiskJob begun, DiskReplacement disk, string verb, QmpJobInfo? state, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var (run, lease, layers) = begun;
        var client = lease.Client;
        Exception? failure = null;
        if (state is { IsReady: true })
        {
            failure = await PivotAsync(run, client, layers.Job, disk, verb).ConfigureAwait(false);
        }
        else
        {
            if (state is not null)
            {
                await EndAsync(layers, state, verb).ConfigureAwait(false);
            }

            await SettleAsync(run, client, disk).ConfigureAwait(false);
        }

        // What the domain really has decides, and neither the job's word nor a cancel that came too late.
        var real = await ReadRealAsync(run, client, CancellationToken.None).ConfigureAwait(false);
        if (ReplacementRules.IsToDo(disk, [.. real.Select(known => known.Disk)]))
        {
            if (state is null)
            {
                throw new OperationCanceledException(cancellationToken);
            }

            throw failure ?? new HypervisorException($"Domain {id}: {verb} failed, {disk.Before.Vdev} keeps its layers: {state.Error ?? "QEMU said no reason"}");
        }

        await CloseNodesAsync(client, real.First(known => known.Disk.Vdev == disk.Before.Vdev).Strays, CancellationToken.None).ConfigureAwait(false);
        if (state is { TotalProgress: > 0 })
        {
            progress?.Report(new(state.TotalProgress, state.TotalProgress));
        }
    }

    /// <summary>Lets the guest change over to the layer that took its own in. It stands still meanwhile: from then on until libxl knows,
    /// both layers hold the same, so either is right should QEMU or the host die.</summary>
    /// <returns>Why it did not complete, though the guest may have changed over all the same.</returns>
    private async Task<Exception?> PivotAsync(XenRun run, IQmpClient client, QmpJob job, DiskReplacement disk, string verb)
    {
        await job.SetSpeedAsync(0, CancellationToken.None).ConfigureAwait(false);
        var now = await ReadRunAsync(CancellationToken.None).ConfigureAwait(false);
        var isHeld = now is { State: VmState.Running };
        if (now is not { IsAlive: true, IsLeaving: false } || now.Domain != run.Domain || (isHeld && !await TryHoldAsync(run).ConfigureAwait(false)))
        {
            await job.AbandonAsync(CancellationToken.None).ConfigureAwait(false);
            await ForgetChangesAsync([disk]).ConfigureAwait(false);
            throw new HypervisorException($"Domain {id}: {verb} was given up: its guest is leaving.");
        }

        var isSettled = false;
        try
        {
            var failure = await CompleteAsync(job, verb).ConfigureAwait(false);
            await SettleAsync(run, client, disk).ConfigureAwait(false);
            isSettled = true;
            return failure;
        }
        finally
        {
            if (isHeld && (isSettled || !HasQemu))
            {
                await ReleaseAsync(run).ConfigureAwait(false);
            }
        }
    }

    private async Task EndAsync(QmpLayerJob layers, QmpJobInfo state, string verb)
    {
        try
        {
            await layers.EndAsync(state, CancellationToken.None).ConfigureAwait(false);
        }
        catch (QmpJobException exception)
        {
            throw new HypervisorException($"Domain {id}: {verb} failed, what was moved could not be flushed: {exception.Error}", exception);
        }
    }

    /// <summary>Lets a job that is ready come to its end, whichever that is.</summary>
    /// <returns>Why it did not complete. The guest may have changed over all the same; nothing will change it over any more.</returns>
    private async Task<Exception?> CompleteAsync(QmpJob job, string verb)
    {
        try
        {
            await job.CompleteWithinAsync(s_changeOverTimeout).ConfigureAwait(false);
            return null;
        }
        catch (QmpJobException exception)
        {
            return new HypervisorException($"Domain {id}: {verb} failed: {exception.Error ?? exception.Message}", exception);
        }
        catch (TimeoutException exception)
        {
            return await job.QueryAsync(CancellationToken.None).ConfigureAwait(false) is { IsConcluded: false }
                ? throw new HypervisorException($"Domain {id}: {verb} was given up, and does not end.", exception)
                : new HypervisorException(string.Create(
                    CultureInfo.InvariantCulture, $"Domain {id}: {verb} was given up: the guest could not change over within {s_changeOverTimeout.TotalSeconds} s."), exception);
        }
    }

    /// <summary>Stops the guest's processors for a moment, which nobody sees; not where it has left or is about to. One that is held already
    /// stays so.</summary>
    private async Task<bool> TryHoldAsync(XenRun run)
    {
        // Written first: whoever finds the guest standing still must know that it has to go on.
        await WriteRecordAsync(run, isHeld: true).ConfigureAwait(false);
        environment.Table.Hold(id, run.Domain);
        if (IsStandingStill(run))
        {
            // Xen counts: what is paused twice goes on when it was let go twice.
            return true;
        }

        var isHeld = false;
        try
        {
            // It says 0 whatever happened: the list is the judge.
            await XlAsync(XlCommand.Pause(run.Domain), CancellationToken.None).ConfigureAwait(false);
            await environment.Table.ReadAsync(CancellationToken.None).ConfigureAwait(false);
            return isHeld = IsStandingStill(run);
        }
        finally
        {
            if (!isHeld)
            {
                await ReleaseAsync(run).ConfigureAwait(false);
            }
        }
    }

    private bool IsStandingStill(XenRun run) =>
        environment.Table.FindRow(id) is { State.Activity: XlDomainActivity.Paused } row && row.Domain == run.Domain;

    /// <summary>Lets a held guest go on. One that does not stays held, for whoever takes it up to try again.</summary>
    private async Task ReleaseAsync(XenRun run)
    {
        for (var attempt = 1; ; attempt++)
        {
            string obstacle;
            try
            {
                var result = await environment.Xl.TryAsync(XlCommand.Unpause(run.Domain), CancellationToken.None).ConfigureAwait(false);
                await environment.Table.ReadAsync(CancellationToken.None).ConfigureAwait(false);
                if (!IsStandingStill(run))
                {
                    await WriteRecordAsync(run, isHeld: false).ConfigureAwait(false);
                    environment.Table.Release(id);
                    return;
                }

                obstacle = $"xl unpause had no effect: {XlError.Parse(result.Error).Message}.";
            }
            catch (UnavailableException exception)
            {
                obstacle = exception.Message;
            }

            if (attempt == Attempts)
            {
                throw new HypervisorException($"Domain {id} stands still after a change of its disks, and is let go on as soon as xl can: {obstacle}");
            }
        }
    }

    // Without its QEMU a guest writes nothing more, and nothing changes it over.
    private bool HasQemu => XenProcesses.FindQemus(_files).Count > 0;

    /// <summary>Keeps a guest standing still for as long as nobody can say which image it has: what is stored may name the other one,
    /// and what the guest wrote then would be lost when it ends or reboots.</summary>
    private async Task TakeUpInBackgroundAsync()
    {
        try
        {
            while (!await TryTakeUpAsync(detached).ConfigureAwait(false))
            {
                await Task.Delay(s_takeUpInterval, environment.Time, detached).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The record says that the guest is held: whoever takes it up next goes on.
        }
        catch (Exception exception)
        {
            Log.SettleFailed(environment.Logger, id, exception);
        }
    }

    /// <returns>Whether the guest is not held any more.</returns>
    private async Task<bool> TryTakeUpAsync(CancellationToken cancellationToken)
    {
        var isHeld = false;
        try
        {
            if (_files.ReadRunRecord() is not { } record)
            {
                return true;
            }

            isHeld = record.IsHeld;
            return await RunLiveVerbAsync(TakeUpVerb, TakeUpCoreAsync, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is PengxException or TimeoutException or IOException or UnauthorizedAccessException)
        {
            Log.SettleFailed(environment.Logger, id, exception);
            return !isHeld;
        }
    }

    /// <returns>Whether it is stored which images the disks have; otherwise the guest is still held.</returns>
    private async Task<bool> TakeUpCoreAsync(CancellationToken cancellationToken)
    {
        if (_files.ReadRunRecord() is not { } record)
        {
            return true;
        }

        if (await ReadSettledRunAsync(cancellationToken).ConfigureAwait(false) is not { IsAlive: true } run)
        {
            // What is stored is the truth of a change whose domain has ended.
            environment.Table.Release(id);
            await _files.WriteRunRecordAsync(record with { IsHeld = false, Changes = [] }).ConfigureAwait(false);
            return true;
        }

        var isHeld = record.IsHeld && record.Domain == run.Domain;
        var isSettled = true;
        try
        {
            var lease = await OpenMonitorAsync(cancellationToken).ConfigureAwait(false);
            await using (lease.ConfigureAwait(false))
            {
                QmpJobEngine jobs = new(lease.Client, new() { TimeProvider = environment.Time });
                foreach (var change in record.Changes)
                {
                    if (change.JobId is { } jobId && await jobs.FindAsync(jobId, cancellationToken).ConfigureAwait(false) is { } job)
                    {
                        var state = await job.QueryAsync(cancellationToken).ConfigureAwait(false);
                        if (state is { IsReady: true } && isHeld)
                        {
                            // Who held it may have died before it stood still, and somebody may have let it go since.
                            if (!await TryHoldAsync(run).ConfigureAwait(false))
                            {
                                isSettled = false;
                                continue;
                            }

                            // The guest was being changed over, and may be at any moment: it is, before it goes on.
                            if (await CompleteAsync(job, CommitVerb).ConfigureAwait(false) is { } failure)
                            {
                                Log.SettleFailed(environment.Logger, id, failure);
                            }
                        }
                        else if (state is { Status: QmpJobStatus.Waiting or QmpJobStatus.Pending or QmpJobStatus.Aborting })
                        {
                            // It ends in a moment, one way or the other.
                            isSettled = false;
                            continue;
                        }
                        else if (state is { IsConcluded: false })
                        {
                            continue;
                        }
                    }

                    await SettleAsync(run, lease.Client, new(change.Before.ToDisk(), change.After.ToDisk())).ConfigureAwait(false);
                }
            }
        }
        catch (Exception exception) when (exception is QmpException or XenstoreException or PengxException or TimeoutException)
        {
            Log.SettleFailed(environment.Logger, id, exception);
            isSettled = false;
        }

        if (isHeld && (isSettled || !HasQemu))
        {
            await ReleaseAsync(run).ConfigureAwait(false);
            return true;
        }

        return !isHeld;
    }

    /// <summary>Writes down which of its two selves a disk really is.</summary>
    private async Task SettleAsync(XenRun run, IQmpClient client, DiskReplacement disk)
    {
        var real = await ReadRealAsync(run, client, CancellationToken.None).ConfigureAwait(false);
        if (real.FirstOrDefault(known => known.Disk.Vdev == disk.After.Vdev)?.Disk.Layers is not { } layers)
        {
            return;
        }

        if (layers.SequenceEqual(disk.After.Layers) || layers.SequenceEqual(disk.Before.Layers))
        {
            await StoreAsync(run, [layers.SequenceEqual(disk.After.Layers) ? disk.After : disk.Before]).ConfigureAwait(false);
        }
        else
        {
            // Somebody else has changed it: what it is by now is not ours to say.
            await ForgetChangesAsync([disk]).ConfigureAwait(false);
            throw new HypervisorException($"Domain {id}: disk {disk.Before.Vdev} has layers that nobody asked for: {string.Join(", ", layers.Select(layer => layer.Location))}.");
        }
    }

    /// <summary>Makes disks what the stored definition, libxl and xenstore have, and no change of them is under way.</summary>
    private async Task StoreAsync(XenRun run, IReadOnlyList<DomainDisk> disks)
    {
        await StoreDefinitionAsync(disks).ConfigureAwait(false);
        await TellLibxlAsync(run).ConfigureAwait(false);
        await NoteAsync(run, disks).ConfigureAwait(false);
        var vdevs = disks.Select(disk => disk.Vdev).ToHashSet(StringComparer.Ordinal);
        if (_files.ReadRunRecord() is { } record)
        {
            await _files.WriteRunRecordAsync(record with { Changes = [.. record.Changes.Where(change => !vdevs.Contains(change.Before.Vdev))] }).ConfigureAwait(false);
        }
    }

    private async Task StoreDefinitionAsync(IReadOnlyList<DomainDisk> disks)
    {
        if (_files.ReadDefinition() is { } definition)
        {
            var applied = ReplacementRules.Apply(definition, disks);
            await _files.WriteAsync(applied, Configure(WithFreeName(applied)), CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>Tells libxl what a reboot shall start from; without that it would be the disks of before. Where it does not listen, its monitor
    /// is ended: a reboot is then this service's to carry out, which starts from what is stored here.</summary>
    private async Task TellLibxlAsync(XenRun run)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await XlAsync(XlCommand.UpdateConfiguration(run.Domain, _files.Configuration), CancellationToken.None).ConfigureAwait(false);
                return;
            }
            catch (PengxException exception)
            {
                if (await ReadRunAsync(CancellationToken.None).ConfigureAwait(false) is not { IsAlive: true, IsLeaving: false } now || now.Domain != run.Domain)
                {
                    return;
                }

                if (attempt == Attempts)
                {
                    Log.MonitorEnded(environment.Logger, id, exception);
                    foreach (var monitor in XenProcesses.FindMonitors(_files))
                    {
                        await XenProcesses.EndAsync(monitor, CancellationToken.None).ConfigureAwait(false);
                    }

                    return;
                }
            }
        }
    }

    /// <summary>Notes in xenstore which images are behind disks; nothing that runs depends on it.</summary>
    private async Task NoteAsync(XenRun run, IReadOnlyList<DomainDisk> disks)
    {
        try
        {
            foreach (var device in await XenDevices.ListDisksAsync(environment.Store, run.Domain, CancellationToken.None).ConfigureAwait(false))
            {
                if (device.IsServedByQemu && disks.FirstOrDefault(disk => disk.Vdev == device.Vdev) is { } disk)
                {
                    await XenDevices.NoteAsync(environment.Store, device, disk, CancellationToken.None).ConfigureAwait(false);
                }
            }
        }
        catch (XenstoreException exception)
        {
            Log.NoteFailed(environment.Logger, id, exception);
        }
    }

    private Task WriteChangesAsync(XenRun run, IReadOnlyList<XenRunChange> changes)
    {
        var record = _files.ReadRunRecord() ?? new() { Domain = run.Domain };
        return _files.WriteRunRecordAsync(record with
        {
            Domain = run.Domain,
            Changes = [.. record.Changes.Where(known => !changes.Any(change => change.Before.Vdev == known.Before.Vdev)), .. changes],
        });
    }

    private Task WriteRecordAsync(XenRun run, bool isHeld) =>
        _files.WriteRunRecordAsync((_files.ReadRunRecord() ?? new() { Domain = run.Domain }) with { Domain = run.Domain, IsHeld = isHeld });

    private async Task ForgetChangesAsync(IReadOnlyList<DiskReplacement> disks)
    {
        if (_files.ReadRunRecord() is { } record)
        {
            await _files.WriteRunRecordAsync(record with { Changes = [.. record.Changes.Where(change => !disks.Any(disk => disk.Before.Vdev == change.Before.Vdev))] }).ConfigureAwait(false);
        }
    }

    private async Task CloseNodesAsync(IQmpClient client, IReadOnlyList<string> nodes, CancellationToken cancellationToken)
    {
        foreach (var node in nodes)
        {
            try
            {
                await client.ExecuteAsync(QmpCommands.BlockdevDel, new() { NodeName = node }, cancellationToken).ConfigureAwait(false);
            }
            catch (QmpCommandException exception)
            {
                Log.NodeKept(environment.Logger, id, node, exception.Description);
            }
        }
    }

    /// <summary>A disk as QEMU has it.</summary>
    /// <param name="Disk">The disk with its real layers.</param>
    /// <param name="Device">libxl's record of it.</param>
    /// <param name="Chain">The nodes of its layers; none where the kernel serves it.</param>
    /// <param name="Strays">Nodes of it that nothing uses any more.</param>
    /// <param name="Twin">The emulated drive that has the same image open; <see langword="null"/> for none.</param>
    private sealed record RealDisk(DomainDisk Disk, XenDevice Device, IReadOnlyList<QmpBlockGraphNode> Chain, IReadOnlyList<string> Strays, string? Twin);

    private sealed record DiskJob(XenRun Run, XenMonitor.Lease Lease, QmpLayerJob Layers) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            Layers.Dispose();
            return Lease.DisposeAsync();
        }
    }

    private sealed class ByteRelay(IProgress<ByteProgress> target) : IProgress<QmpJobProgress>
    {
        public void Report(QmpJobProgress value) => target.Report(new(Math.Min(value.Offset, value.Length), value.Length));
    }

    private sealed class Nothing : IAsyncDisposable
    {
        public static readonly Nothing Instance = new();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
