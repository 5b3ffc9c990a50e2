using System.Collections.Concurrent;
using System.Globalization;
using Pengx.Qmp;
using Pengx.Qmp.Qapi;

namespace Pengx.Qemu;

// The images beneath the disks of a running domain. Whenever QEMU or the host dies, the stored definition must name images that hold
// every flushed byte. So it is written before an overlay is used, while that is empty and shows what is beneath it; and a guest that
// changes over to the image beneath its own stands still for the moment in which both hold the same and the definition is written.
internal sealed partial class QemuDomain
{
    private const string OverlayVerb = "laying overlays on disks";
    private const string CommitVerb = "merging layers of a disk";
    private const string StreamVerb = "pulling up layers of a disk";

    private static readonly TimeSpan s_changeOverTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_settleInterval = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, SemaphoreSlim> _moves = new(StringComparer.Ordinal);

    public async Task<IReadOnlyList<DomainDisk>> ReadDisksAsync(CancellationToken cancellationToken)
    {
        // Not a verb of its own turn: it changes nothing, whatever else goes on.
        var run = RequireRun();
        try
        {
            return [.. (await ReadRealAsync(run, RequireClient(run), cancellationToken).ConfigureAwait(false)).Select(real => real.Disk)];
        }
        catch (QmpException exception)
        {
            throw Translate("reading the disks", exception);
        }
    }

