using System.Text.Json.Nodes;
using Pengx.Qmp;

namespace Pengx.Qemu;

// What a guest wrote since a backup, as dirty bitmaps. Those of qcow2 images are kept in them across runs of the guest, and QEMU marks
// one as inconsistent when it was not closed properly; those of other images end with the process.
internal sealed partial class QemuDomain
{
    private const string TrackVerb = "noting changed blocks";
    private const string ForgetVerb = "forgetting changed blocks";
    private const string CopyChangesVerb = "copying changed blocks";

    private const string BitmapPrefix = "pengx-";
    private const string CopyJob = "changes";
    private const long Granularity = 64 * 1024;

    public async Task<IReadOnlyList<ChangedBlocks>> ReadChangesAsync(CancellationToken cancellationToken)
    {
        var run = RequireRun();
        try
        {
            var real = await ReadRealAsync(run, RequireClient(run), cancellationToken).ConfigureAwait(false);
            return [.. real.SelectMany(disk => BitmapsOf(disk).Select(bitmap => bitmap.Changes))];
        }
        catch (QmpException exception)
        {
            throw Translate("reading changed blocks", exception);
        }
    }

    public Task TrackChangesAsync(BackupId since, CancellationToken cancellationToken) => RunVerbAsync(TrackVerb, token => TrackCoreAsync(since, token), cancellationToken);

    public Task ForgetChangesAsync(IReadOnlyCollection<BackupId> backups, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(backups);
        return RunVerbAsync(ForgetVerb, token => ForgetCoreAsync(backups, token), cancellationToken);
    }

    public async Task<long> CopyChangesAsync(
        BackupId since, DomainDisk disk, DiskLayer target, LiveDiskLimits? limits, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(disk);
        ArgumentNullException.ThrowIfNull(target);
        ReplacementRules.Check(limits);
        var begun = await RunVerbAsync(CopyChangesVerb, token => BeginCopyAsync(since, disk, target, limits, token), cancellationToken).ConfigureAwait(false);
        return await FollowCopyAsync(begun, progress, cancellationToken).ConfigureAwait(false);
    }

    public Task AbandonCopiesAsync(CancellationToken cancellationToken) => RunVerbAsync(
        CopyChangesVerb,
        async token =>
        {
            var client = RequireClient(RequireRun());
            await AbandonCopiesAsync(client, _ => true, token).ConfigureAwait(false);
            await CloseTargetsAsync(client, _ => true, token).ConfigureAwait(false);
        },
        cancellationToken);

    private static string BitmapName(BackupId backup) => $"{BitmapPrefix}{backup}";

    private static IEnumerable<(string Node, string Name, ChangedBlocks Changes)> BitmapsOf(RealDisk disk)
    {
        foreach (var (index, node) in disk.Chain.Index())
        {
            foreach (var bitmap in node.Info.DirtyBitmaps ?? [])
            {
                if (bitmap.Name is { } name && name.StartsWith(BitmapPrefix, StringComparison.Ordinal) && BackupId.TryParse(name[BitmapPrefix.Length..], out var since))
                {
                    ChangedBlocks changes = new()
                    {
                        Since = since,
                        Vdev = disk.Disk.Vdev,
                        Layer = disk.Disk.Layers[index],
                        Size = new(node.Info.Image.VirtualSize),
                        Bytes = bitmap.Count,
                        Fault = FaultOf(bitmap),
                    };
                    yield return (node.Name, name, changes);
                }
            }
        }
    }

    private static string? FaultOf(QmpDirtyBitmap bitmap) => bitmap switch
    {
        { Inconsistent: true } => "it was not stored when QEMU or the host ended, and is inconsistent",
        { Recording: false } => "it does not record",
        { Granularity: not Granularity } => "it has another granularity",
        _ => null,
    };

    private async Task TrackCoreAsync(BackupId since, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        QmpTransaction transaction = new();
        var isAny = false;
        foreach (var disk in await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false))
        {
            var top = disk.Chain[0];
            if (BitmapsOf(disk).FirstOrDefault(bitmap => bitmap.Node == top.Name && bitmap.Changes.Since == since) is { Name: { } name } known)
            {
                if (known.Changes.Fault is null)
                {
                    continue;
                }

                await RemoveBitmapAsync(client, top.Name, name, cancellationToken).ConfigureAwait(false);
            }

            isAny = true;
            transaction.Add("block-dirty-bitmap-add", new()
            {
                ["node"] = top.Name,
                ["name"] = BitmapName(since),
                ["granularity"] = Granularity,
                ["persistent"] = disk.Disk is { ReadOnly: false, Layers: [{ Format: DiskFormat.Qcow2 }, ..] },
            });
        }

