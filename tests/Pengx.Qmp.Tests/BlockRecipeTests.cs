using System.Text.Json.Nodes;

namespace Pengx.Qmp.Tests;

/// <summary>Every recipe on a guest that goes on writing: all it has flushed must be in the image that its disk then stands for.</summary>
public sealed class BlockRecipeTests(RunningGuest guest) : IClassFixture<RunningGuest>, IAsyncLifetime
{
    private const string Disk = "disk1";
    private QmpJobEngine _jobs = null!;
    private QmpBlockOperations _operations = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await guest.EnsureStartedAsync();
        _jobs = new QmpJobEngine(guest.Client, new QmpJobOptions { PollInterval = TimeSpan.FromMilliseconds(100) });
        _operations = new QmpBlockOperations(_jobs);
    }

    public async ValueTask DisposeAsync()
    {
        // Whatever a test did, no job and no result of one may be left.
        Assert.Empty(await _jobs.ListAsync(Stop));
    }

    [Fact]
    public async Task Snapshots_of_all_disks_are_one_moment_and_merge_back_with_a_pivot()
    {
        QmpBlockGraphNode data = await RootAsync();
        string dataFile = FileOf(data);
        (string top, string topFile) = await SnapshotAsync();
        (string boot, string bootOverlay) = (guest.NewName("ovl"), await guest.NewImageAsync(guest.NewName("boot"), size: await BootSizeAsync()));
        (string top2, string top2File) = (guest.NewName("ovl"), await guest.NewImageAsync(guest.NewName("top"), backing: topFile));
        await _operations.SnapshotAsync(
            [new QmpSnapshotDisk(top, QmpBlockTarget.File(top2, top2File, "qcow2")), new QmpSnapshotDisk("d0", QmpBlockTarget.File(boot, bootOverlay, "qcow2"))], Stop);
        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.Equal(top2, graph.FindRoot(Disk)?.Name);
        Assert.Equal(boot, graph.FindRoot("disk0")?.Name);
        Assert.True(graph.HasEdges);
        Assert.Equal([top2, top, data.Name], graph.Chain(top2).Take(3).Select(node => node.Name));
        Assert.Contains(graph.Parents(data.Name), node => node.Name == top);
        await guest.AssertIntactAsync(top2File, "qcow2");

        // The middle one, while the guest uses the topmost.
        QmpBlockResult merged = await _operations.CommitAsync(top2, data.Name, topNode: top, cancellationToken: Stop);
        Assert.Empty(merged.NodesLeft);
        Assert.Equal([top2, data.Name], (await _operations.QueryGraphAsync(Stop)).Chain(top2).Take(2).Select(node => node.Name));

        // The topmost: the guest changes over to the base.
        List<QmpJobProgress> told = [];
        QmpBlockResult pivoted = await _operations.CommitAsync(top2, data.Name, options: new QmpBlockJobOptions { Progress = new Told(told) }, cancellationToken: Stop);
        Assert.Empty(pivoted.NodesLeft);
        Assert.Equal(1, told[^1].Fraction);
        Assert.Empty((await _operations.CommitAsync(boot, "d0", cancellationToken: Stop)).NodesLeft);
        graph = await _operations.QueryGraphAsync(Stop);
        Assert.Equal(data.Name, graph.FindRoot(Disk)?.Name);
        Assert.Null(graph.Find(top2));
        Assert.Null(graph.Find(top));
        await guest.AssertIntactAsync(dataFile, "qcow2");
    }

    [Fact]
    public async Task A_snapshot_that_one_disk_refuses_changes_none()
    {
        QmpBlockGraphNode data = await RootAsync();
        (string overlay, string file) = (guest.NewName("ovl"), await guest.NewImageAsync(guest.NewName("top")));

        QmpBlockOperationException failure = await Assert.ThrowsAsync<QmpBlockOperationException>(() => _operations.SnapshotAsync(
            [new QmpSnapshotDisk(data.Name, QmpBlockTarget.File(overlay, file, "qcow2")), new QmpSnapshotDisk("ghost", QmpBlockTarget.Existing("d0"))], Stop));

        Assert.Equal(QmpBlockOutcome.Unchanged, failure.Outcome);
        Assert.Contains("ghost", failure.Message, StringComparison.Ordinal);
        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.Equal(data.Name, graph.FindRoot(Disk)?.Name);
        Assert.Null(graph.Find(overlay));
    }

    [Fact]
    public async Task Streaming_makes_a_disk_stand_alone()
    {
        (string top, string file) = await SnapshotAsync();

        QmpBlockResult result = await _operations.StreamAsync(top, cancellationToken: Stop);

        Assert.Empty(result.NodesLeft);
        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.Equal([top], graph.Chain(top).Select(node => node.Name));
        Assert.Equal(top, graph.FindRoot(Disk)?.Name);
        await guest.AssertIntactAsync(file, "qcow2");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_mirror_moves_the_disk(bool writeBlocking)
    {
        QmpBlockGraphNode source = await RootAsync();
        (string target, string file) = (guest.NewName("new"), await guest.NewImageAsync(guest.NewName("moved")));
        List<QmpJobProgress> told = [];

        QmpMirror mirror = await _operations.StartMirrorAsync(
            [new QmpMirrorDisk(source.Name, QmpBlockTarget.File(target, file, "qcow2"))],
            new QmpMirrorSettings { WriteBlocking = writeBlocking },
            new QmpBlockJobOptions { Progress = new Told(told) },
            Stop);
        await mirror.WaitReadyAsync(Stop);
        Assert.Equal(1, told[^1].Fraction);
        QmpBlockResult result = await mirror.PivotAsync();

        Assert.Empty(result.NodesLeft);
        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.Equal(target, graph.FindRoot(Disk)?.Name);
        Assert.Null(graph.Find(source.Name));
        await guest.AssertIntactAsync(file, "qcow2");
    }

    [Fact]
    public async Task A_finished_mirror_is_a_copy_and_the_guest_stays()
    {
        QmpBlockGraphNode source = await RootAsync();
        (string target, string file) = (guest.NewName("copy"), await guest.NewImageAsync(guest.NewName("copy"), "raw"));
        QmpMirror mirror = await _operations.StartMirrorAsync([new QmpMirrorDisk(source.Name, QmpBlockTarget.File(target, file, "raw"))], cancellationToken: Stop);
        await mirror.WaitReadyAsync(Stop);
        long before = await guest.FlushedBeyondAsync(guest.Flushed());

        Assert.Empty((await mirror.FinishAsync()).NodesLeft);

        Assert.InRange(await guest.NewestInAsync(file, "raw"), before, guest.Flushed() + 1);
        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.Equal(source.Name, graph.FindRoot(Disk)?.Name);
        Assert.Null(graph.Find(target));
        await guest.AssertIntactAsync(FileOf(source), "qcow2");
    }

    [Fact]
    public async Task A_mirror_whose_target_breaks_leaves_the_guest_where_it_was()
    {
        QmpBlockGraphNode source = await RootAsync();
        string target = guest.NewName("bad");
        QmpBlockTarget breaking = QmpBlockTarget.Defined(new JsonObject
        {
            ["driver"] = "blkdebug",
            ["node-name"] = target,
            ["image"] = new JsonObject { ["driver"] = "null-co", ["size"] = RunningGuest.DiskSize },
            ["inject-error"] = new JsonArray(new JsonObject { ["event"] = "none", ["errno"] = 28, ["iotype"] = "write" }),
        });

        QmpMirror mirror = await _operations.StartMirrorAsync([new QmpMirrorDisk(source.Name, breaking)], cancellationToken: Stop);
        QmpBlockOperationException failure = await Assert.ThrowsAsync<QmpBlockOperationException>(() => mirror.WaitReadyAsync(Stop));

        // QEMU announces the end of such a job as COMPLETED; only its error tells the truth.
        Assert.Equal(QmpBlockOutcome.Unchanged, failure.Outcome);
        QmpJobException cause = Assert.IsType<QmpJobException>(failure.InnerException);
        Assert.Equal("No space left on device", cause.Error);
        Assert.False(cause.IsCancelled);
        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.Equal(source.Name, graph.FindRoot(Disk)?.Name);
        Assert.Null(graph.Find(target));
        await guest.AssertIntactAsync(FileOf(source), "qcow2");
    }

    [Fact]
    public async Task A_cancelled_call_puts_everything_back_and_a_left_job_is_adopted()
    {
        QmpBlockGraphNode source = await RootAsync();
        (string target, string file) = (guest.NewName("slow"), await guest.NewImageAsync(guest.NewName("slow")));
        QmpMirrorDisk disk = new(source.Name, QmpBlockTarget.File(target, file, "qcow2"));
        QmpBlockJobOptions slow = new() { BytesPerSecond = 1 << 20, LeaveRunningOnCancel = true, AdoptExisting = true };
        using CancellationTokenSource giveUp = CancellationTokenSource.CreateLinkedTokenSource(Stop);

        QmpMirror first = await _operations.StartMirrorAsync([disk], options: slow, cancellationToken: Stop);
        Task waiting = first.WaitReadyAsync(giveUp.Token);
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        QmpJobInfo running = Assert.Single(await _jobs.ListAsync(Stop));
        Assert.Equal((QmpJobId.Create("mirror", source.Name), "mirror"), (running.Id, running.Type));
        QmpBlockOperationException taken = await Assert.ThrowsAsync<QmpBlockOperationException>(
            () => _operations.StartMirrorAsync([new QmpMirrorDisk(source.Name, QmpBlockTarget.Existing(target))], cancellationToken: Stop));
        Assert.Contains("already", taken.Message, StringComparison.Ordinal);

        // As after a restart: the same call finds the job by its id, and now the caller's cancellation means the end.
        QmpMirror again = await _operations.StartMirrorAsync([disk], options: new QmpBlockJobOptions { AdoptExisting = true }, cancellationToken: Stop);
        await Assert.Single(again.Jobs).PauseAsync(Stop);
        Assert.Equal(QmpJobStatus.Paused, (await again.Jobs[0].WaitUntilAsync(job => job.Status == QmpJobStatus.Paused, cancellationToken: Stop)).Status);
        await again.Jobs[0].ResumeAsync(Stop);
        await again.Jobs[0].SetSpeedAsync(2 << 20, Stop);
        using CancellationTokenSource abandon = new();
        Task ready = again.WaitReadyAsync(abandon.Token);
        await abandon.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ready);

        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.Null(graph.Find(target));
        Assert.Equal(source.Name, graph.FindRoot(Disk)?.Name);
    }

    [Fact]
    public async Task A_job_whose_work_is_done_has_nothing_left_to_limit()
    {
        QmpBlockGraphNode data = await RootAsync();
        (string top, _) = await SnapshotAsync();
        QmpJob job = await _jobs.StartAsync("limited", "block-stream", new JsonObject { ["device"] = top, ["auto-finalize"] = false }, Stop);
        await job.WaitUntilAsync(state => state.Status == QmpJobStatus.Pending, cancellationToken: Stop);
        await job.SetSpeedAsync(1 << 20, Stop);
        Assert.Equal(QmpJobStatus.Pending, (await job.QueryAsync(Stop))?.Status);

        // Given up, it leaves the disk its layers.
        await job.AbandonAsync(Stop);
        await job.SetSpeedAsync(1 << 20, Stop);
        Assert.Equal([top, data.Name], (await _operations.QueryGraphAsync(Stop)).Chain(top).Take(2).Select(node => node.Name));
        Assert.Empty((await _operations.CommitAsync(top, data.Name, cancellationToken: Stop)).NodesLeft);
        await guest.AssertIntactAsync(FileOf(data), "qcow2");
    }

    [Fact]
    public async Task A_commit_goes_on_without_its_caller_and_changes_over_when_another_tells_it_to()
    {
        QmpBlockGraphNode data = await RootAsync();
        (string top, _) = await SnapshotAsync();
        using (QmpLayerJob first = new(_jobs, "commit-by-steps"))
        {
            Assert.False(await first.TakeUpAsync(Stop));
            await Assert.ThrowsAsync<InvalidOperationException>(() => first.StartStreamAsync(null, cancellationToken: Stop));
            await first.StartCommitAsync(top, top, data.Name, bytesPerSecond: 1 << 20, cancellationToken: Stop);
        }

        using QmpLayerJob second = new(_jobs, "commit-by-steps");
        Assert.True(await second.TakeUpAsync(Stop));
        await second.Job.SetSpeedAsync(0, Stop);
        Assert.True((await second.FollowAsync(cancellationToken: Stop)).IsReady);
        Assert.Equal(top, (await RootAsync()).Name);
        await second.Job.CompleteWithinAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(data.Name, (await RootAsync()).Name);
        Assert.False(await second.TakeUpAsync(Stop));
        await RemoveAsync(top);
        await guest.AssertIntactAsync(FileOf(data), "qcow2");
    }

    [Fact]
    public async Task The_result_of_a_job_that_nobody_heard_of_is_dismissed_when_it_is_asked_for_again()
    {
        QmpBlockGraphNode data = await RootAsync();
        (string middle, _) = await SnapshotAsync();
        (string top, _) = await SnapshotAsync();
        using QmpLayerJob job = new(_jobs, "commit-unheard");
        await job.StartCommitAsync(top, middle, data.Name, cancellationToken: Stop);
        await job.Job.WaitUntilAsync(state => state.IsConcluded, cancellationToken: Stop);
        Assert.Single(await _jobs.ListAsync(Stop));
        Assert.False(await job.TakeUpAsync(Stop));
        Assert.Empty(await _jobs.ListAsync(Stop));
        await RemoveAsync(middle);
        Assert.Equal([top, data.Name], (await _operations.QueryGraphAsync(Stop)).Chain(top).Take(2).Select(node => node.Name));
        Assert.Empty((await _operations.CommitAsync(top, data.Name, cancellationToken: Stop)).NodesLeft);
    }

    [Fact]
    public async Task A_stream_waits_to_be_ended_and_tells_of_its_end_when_it_is_gone()
    {
        (string top, string file) = await SnapshotAsync();
        using QmpLayerJob job = new(_jobs, "stream-by-steps", await RootAsync());
        await job.StartStreamAsync(null, cancellationToken: Stop);
        QmpJobInfo state = await job.FollowAsync(cancellationToken: Stop);
        Assert.Equal(QmpJobStatus.Pending, state.Status);
        Assert.NotEqual([top], (await _operations.QueryGraphAsync(Stop)).Chain(top).Select(node => node.Name));
        await job.EndAsync(state, Stop);
        Assert.Equal([top], (await _operations.QueryGraphAsync(Stop)).Chain(top).Select(node => node.Name));
        QmpJobInfo end = await job.FollowAsync(cancellationToken: Stop);
        Assert.Equal((QmpJobStatus.Null, null), (end.Status, end.Error));
        Assert.Equal(state.TotalProgress, end.TotalProgress);
        await guest.AssertIntactAsync(file, "qcow2");
    }

    [Fact]
    public async Task Backups_are_of_one_moment_and_the_next_holds_the_changes_alone()
    {
        QmpBlockGraphNode root = await RootAsync();
        string bitmap = guest.NewName("since");
        string full = await guest.NewImageAsync(guest.NewName("full"));
        string bootCopy = await guest.NewImageAsync(guest.NewName("boot"), "raw", size: await BootSizeAsync());
        long before = guest.Flushed();
        QmpBlockResult result = await _operations.BackupFullAsync(
            [
                new QmpBackupDisk(root.Name, QmpBlockTarget.File(guest.NewName("bak"), full, "qcow2"), bitmap),
                new QmpBackupDisk("d0", QmpBlockTarget.File(guest.NewName("bak"), bootCopy, "raw")),
            ],
            cancellationToken: Stop);
        Assert.Empty(result.NodesLeft);
        long newestFull = await guest.NewestInAsync(full, "qcow2");
        Assert.InRange(newestFull, before, guest.Flushed() + 1);

        before = await guest.FlushedBeyondAsync(newestFull + 5);
        string failing = guest.NewName("bad");
        QmpBlockOperationException failure = await Assert.ThrowsAsync<QmpBlockOperationException>(() => _operations.BackupIncrementalAsync(
            [new QmpBackupDisk(root.Name, QmpBlockTarget.Defined(new JsonObject { ["driver"] = "blkdebug", ["node-name"] = failing, ["image"] = new JsonObject { ["driver"] = "null-co", ["size"] = RunningGuest.DiskSize }, ["inject-error"] = new JsonArray(new JsonObject { ["event"] = "none", ["iotype"] = "write" }) }), bitmap)],
            cancellationToken: Stop));
        Assert.Equal(QmpBlockOutcome.Unchanged, failure.Outcome);
        Assert.True(Bitmap(await _operations.QueryGraphAsync(Stop), bitmap)?.Count > 0);

        // What the failed one did not get is in the next.
        string incremental = await guest.NewImageAsync(guest.NewName("inc"), backing: full);
        await _operations.BackupIncrementalAsync([new QmpBackupDisk(root.Name, QmpBlockTarget.File(guest.NewName("bak"), incremental, "qcow2"), bitmap)], cancellationToken: Stop);
        Assert.InRange(await guest.NewestInAsync(incremental, "qcow2"), before, guest.Flushed() + 1);
        Assert.True(new FileInfo(incremental).Length < 8 << 20, "An incremental backup holds the changed blocks alone.");

        QmpBlockOperationException taken = await Assert.ThrowsAsync<QmpBlockOperationException>(() => _operations.BackupFullAsync(
            [new QmpBackupDisk(root.Name, QmpBlockTarget.File(guest.NewName("bak"), full, "qcow2"), bitmap)], cancellationToken: Stop));
        Assert.Equal(QmpBlockOutcome.Unchanged, taken.Outcome);
        Assert.NotNull(Bitmap(await _operations.QueryGraphAsync(Stop), bitmap));
        await _operations.RemoveBitmapAsync(root.Name, bitmap, Stop);
    }

    [Fact]
    public async Task A_failed_full_backup_takes_its_bitmaps_along()
    {
        QmpBlockGraphNode root = await RootAsync();
        string good = await guest.NewImageAsync(guest.NewName("full"));
        string bitmap = guest.NewName("since");
        long bootSize = await BootSizeAsync();

        QmpBlockOperationException failure = await Assert.ThrowsAsync<QmpBlockOperationException>(() => _operations.BackupFullAsync(
            [
                new QmpBackupDisk(root.Name, QmpBlockTarget.File(guest.NewName("bak"), good, "qcow2"), bitmap),
                new QmpBackupDisk("d0", QmpBlockTarget.Defined(new JsonObject { ["driver"] = "blkdebug", ["node-name"] = guest.NewName("bad"), ["image"] = new JsonObject { ["driver"] = "null-co", ["size"] = bootSize }, ["inject-error"] = new JsonArray(new JsonObject { ["event"] = "none", ["iotype"] = "write" }) }), guest.NewName("since")),
            ],
            new QmpBlockJobOptions { BytesPerSecond = 8 << 20 },
            Stop));

        Assert.Equal(QmpBlockOutcome.Unchanged, failure.Outcome);
        QmpBlockGraph graph = await _operations.QueryGraphAsync(Stop);
        Assert.All(graph.Nodes, node => Assert.Empty(node.Info.DirtyBitmaps ?? []));
        Assert.DoesNotContain(graph.Nodes, node => node.Name.StartsWith("bak", StringComparison.Ordinal) || node.Name.StartsWith("bad", StringComparison.Ordinal));
        await guest.AssertIntactAsync(FileOf(root), "qcow2");
    }

    [Fact]
    public async Task Limits_and_size_change_while_the_guest_runs()
    {
        await _operations.ThrottleAsync(Disk, new QmpThrottle { BytesPerSecond = 4 << 20, OperationsPerSecond = 500 }, Stop);
        Assert.Equal((4 << 20, 500), await LimitsAsync());
        await Assert.ThrowsAsync<QmpCommandException>(() => _operations.ThrottleAsync(Disk, new QmpThrottle { BytesPerSecond = 1, ReadBytesPerSecond = 1 }, Stop));
        await _operations.ThrottleAsync(Disk, new QmpThrottle(), Stop);
        Assert.Equal((0, 0), await LimitsAsync());

        long size = (await _operations.QueryGraphAsync(Stop)).FindRoot("disk0")!.Info.Image.VirtualSize;
        await _operations.ResizeAsync("d0", size + (1 << 20), Stop);
        Assert.Equal(size + (1 << 20), (await _operations.QueryGraphAsync(Stop)).FindRoot("disk0")!.Info.Image.VirtualSize);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => _operations.ResizeAsync("d0", size, Stop));
        await Assert.ThrowsAsync<ArgumentException>(() => _operations.ResizeAsync("ghost", size, Stop));
        await guest.FlushedBeyondAsync(guest.Flushed());
    }

    private static QmpDirtyBitmap? Bitmap(QmpBlockGraph graph, string name) =>
        graph.Nodes.SelectMany(node => node.Info.DirtyBitmaps ?? []).FirstOrDefault(bitmap => bitmap.Name == name);

    private static string FileOf(QmpBlockGraphNode node) => node.Info.File;

    private async Task<long> BootSizeAsync() => (await _operations.QueryGraphAsync(Stop)).FindRoot("disk0")!.Info.Image.VirtualSize;

    private async Task<(long Bytes, long Operations)> LimitsAsync()
    {
        QmpBlockNode limited = (await _operations.QueryGraphAsync(Stop)).FindDevice(Disk)!.Inserted!;
        return (limited.BytesPerSecond, limited.OperationsPerSecond);
    }

    private async Task RemoveAsync(string node) => await guest.Client.ExecuteAsync(QmpCommands.BlockdevDel, new QmpNodeName { NodeName = node }, Stop);

    private async Task<QmpBlockGraphNode> RootAsync() => (await _operations.QueryGraphAsync(Stop)).FindRoot(Disk)!;

    private async Task<(string Node, string File)> SnapshotAsync()
    {
        QmpBlockGraphNode root = await RootAsync();
        (string overlay, string file) = (guest.NewName("ovl"), await guest.NewImageAsync(guest.NewName("top"), backing: FileOf(root)));
        await _operations.SnapshotAsync([new QmpSnapshotDisk(root.Name, QmpBlockTarget.File(overlay, file, "qcow2"))], Stop);
        return (overlay, file);
    }

    private sealed class Told(List<QmpJobProgress> told) : IProgress<QmpJobProgress>
    {
        public void Report(QmpJobProgress value)
        {
            lock (told)
            {
                told.Add(value);
            }
        }
    }
}