    public Task<bool> OverlayAsync(IReadOnlyList<DiskReplacement> disks, bool quiesce, CancellationToken cancellationToken)
    {
        ReplacementRules.CheckOverlays(disks);
        return RunVerbAsync(OverlayVerb, token => OverlayCoreAsync(disks, quiesce, token), cancellationToken);
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

    private static IReadOnlyList<RunDisk> DisksOf(QemuRun run) => run.Record.Disks ?? [];

    private static IReadOnlyList<RunChange> ChangesOf(QemuRun run) => run.Record.Changes ?? [];

    private static async Task<IReadOnlyList<RealDisk>> ReadRealAsync(QemuRun run, IQmpClient client, CancellationToken cancellationToken)
    {
        var graph = await QmpBlockGraph.QueryAsync(client, cancellationToken).ConfigureAwait(false);
        List<RealDisk> real = [];
        foreach (var known in DisksOf(run))
        {
            DiskId origin = new(known.Origin);
            if (graph.FindRoot(Devices.DiskId(origin)) is not { } root)
            {
                continue;
            }

            var chain = BlockNodes.Chain(graph, root.Name);
            DomainDisk disk = new()
            {
                Id = new(known.Id),
                Vdev = known.Vdev,
                ReadOnly = root.Info.IsReadOnly,
                Layers = [.. chain.Select(node => BlockNodes.Read(graph, node))],
            };
            var used = chain.Select(node => node.Name).Concat(chain.SelectMany(node => node.Children.Where(child => child.Role == "file").Select(child => child.Node)));
            real.Add(new(disk, origin, [.. chain], [.. graph.Nodes.Select(node => node.Name).Where(name => BlockNodes.IsOf(origin, name)).Except(used)]));
        }

        return real;
    }

    private async Task<bool> OverlayCoreAsync(IReadOnlyList<DiskReplacement> disks, bool quiesce, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        await RequireLetGoAsync(run, client, cancellationToken).ConfigureAwait(false);
        var real = await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false);
        var left = LeftOf(disks, real);
        if (left.Count == 0)
        {
            await StoreAsync(run, [.. disks.Select(disk => disk.After)]).ConfigureAwait(false);
            return false;
        }

        List<string> added = [];
        try
        {
            var transaction = await PrepareOverlaysAsync(run, client, real, left, added, cancellationToken).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            return await ChangeOverAsync(run, client, disks, left, transaction, quiesce, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not QmpDisconnectedException)
        {
            await RemoveOverlaysAsync(client, added).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Those whose overlays are not laid.</summary>
    private static List<DiskReplacement> LeftOf(IReadOnlyList<DiskReplacement> disks, IReadOnlyList<RealDisk> real)
    {
        var now = real.Select(disk => disk.Disk).ToList();
        return [.. disks.Where(disk => ReplacementRules.IsToDo(disk, now))];
    }

    /// <summary>Opens the overlays.</summary>
    /// <returns>What lays them all at one instant.</returns>
    private async Task<QmpTransaction> PrepareOverlaysAsync(
        QemuRun run, IQmpClient client, IReadOnlyList<RealDisk> real, IReadOnlyList<DiskReplacement> left, List<string> added, CancellationToken cancellationToken)
    {
        QmpJobEngine jobs = new(client, new() { TimeProvider = environment.Time });
        foreach (var change in ChangesOf(run).Where(change => left.Any(disk => disk.Before.Vdev == change.Before.Vdev)))
        {
            if (change.JobId is { } jobId && await jobs.FindAsync(jobId, cancellationToken).ConfigureAwait(false) is not null)
            {
                throw new WrongStateException($"Layers of disk {change.Before.Vdev} of domain {id} are being merged; it can get another one when that has ended.");
            }
        }

        QmpTransaction transaction = new();
        List<(DiskReplacement Disk, RealDisk Target, string Overlay)> laid = [];
        foreach (var disk in left)
        {
            var target = real.First(candidate => candidate.Disk.Vdev == disk.Before.Vdev);
            var overlay = await AddOverlayAsync(client, target, disk, added, cancellationToken).ConfigureAwait(false);
            laid.Add((disk, target, overlay));
            transaction.Add("blockdev-snapshot", new() { ["node"] = target.Chain[0].Name, ["overlay"] = overlay });
        }

        // Once for all: with many disks and layers QEMU has much to tell.
        var nodes = await client.ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new() { Flat = true }, cancellationToken).ConfigureAwait(false);
        foreach (var (disk, target, overlay) in laid)
        {
            CheckOverlay(nodes.First(node => node.NodeName == overlay).Image, target, disk);
        }

        return transaction;
    }

    private Task RemoveOverlaysAsync(IQmpClient client, List<string> added) =>
        UndoAsync(async token => _ = await CloseNodesAsync(client, Enumerable.Reverse(added).ToList(), token).ConfigureAwait(false));

    private async Task<string> AddOverlayAsync(IQmpClient client, RealDisk target, DiskReplacement disk, List<string> added, CancellationToken cancellationToken)
    {
        // What an interrupted try left.
        _ = await CloseNodesAsync(client, target.Strays, cancellationToken).ConfigureAwait(false);
        environment.HandOver(disk.After);
        var layer = disk.After.Layers[0];
        foreach (var node in BlockNodes.DescribeOverlay(target.Origin, layer))
        {
            await client.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(node), cancellationToken).ConfigureAwait(false);
            added.Add((string)node["node-name"]!);
        }

        return BlockNodes.FormatNode(target.Origin, layer);
    }

    private static void CheckOverlay(QmpImage image, RealDisk target, DiskReplacement disk)
    {
        var layer = disk.After.Layers[0];
        var beneath = disk.Before.Layers[0];
        if (image.VirtualSize != target.Chain[0].Info.Image.VirtualSize)
        {
            throw new InvalidFieldException("disk", layer.Location.ToString(), string.Create(
                CultureInfo.InvariantCulture, $"the overlay has {image.VirtualSize} bytes and the disk {target.Chain[0].Info.Image.VirtualSize}; they must be equal."));
        }

        if ((image.BackingFilename is { } backing && !BlockNodes.IsBackingName(backing, beneath))
            || (image.BackingFilenameFormat is { } format && format != beneath.Format.Name))
        {
            throw new InvalidFieldException(
                "disk", layer.Location.ToString(), $"the overlay is backed by '{image.BackingFilename}' ({image.BackingFilenameFormat ?? "no format"}), not by '{BlockNodes.BackingName(beneath)}' ({beneath.Format.Name}).");
        }
    }

    /// <summary>The instant itself: from the first byte written here on, it is seen through.</summary>
    private async Task<bool> ChangeOverAsync(
        QemuRun run, IQmpClient client, IReadOnlyList<DiskReplacement> disks, IReadOnlyList<DiskReplacement> left, QmpTransaction transaction, bool quiesce, CancellationToken cancellationToken)
    {
        var isDone = false;
        var isFrozen = false;
        try
        {
            // Side by side: both are flushed before QEMU hears of it, and either alone does no harm.
            await Task.WhenAll(
                WriteRecordAsync(
                    run,
                    run.Record with { Changes = [.. ChangesOf(run), .. left.Select(disk => new RunChange(StoredDisk.From(disk.Before), StoredDisk.From(disk.After), null))] },
                    CancellationToken.None),
                StoreDefinitionAsync([.. disks.Select(disk => disk.After)])).ConfigureAwait(false);

            // Frozen last and thawed first: the guest's programs wait meanwhile.
            var freeze = quiesce && run.State == VmState.Running && await HasAgentAsync(client, cancellationToken).ConfigureAwait(false)
                ? await GuestFreeze.TryAsync(id, _files.AgentSocket, environment.Time, environment.Logger, cancellationToken).ConfigureAwait(false)
                : null;
            try
            {
                isFrozen = freeze is { IsFrozen: true };
                isDone = await SnapshotAsync(run, client, left, transaction).ConfigureAwait(false);
            }
            finally
            {
                if (freeze is not null)
                {
                    await freeze.DisposeAsync().ConfigureAwait(false);
                }
            }
        }
        catch (QmpException exception) when (exception is QmpDisconnectedException or QmpTimeoutException { IsOutcomeUnknown: true })
        {
            // Nobody can say whether the guest writes to the overlays, now or soon: the definition keeps them, which is right either way.
            isDone = true;
            throw;
        }
        finally
        {
            await StoreAsync(run, [.. disks.Select(disk => isDone ? disk.After : left.Contains(disk) ? disk.Before : disk.After)]).ConfigureAwait(false);
        }

        return isFrozen;
    }

    /// <summary>Whether a program in the guest has the agent's channel open: where none does, nobody need be waited for.</summary>
    private async Task<bool> HasAgentAsync(IQmpClient client, CancellationToken cancellationToken)
    {
        var devices = await client.ExecuteAsync(QapiCommands.QueryChardev, QmpEmpty.Instance, cancellationToken).ConfigureAwait(false);
        if (devices.Any(device => device is { Label: QemuCommandLine.AgentChannel, FrontendOpen: true }))
        {
            return true;
        }

        Log.NotFrozen(environment.Logger, id, "no program in the guest has the agent's channel open");
        return false;
    }

    private async Task<bool> SnapshotAsync(QemuRun run, IQmpClient client, IReadOnlyList<DiskReplacement> left, QmpTransaction transaction)
    {
        try
        {
            await transaction.ExecuteAsync(client, CancellationToken.None).ConfigureAwait(false);
            return true;
        }
        catch (QmpTimeoutException exception) when (exception.IsOutcomeUnknown)
        {
            // Commands are carried out in order: the answer to this look tells what became of it.
            var real = await ReadRealAsync(run, client, CancellationToken.None).ConfigureAwait(false);
            return !left.Any(disk => ReplacementRules.IsToDo(disk, [.. real.Select(known => known.Disk)]))
                ? true
                : throw new UnavailableException($"Domain {id}: QEMU did not lay the overlays in time, and has not done it since.", exception);
        }
    }

    private async Task MoveAsync(
        string verb, DiskReplacement disk, LayerMove move, bool isCommit, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        // One caller at a time on a disk; the domain's other verbs need not wait for hours of merging.
        var gate = _moves.GetOrAdd(disk.Before.Vdev, static _ => new(1, 1));
        await gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            using var begun = await RunVerbAsync(verb, token => BeginAsync(disk, move, isCommit, limits, token), cancellationToken).ConfigureAwait(false);
            if (begun is null)
            {
                return;
            }

            var state = await FollowAsync(verb, begun, progress, cancellationToken).ConfigureAwait(false);
            await RunVerbAsync(verb, _ => EndAsync(begun, disk, verb, state, progress, cancellationToken), CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            gate.Release();
        }
    }

    private async Task<DiskJob?> BeginAsync(DiskReplacement disk, LayerMove move, bool isCommit, LiveDiskLimits? limits, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        await RequireLetGoAsync(run, client, cancellationToken).ConfigureAwait(false);
        var real = await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false);
        var isToDo = ReplacementRules.IsToDo(disk, [.. real.Select(known => known.Disk)]);
        var target = real.First(known => known.Disk.Vdev == disk.Before.Vdev);
        QmpJobEngine jobs = new(client, new() { TimeProvider = environment.Time });
        QmpLayerJob layers = new(jobs, JobIdOf(target.Origin, move, isCommit), isCommit || !isToDo ? null : target.Chain[move.First - 1]);
        DiskJob? begun = null;
        try
        {
            var isUnderWay = await layers.TakeUpAsync(cancellationToken).ConfigureAwait(false);
            if (!isToDo)
            {
                _ = await CloseNodesAsync(client, target.Strays, cancellationToken).ConfigureAwait(false);
                await StoreAsync(run, [disk.After]).ConfigureAwait(false);
                return null;
            }

            if (isUnderWay)
            {
                if (limits?.BytesPerSecond is { } speed)
                {
                    await layers.Job.SetSpeedAsync(speed, cancellationToken).ConfigureAwait(false);
                }

                return begun = new(run, client, layers);
            }

            if (ChangesOf(run).FirstOrDefault(other => other.Before.Vdev == disk.Before.Vdev)?.JobId is { } other && other != layers.Job.Id
                && await jobs.FindAsync(other, cancellationToken).ConfigureAwait(false) is { } orphan)
            {
                // Nobody follows it, or we would wait at the gate: a caller that is gone began it, and what is asked now is to undo what he did.
                await AbandonAsync(orphan).ConfigureAwait(false);
                return await BeginAsync(disk, move, isCommit, limits, cancellationToken).ConfigureAwait(false);
            }

            RunChange change = new(StoredDisk.From(disk.Before), StoredDisk.From(disk.After), layers.Job.Id);
            await WriteRecordAsync(run, run.Record with { Changes = [.. ChangesOf(run).Where(other => other.Before.Vdev != disk.Before.Vdev), change] }, cancellationToken).ConfigureAwait(false);
            try
            {
                await StartAsync(layers, target, move, isCommit, limits, cancellationToken).ConfigureAwait(false);
            }
            catch (QmpCommandException)
            {
                await StoreAsync(run, [disk.Before]).ConfigureAwait(false);
                throw;
            }

            return begun = new(run, client, layers);
        }
        finally
        {
            if (begun is null)
            {
                layers.Dispose();
            }
        }
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
        var backingFile = move is { Above: not null, Below: { } below } ? BlockNodes.BackingName(below) : null;
        return isCommit
            ? layers.StartCommitAsync(target.Chain[0].Name, target.Chain[move.First].Name, beneath!, backingFile, limits?.BytesPerSecond, cancellationToken)
            : layers.StartStreamAsync(beneath, backingFile, limits?.BytesPerSecond, cancellationToken);
    }