        if (isAny)
        {
            await transaction.ExecuteAsync(client, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task ForgetCoreAsync(IReadOnlyCollection<BackupId> backups, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        foreach (var disk in await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false))
        {
            foreach (var (node, name, changes) in BitmapsOf(disk).Where(bitmap => backups.Contains(bitmap.Changes.Since)))
            {
                try
                {
                    await RemoveBitmapAsync(client, node, name, cancellationToken).ConfigureAwait(false);
                }
                catch (QmpCommandException exception)
                {
                    Log.BitmapKept(environment.Logger, id, changes.Vdev, changes.Since, exception.Description);
                }
            }
        }
    }

    private static Task RemoveBitmapAsync(IQmpClient client, string node, string name, CancellationToken cancellationToken) =>
        new QmpBlockOperations(new QmpJobEngine(client)).RemoveBitmapAsync(node, name, cancellationToken);

    private async Task<ChangesCopy> BeginCopyAsync(BackupId since, DomainDisk disk, DiskLayer target, LiveDiskLimits? limits, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        var real = (await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false)).FirstOrDefault(known => known.Disk.Vdev == disk.Vdev)
            ?? throw new WrongStateException($"Domain {id} has no disk {disk.Vdev}.");
        var place = real.Disk.Layers.ToList().IndexOf(disk.Layers[0]);
        if (place < 1)
        {
            throw new WrongStateException($"Domain {id}: {disk.Layers[0].Location} {(place == 0 ? "is written to" : "is no layer of its disk")}; only a layer beneath an overlay can be copied.");
        }

        var source = real.Chain[place].Name;
        var bitmap = BitmapsOf(real).FirstOrDefault(bitmap => bitmap.Node == source && bitmap.Changes.Since == since);
        if (bitmap.Changes?.Fault is { } fault)
        {
            throw new HypervisorException($"Domain {id}: the bitmap of {disk.Vdev} since backup {since} is worthless: {fault}.");
        }

        if (bitmap.Name is not { } name)
        {
            throw new HypervisorException($"Domain {id}: {disk.Vdev} has no bitmap since backup {since}.");
        }

        // What an interrupted try left.
        var jobId = QmpJobId.Create(CopyJob, TargetKey(target));
        await AbandonCopiesAsync(client, job => job == jobId, cancellationToken).ConfigureAwait(false);
        await CloseTargetsAsync(client, node => node.EndsWith(TargetKey(target), StringComparison.Ordinal), cancellationToken).ConfigureAwait(false);
        environment.HandOver(disk with { Layers = [target] });
        try
        {
            // Whole clusters are copied, so nothing is ever taken from what the target is backed by.
            foreach (var node in BlockNodes.DescribeTarget(target, TargetKey(target)))
            {
                await client.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(node), cancellationToken).ConfigureAwait(false);
            }

            JsonObject arguments = new()
            {
                ["device"] = source,
                ["target"] = BlockNodes.TargetNode(TargetKey(target)),
                ["sync"] = "bitmap",
                ["bitmap"] = name,
                ["bitmap-mode"] = "never",
                ["on-source-error"] = "report",
                ["on-target-error"] = "report",
            };
            if (limits?.BytesPerSecond is { } speed)
            {
                arguments["speed"] = speed;
            }

            QmpJobEngine jobs = new(client, new() { TimeProvider = environment.Time });
            return new(client, await jobs.StartAsync(jobId, "blockdev-backup", arguments, cancellationToken).ConfigureAwait(false), TargetKey(target), bitmap.Changes!.Bytes);
        }
        catch (Exception exception) when (exception is not QmpDisconnectedException)
        {
            await UndoAsync(token => CloseTargetsAsync(client, node => node.EndsWith(TargetKey(target), StringComparison.Ordinal), token)).ConfigureAwait(false);
            throw;
        }
    }

    private async Task<long> FollowCopyAsync(ChangesCopy begun, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, detached);
        try
        {
            await begun.Job.WaitAsync(progress is null ? null : new ByteRelay(progress), either.Token).ConfigureAwait(false);
            await CloseTargetsAsync(begun.Client, node => node.EndsWith(begun.Key, StringComparison.Ordinal), CancellationToken.None).ConfigureAwait(false);
            return begun.Bytes;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new UnavailableException($"Domain {id}: the driver was closed during {CopyChangesVerb}.");
        }
        catch (Exception exception) when (exception is not QmpDisconnectedException)
        {
            await UndoAsync(async token =>
            {
                await begun.Job.AbandonAsync(token).ConfigureAwait(false);
                await CloseTargetsAsync(begun.Client, node => node.EndsWith(begun.Key, StringComparison.Ordinal), token).ConfigureAwait(false);
            }).ConfigureAwait(false);
            throw exception switch
            {
                QmpJobException failed => new HypervisorException($"Domain {id}: {CopyChangesVerb} failed: {failed.Error ?? failed.Message}", failed),
                QmpException other => Translate(CopyChangesVerb, other),
                _ => exception,
            };
        }
        catch (QmpDisconnectedException exception)
        {
            throw Translate(CopyChangesVerb, exception);
        }
    }

    private async Task AbandonCopiesAsync(IQmpClient client, Func<string, bool> isMeant, CancellationToken cancellationToken)
    {
        QmpJobEngine jobs = new(client, new() { TimeProvider = environment.Time });
        foreach (var known in await jobs.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            if (known.Id.StartsWith(CopyJob + "-", StringComparison.Ordinal) && isMeant(known.Id)
                && await jobs.FindAsync(known.Id, cancellationToken).ConfigureAwait(false) is { } job)
            {
                try
                {
                    await job.AbandonAsync(cancellationToken).ConfigureAwait(false);
                }
                catch (TimeoutException exception)
                {
                    throw new UnavailableException($"Domain {id}: {exception.Message}", exception);
                }
            }
        }
    }

    private async Task CloseTargetsAsync(IQmpClient client, Func<string, bool> isMeant, CancellationToken cancellationToken)
    {
        var nodes = await client.ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new() { Flat = true }, cancellationToken).ConfigureAwait(false);
        if (await CloseNodesAsync(client, [.. nodes.Select(node => node.NodeName).OfType<string>().Where(node => BlockNodes.IsTarget(node) && isMeant(node))], cancellationToken)
            .ConfigureAwait(false) is { } refusal)
        {
            throw new HypervisorException($"Domain {id}: QEMU keeps the target of a copy open: {refusal}");
        }
    }

    private static string TargetKey(DiskLayer target) => BlockNodes.LocationHash(target);

    private sealed record ChangesCopy(IQmpClient Client, QmpJob Job, string Key, long Bytes);
}