    /// <summary>Made of what the job does, so that another service finds the same job by asking for the same.</summary>
    private static string JobIdOf(DiskId origin, LayerMove move, bool isCommit) => isCommit
        ? QmpJobId.Create("commit", $"{BlockNodes.Key(origin)}-{BlockNodes.LocationHash(move.Top)}-{BlockNodes.LocationHash(move.Below!)}")
        : QmpJobId.Create("stream", $"{BlockNodes.Key(origin)}-{BlockNodes.LocationHash(move.Above!)}-{(move.Below is { } below ? BlockNodes.LocationHash(below) : "none")}");

    /// <summary>Waits until the job is over, or waits for its guest to change over.</summary>
    /// <returns>How it stands; <see langword="null"/> when it was given up.</returns>
    private async Task<QmpJobInfo?> FollowAsync(string verb, DiskJob begun, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
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
        catch (QmpException exception)
        {
            throw Translate(verb, exception);
        }
    }

    private async Task EndAsync(DiskJob begun, DiskReplacement disk, string verb, QmpJobInfo? state, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var (run, client, layers) = begun;
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

        _ = await CloseNodesAsync(client, real.First(known => known.Disk.Vdev == disk.Before.Vdev).Strays, CancellationToken.None).ConfigureAwait(false);
        if (state is { TotalProgress: > 0 })
        {
            progress?.Report(new(state.TotalProgress, state.TotalProgress));
        }
    }

    /// <summary>Lets the guest change over to the layer that took its own in. It stands still meanwhile: from then on until the
    /// definition is written, both layers hold the same, so either is right should QEMU or the host die.</summary>
    /// <returns>Why it did not complete, though the guest may have changed over all the same.</returns>
    private async Task<Exception?> PivotAsync(QemuRun run, IQmpClient client, QmpJob job, DiskReplacement disk, string verb)
    {
        await job.SetSpeedAsync(0, CancellationToken.None).ConfigureAwait(false);
        var isHeld = run.State == VmState.Running;
        if (isHeld)
        {
            await HoldAsync(run, client).ConfigureAwait(false);
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
            if (isHeld && isSettled)
            {
                await ReleaseAsync(run, client).ConfigureAwait(false);
            }
            else if (isHeld)
            {
                _ = SettleInBackgroundAsync(run);
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

    private async Task HoldAsync(QemuRun run, IQmpClient client)
    {
        // Written first: whoever finds the guest standing still must know that it has to go on.
        await WriteRecordAsync(run, run.Record with { IsHeld = true }, CancellationToken.None).ConfigureAwait(false);
        lock (_gate)
        {
            run.IsHeld = true;
        }

        try
        {
            await client.ExecuteAsync(QmpCommands.Stop, CancellationToken.None).ConfigureAwait(false);
        }
        catch
        {
            await ReleaseAsync(run, client).ConfigureAwait(false);
            throw;
        }
    }

    private async Task ReleaseAsync(QemuRun run, IQmpClient client)
    {
        try
        {
            await client.ExecuteAsync(QmpCommands.Cont, CancellationToken.None).ConfigureAwait(false);
            await WriteRecordAsync(run, run.Record with { IsHeld = false }, CancellationToken.None).ConfigureAwait(false);
        }
        catch
        {
            _ = SettleInBackgroundAsync(run);
            throw;
        }
    }

    private bool IsHeld(QemuRun run)
    {
        lock (_gate)
        {
            return run.IsHeld;
        }
    }

    /// <summary>Whether the guest goes on after it was held, which is nobody's resume.</summary>
    private bool Release(QemuRun run)
    {
        lock (_gate)
        {
            var wasHeld = run.IsHeld;
            run.IsHeld = false;
            return wasHeld;
        }
    }

    /// <summary>Looks after the changes that a service which is gone had under way, when the run is taken up.</summary>
    private async Task SettleAsync(QemuRun run, CancellationToken cancellationToken)
    {
        if ((run.Record.IsHeld || ChangesOf(run).Count > 0)
            && !(run.Client is { } client && await TrySettleAsync(run, client, cancellationToken).ConfigureAwait(false)) && run.Record.IsHeld)
        {
            _ = SettleInBackgroundAsync(run);
        }
    }

    /// <summary>Keeps a guest standing still for as long as nobody can say which image it has: the definition may name the other one,
    /// and what the guest wrote then would be lost with its QEMU.</summary>
    private async Task SettleInBackgroundAsync(QemuRun run)
    {
        try
        {
            while (!await RunVerbAsync(
                CommitVerb,
                async token => !ReferenceEquals(Run, run) || !run.Record.IsHeld || (run.Client is { } client && await TrySettleAsync(run, client, token).ConfigureAwait(false)),
                detached).ConfigureAwait(false))
            {
                await Task.Delay(s_settleInterval, environment.Time, detached).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The record says that the guest is held: whoever takes it up next goes on.
        }
        catch (Exception exception)
        {
            Log.WatchFailed(environment.Logger, id, exception);
        }
    }

    /// <returns>Whether it is written down which images the disks have, and a guest that was held goes on.</returns>
    private async Task<bool> TrySettleAsync(QemuRun run, IQmpClient client, CancellationToken cancellationToken)
    {
        try
        {
            QmpJobEngine jobs = new(client, new() { TimeProvider = environment.Time });
            foreach (var change in ChangesOf(run))
            {
                if (change.JobId is { } jobId && await jobs.FindAsync(jobId, cancellationToken).ConfigureAwait(false) is { } job)
                {
                    var state = await job.QueryAsync(cancellationToken).ConfigureAwait(false);
                    if (state is { IsReady: true } && run.Record.IsHeld)
                    {
                        // The guest was being changed over, and may be at any moment: it is, before it goes on.
                        if (await CompleteAsync(job, CommitVerb).ConfigureAwait(false) is { } failure)
                        {
                            Log.SettleFailed(environment.Logger, id, failure);
                        }
                    }
                    else if (state is { Status: QmpJobStatus.Waiting or QmpJobStatus.Pending or QmpJobStatus.Aborting } && run.Record.IsHeld)
                    {
                        // It ends in a moment, one way or the other.
                        return false;
                    }
                    else if (state is { IsConcluded: false })
                    {
                        continue;
                    }
                }

                await SettleAsync(run, client, new(change.Before.ToDisk(), change.After.ToDisk())).ConfigureAwait(false);
            }

            if (run.Record.IsHeld)
            {
                await LetGoAsync(run, client, cancellationToken).ConfigureAwait(false);
            }

            return true;
        }
        catch (Exception exception) when (exception is QmpException or PengxException or TimeoutException or IOException or UnauthorizedAccessException)
        {
            Log.SettleFailed(environment.Logger, id, exception);
            return false;
        }
    }

    /// <summary>Writes down which of its two selves a disk really is.</summary>
    private async Task SettleAsync(QemuRun run, IQmpClient client, DiskReplacement disk)
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
            await WriteRecordAsync(run, run.Record with { Changes = [.. ChangesOf(run).Where(change => change.Before.Vdev != disk.Before.Vdev)] }, CancellationToken.None).ConfigureAwait(false);
            throw new HypervisorException($"Domain {id}: disk {disk.Before.Vdev} has layers that nobody asked for: {string.Join(", ", layers.Select(layer => layer.Location))}.");
        }
    }

    /// <summary>Makes disks what the stored definition and the run's record have, and no change of them is under way.</summary>
    private async Task StoreAsync(QemuRun run, IReadOnlyList<DomainDisk> disks)
    {
        await StoreDefinitionAsync(disks).ConfigureAwait(false);
        var ids = disks.ToDictionary(disk => disk.Vdev, disk => disk.Id.Value, StringComparer.Ordinal);
        var record = run.Record with
        {
            Disks = [.. DisksOf(run).Select(known => ids.TryGetValue(known.Vdev, out var now) ? known with { Id = now } : known)],
            Changes = [.. ChangesOf(run).Where(change => !ids.ContainsKey(change.Before.Vdev))],
        };
        if (!record.Disks.SequenceEqual(DisksOf(run)) || record.Changes.Count != ChangesOf(run).Count)
        {
            await WriteRecordAsync(run, record, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private async Task StoreDefinitionAsync(IReadOnlyList<DomainDisk> disks)
    {
        if (_files.ReadDefinition() is not { } definition)
        {
            return;
        }

        var applied = ReplacementRules.Apply(definition, disks);
        if (!applied.Equals(definition))
        {
            await _files.WriteDefinitionAsync(applied, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>A disk as QEMU has it.</summary>
    /// <param name="Disk">The disk with its real layers.</param>
    /// <param name="Origin">What its device and nodes are called after.</param>
    /// <param name="Chain">The nodes of its layers.</param>
    /// <param name="Strays">Nodes of it that it does not use, which an interrupted change left.</param>
    private sealed record RealDisk(DomainDisk Disk, DiskId Origin, IReadOnlyList<QmpBlockGraphNode> Chain, IReadOnlyList<string> Strays);

    /// <summary>A job on a disk.</summary>
    /// <param name="Run">The domain's run.</param>
    /// <param name="Client">The run's monitor.</param>
    /// <param name="Layers">The job.</param>
    private sealed record DiskJob(QemuRun Run, IQmpClient Client, QmpLayerJob Layers) : IDisposable
    {
        public void Dispose() => Layers.Dispose();
    }

    private sealed class ByteRelay(IProgress<ByteProgress> target) : IProgress<QmpJobProgress>
    {
        public void Report(QmpJobProgress value) => target.Report(new(Math.Min(value.Offset, value.Length), value.Length));
    }
}
