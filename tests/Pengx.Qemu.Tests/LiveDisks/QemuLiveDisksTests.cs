using System.Diagnostics;
using System.Globalization;
using Pengx.Qmp;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>What goes wrong beneath the disks of a running guest, and who comes back afterwards: the guest's counter is the judge.</summary>
public sealed class QemuLiveDisksTests : IAsyncLifetime
{
    private const long Size = 64 * 1024 * 1024;
    private const long PatternAt = 16 * 1024 * 1024;
    private const long PatternLength = 16 * 1024 * 1024;
    private const byte Pattern = 0xA5;

    private readonly QemuTestHost _host = new();
    private readonly ImageFiles _images;
    private readonly List<string> _mounts = [];

    public QemuLiveDisksTests() => _images = new(_host);

    // After the first sign of a change: before it, amid it, right behind it, and when it must long have been over.
    private static readonly TimeSpan[] s_moments = [TimeSpan.Zero, TimeSpan.FromMilliseconds(15), TimeSpan.FromMilliseconds(900)];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static LiveDiskLimits Slow => new() { BytesPerSecond = 1024 * 1024 };

    public ValueTask InitializeAsync()
    {
        QemuTestHost.RequireQemu();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var entry in ProcessTable.Find(id => DomainFiles.PidFileOf(_host.Options.RunDirectory!, id)))
        {
            await KillAsync(entry.Domain);
        }

        foreach (var mount in _mounts)
        {
            await new ProcessRunner().RunAsync(new() { FileName = Requires.Find("umount")!, Arguments = [mount] }, CancellationToken.None);
        }

        await _host.DisposeAsync();
    }

    [Fact]
    public async Task A_merge_that_is_given_up_leaves_the_layers_and_the_guest_whole()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var (live, definition, disk) = await StartOnOverlayAsync(driver);
        var id = definition.Id;
        await using var counter = await CounterAsync(driver, id);
        var another = await OverlayAsync(disk.After);
        using (var cancelled = CancellationTokenSource.CreateLinkedTokenSource(Token))
        {
            // A disk whose layers are on the move gets no other.
            var moved = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var merge = live.CommitAsync(id, new(disk.After, disk.Before), Slow, new FirstReport(() => moved.TrySetResult()), cancelled.Token);
            await moved.Task.WaitAsync(QemuTestHost.Patience, Token);
            await Assert.ThrowsAsync<WrongStateException>(() => live.OverlayAsync(id, [another], cancellationToken: Token));
            Assert.False(merge.IsCompleted);
            await cancelled.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => merge);
        }

        foreach (var isCommit in new[] { true, false })
        {
            using var cancelled = CancellationTokenSource.CreateLinkedTokenSource(Token);
            var moved = new FirstReport(cancelled.Cancel);
            var alone = new DiskReplacement(disk.After, disk.After with { Layers = [disk.After.Layers[0]] });
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => isCommit
                ? live.CommitAsync(id, new(disk.After, disk.Before), Slow, moved, cancelled.Token)
                : live.StreamAsync(id, alone, Slow, moved, cancelled.Token));
            Assert.Equal(disk.After, (await live.ReadAsync(id, Token))[1]);
            Assert.Equal(disk.After, (await driver.Domains.FindDefinitionAsync(id, Token))?.Disks[1]);
            Assert.Equal(disk.After.Layers, await _images.ReadChainAsync(disk.After.Layers[0], Token));
            await counter.FlushAnotherAsync();
        }

        // Nothing of it is left in the way of the next; and the domain's other verbs need not wait for that. A pause wakes a job that
        // is held back by its speed, so that this one may end at once.
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var next = live.CommitAsync(id, new(disk.After, disk.Before), Slow, new FirstReport(() => begun.TrySetResult()), Token);
        await begun.Task.WaitAsync(QemuTestHost.Patience, Token);
        await driver.Domains.PauseAsync(id, Token);
        Assert.Equal(VmState.Paused, (await driver.Domains.FindAsync(id, Token))?.State);
        await driver.Domains.ResumeAsync(id, Token);
        await next;
        var last = await counter.FlushAnotherAsync();
        await driver.Domains.DestroyAsync(id, Token);
        Assert.True(await _images.ReadNewestAsync(disk.Before.Layers[0], Token) >= last);
        Assert.True(await _images.ShowsAsync(disk.Before.Layers[0], Pattern, PatternAt, PatternLength, Token));
    }

    [Fact]
    public async Task A_merge_onto_a_full_file_system_fails_with_the_reason_and_the_guest_goes_on()
    {
        var small = await MountAsync("4m");
        await using var driver = await _host.StartDriverAsync(Token);
        var bottom = DiskId.New();
        var path = Path.Combine(small, $"{bottom}.raw");
        await using (var file = File.Create(path))
        {
            file.SetLength(Size);
        }

        var (live, definition, disk) = await StartOnOverlayAsync(driver, QemuTestHost.DiskOf(bottom, path, "xvdb"));
        var id = definition.Id;
        await using var counter = await CounterAsync(driver, id);
        var failure = await Assert.ThrowsAsync<HypervisorException>(() => live.CommitAsync(id, new(disk.After, disk.Before), cancellationToken: Token));
        Assert.Contains("No space left on device", failure.Message, StringComparison.Ordinal);
        Assert.Equal(disk.After, (await live.ReadAsync(id, Token))[1]);
        Assert.Equal(disk.After, (await driver.Domains.FindDefinitionAsync(id, Token))?.Disks[1]);
        Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
        var last = await counter.FlushAnotherAsync();
        await driver.Domains.DestroyAsync(id, Token);
        Assert.True(await _images.ReadNewestAsync(disk.After.Layers[0], Token) >= last);
        Assert.True(await _images.ShowsAsync(disk.After.Layers[0], Pattern, PatternAt, PatternLength, Token));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_guest_that_is_killed_in_a_merge_starts_again_with_every_flushed_number(bool atTheChangeOver)
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var (live, definition, disk) = await StartOnOverlayAsync(driver);
        var id = definition.Id;
        for (var round = 0; round < s_moments.Length; round++)
        {
            var last = 0L;
            await using (var counter = await CounterAsync(driver, id))
            {
                await counter.FlushAnotherAsync();
                var moved = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                var merge = live.CommitAsync(id, new(disk.After, disk.Before), atTheChangeOver ? null : Slow, new FirstReport(() => moved.TrySetResult()), Token);
                if (atTheChangeOver)
                {
                    await EventuallyAsync(() => _host.FilesOf(id).ReadRun() is { IsHeld: true } || merge.IsCompleted);
                    await LaterAsync(s_moments[round]);
                }
                else
                {
                    await moved.Task.WaitAsync(QemuTestHost.Patience, Token);
                }

                (last, var left) = PictureOf(id);
                await KillAsync(id);
                Assert.True(await _images.ReadNewestAsync(left.Layers[0], Token) >= last, "a host that died then would have lost a number");
                if (atTheChangeOver)
                {
                    // It may have been over in that very moment.
                    await merge.ContinueWith(static _ => { }, TaskScheduler.Default);
                }
                else
                {
                    await Assert.ThrowsAsync<HypervisorException>(() => merge);
                }

                await driver.Domains.WaitUntilStoppedAsync(id, Token).WaitAsync(QemuTestHost.Patience, Token);
                last = Math.Max(last, CounterFollower.NewestOf(_host, id));
            }

            var stored = (await driver.Domains.FindDefinitionAsync(id, Token))!.Disks[1];
            Assert.True(stored.Layers.SequenceEqual(disk.After.Layers) || (atTheChangeOver && stored.Layers.SequenceEqual(disk.Before.Layers)));
            Assert.True(await _images.ReadNewestAsync(stored.Layers[0], Token) >= last);
            await driver.Domains.StartAsync(id, Token);
            await using (var counter = await CounterAsync(driver, id))
            {
                Assert.True(await counter.FlushAnotherAsync() > last);
                Assert.Equal(stored, (await live.ReadAsync(id, Token))[1]);
                if (stored.Layers.SequenceEqual(disk.Before.Layers))
                {
                    File.Delete(ImageFiles.PathOf(disk.After.Layers[0]));
                    disk = await OverlayAsync(disk.Before);
                    await live.OverlayAsync(id, [disk], cancellationToken: Token);
                }
            }
        }
    }

    [Fact]
    public async Task What_was_pulled_up_is_on_the_disk_before_what_lay_beneath_may_go()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = _host.CreateBootable(_host.CreateDisk("xvdb", Size));
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);

        // The guest only reads this one, so it never flushes it.
        var disk = await OverlayAsync(definition.Disks[0]);
        await live.OverlayAsync(definition.Id, [disk], cancellationToken: Token);
        await live.StreamAsync(definition.Id, new(disk.After, disk.After with { Layers = [disk.After.Layers[0]] }), cancellationToken: Token);
        await KillAsync(definition.Id);
        File.Delete(ImageFiles.PathOf(disk.Before.Layers[0]));
        Assert.Equal([disk.After.Layers[0]], await _images.ReadChainAsync(disk.After.Layers[0], Token));
        var flat = await _images.FlattenAsync(disk.After.Layers[0], Token);
        var (wanted, found) = (await File.ReadAllBytesAsync(GuestImage.Require(), Token), await File.ReadAllBytesAsync(flat, Token));
        Assert.True(wanted.AsSpan().SequenceEqual(found), "what was pulled up has gone with QEMU");
        File.Delete(flat);
    }

    [Fact]
    public async Task A_guest_that_is_killed_while_it_gets_an_overlay_starts_again_with_every_flushed_number()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = _host.CreateBootable(_host.CreateDisk("xvdb"));
        var id = definition.Id;
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(id, Token);
        var disk = definition.Disks[1];
        foreach (var moment in s_moments)
        {
            var last = 0L;
            var overlay = await OverlayAsync(disk);
            await using (var counter = await CounterAsync(driver, id))
            {
                await counter.FlushAnotherAsync();
                var laying = live.OverlayAsync(id, [overlay], cancellationToken: Token);
                await LaterAsync(moment);
                (last, var left) = PictureOf(id);
                await KillAsync(id);
                Assert.True(await _images.ReadNewestAsync(left.Layers[0], Token) >= last, "a host that died then would have lost a number");
                await laying.ContinueWith(static _ => { }, TaskScheduler.Default);
                await driver.Domains.WaitUntilStoppedAsync(id, Token).WaitAsync(QemuTestHost.Patience, Token);
                last = CounterFollower.NewestOf(_host, id);
            }

            disk = (await driver.Domains.FindDefinitionAsync(id, Token))!.Disks[1];
            Assert.True(disk.Equals(overlay.Before) || disk.Equals(overlay.After));
            Assert.True(await _images.ReadNewestAsync(disk.Layers[0], Token) >= last);
            await driver.Domains.StartAsync(id, Token);
            await using var next = await CounterAsync(driver, id);
            Assert.True(await next.FlushAnotherAsync() > last);
        }

        // Whatever image it is on by now, the guest knows the disk by the same serial number.
        await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
        await _host.TypeAsync(id, "echo serial-is $(cat /sys/block/vdb/serial)", Token);
        await console.ExpectAsync($"serial-is {Devices.Serial(id, "xvdb")}");
        Assert.NotEqual(definition.Disks[1].Id, disk.Id);
    }

    [Fact]
    public async Task An_overlay_that_a_stalled_disk_delays_is_in_the_definition_before_the_guest_writes_to_it()
    {
        var stalling = await MountImageAsync();
        _host.Options.CommandTimeout = TimeSpan.FromSeconds(2);
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var bottom = DiskId.New();
        var path = Path.Combine(stalling, $"{bottom}.raw");
        await using (var file = File.Create(path))
        {
            file.SetLength(2 * 1024 * 1024);
        }

        var definition = _host.CreateBootable(QemuTestHost.DiskOf(bottom, path, "xvdb"));
        var id = definition.Id;
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(id, Token);
        await using var counter = await CounterAsync(driver, id);
        var overlay = await OverlayAsync(definition.Disks[1]);
        await RunAsync("fsfreeze", "--freeze", stalling);
        try
        {
            // A write of the guest's is under way, which the instant of the overlay has to wait for.
            await Task.Delay(500, Token);
            var failure = await Assert.ThrowsAsync<UnavailableException>(() => live.OverlayAsync(id, [overlay], cancellationToken: Token));
            Assert.Contains("did not answer", failure.Message, StringComparison.Ordinal);
            Assert.Equal(overlay.After, (await driver.Domains.FindDefinitionAsync(id, Token))?.Disks[1]);
        }
        finally
        {
            await RunAsync("fsfreeze", "--unfreeze", stalling);
        }

        // QEMU does it now, long after it was given up, and dies before anybody looks.
        var last = await counter.FlushAnotherAsync();
        await KillAsync(id);
        await driver.Domains.WaitUntilStoppedAsync(id, Token).WaitAsync(QemuTestHost.Patience, Token);
        var left = (await driver.Domains.FindDefinitionAsync(id, Token))!.Disks[1];
        Assert.True(await _images.ReadNewestAsync(overlay.After.Layers[0], Token) > await _images.ReadNewestAsync(overlay.Before.Layers[0], Token), "the guest was never on the overlay");
        Assert.True(await _images.ReadNewestAsync(left.Layers[0], Token) >= last);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_guest_whose_change_over_was_given_up_stands_still_until_it_is_written_down_which_image_it_has(bool hasChangedOver)
    {
        DomainId id;
        DiskReplacement disk;
        await using (var first = await _host.StartDriverAsync(Token))
        {
            (_, var definition, disk) = await StartOnOverlayAsync(first);
            id = definition.Id;
        }

        await using StallingMonitor monitor = new(_host.FilesOf(id).MonitorSocket);
        _host.Options.CommandTimeout = TimeSpan.FromSeconds(2);
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        await using var counter = await CounterAsync(driver, id);
        monitor.StallAt("job-complete", isCarriedOut: hasChangedOver);
        await Assert.ThrowsAnyAsync<PengxException>(() => live.CommitAsync(id, new(disk.After, disk.Before), cancellationToken: Token));
        Assert.True(monitor.IsStalled);
        Assert.True(_host.FilesOf(id).ReadRun()!.IsHeld);

        // Its console tells what was flushed a moment before.
        await Task.Delay(500, Token);
        var (last, left) = PictureOf(id);
        await Task.Delay(1500, Token);
        Assert.Equal(last, CounterFollower.NewestOf(_host, id));
        Assert.True(await _images.ReadNewestAsync(left.Layers[0], Token) >= last, "a host that died then would have lost a number");

        monitor.GoOn();
        last = await counter.FlushAnotherAsync();
        await KillAsync(id);
        left = _host.FilesOf(id).ReadDefinition()!.Disks[1];
        Assert.Equal(disk.Before, left);
        Assert.True(await _images.ReadNewestAsync(left.Layers[0], Token) >= last);
    }

    [Fact]
    public async Task A_merge_outlives_its_service_and_whoever_asks_again_takes_it_up()
    {
        DomainId id;
        DiskReplacement disk;
        DiskReplacement merge;
        await using (var first = await _host.StartDriverAsync(Token))
        {
            (var live, var definition, disk) = await StartOnOverlayAsync(first);
            id = definition.Id;
            merge = new(disk.After, disk.Before);
            await using var counter = await CounterAsync(first, id);
            var moved = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var merging = live.CommitAsync(id, merge, Slow, new FirstReport(() => moved.TrySetResult()), Token);
            await moved.Task.WaitAsync(QemuTestHost.Patience, Token);
            await first.DisposeAsync();
            var left = await Assert.ThrowsAsync<HypervisorException>(() => merging);
            Assert.Contains("closed during", left.Message, StringComparison.Ordinal);
        }

        // Nobody is there, and the job comes to where it needs a word.
        await using (var monitor = await QmpClient.ConnectAsync(_host.FilesOf(id).MonitorSocket, null, Token))
        {
            QmpJobEngine jobs = new(monitor);
            var job = await jobs.FindAsync(Assert.Single(await jobs.ListAsync(Token)).Id, Token);
            await job!.SetSpeedAsync(0, Token);
            await job.WaitReadyAsync(cancellationToken: Token);
        }

        await using (var second = await _host.StartDriverAsync(Token))
        {
            Assert.True(second.TryGetFeature<ILiveDisks>(out var live));
            await using var counter = await CounterAsync(second, id);
            Assert.Equal(disk.After, (await live.ReadAsync(id, Token))[1]);
            await live.CommitAsync(id, merge, cancellationToken: Token);
            Assert.Equal(disk.Before, (await live.ReadAsync(id, Token))[1]);
            Assert.Equal(disk.Before, (await second.Domains.FindDefinitionAsync(id, Token))?.Disks[1]);
            var last = await counter.FlushAnotherAsync();
            await second.Domains.DestroyAsync(id, Token);
            Assert.True(await _images.ReadNewestAsync(disk.Before.Layers[0], Token) >= last);
            Assert.True(await _images.ShowsAsync(disk.Before.Layers[0], Pattern, PatternAt, PatternLength, Token));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Work_that_a_service_left_is_ended_by_whoever_undoes_it(bool isDone)
    {
        var (id, disk) = await LeaveAsync((live, id, disk, begun) =>
            live.StreamAsync(id, new(disk.After, disk.After with { Layers = [disk.After.Layers[0]] }), Slow, begun, Token));

        // Nobody is there, and the pull may come to where it waits for its end.
        if (isDone)
        {
            await using var monitor = await QmpClient.ConnectAsync(_host.FilesOf(id).MonitorSocket, null, Token);
            QmpJobEngine jobs = new(monitor);
            var job = await jobs.FindAsync(Assert.Single(await jobs.ListAsync(Token)).Id, Token);
            await job!.SetSpeedAsync(0, Token);
            await job.WaitUntilAsync(state => state.Status == QmpJobStatus.Pending, cancellationToken: Token);
        }

        await using var second = await _host.StartDriverAsync(Token);
        Assert.True(second.TryGetFeature<ILiveDisks>(out var again));
        await using var counter = await CounterAsync(second, id);
        await again.CommitAsync(id, new(disk.After, disk.Before), cancellationToken: Token);
        Assert.Equal(disk.Before, (await again.ReadAsync(id, Token))[1]);
        Assert.Equal(disk.Before, (await second.Domains.FindDefinitionAsync(id, Token))?.Disks[1]);
        var last = await counter.FlushAnotherAsync();
        await second.Domains.DestroyAsync(id, Token);
        Assert.True(await _images.ReadNewestAsync(disk.Before.Layers[0], Token) >= last);
        Assert.True(await _images.ShowsAsync(disk.Before.Layers[0], Pattern, PatternAt, PatternLength, Token));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_guest_whose_service_died_at_the_change_over_is_changed_over_and_goes_on(bool isLate)
    {
        var (id, disk) = await LeaveAsync((live, id, disk, begun) => live.CommitAsync(id, new(disk.After, disk.Before), Slow, begun, Token));

        // As it stands when a service dies after it has stopped the guest and told the job to complete.
        await using (var monitor = await QmpClient.ConnectAsync(_host.FilesOf(id).MonitorSocket, null, Token))
        {
            QmpJobEngine jobs = new(monitor);
            var job = await jobs.FindAsync(Assert.Single(await jobs.ListAsync(Token)).Id, Token);
            await job!.SetSpeedAsync(0, Token);
            await job.WaitReadyAsync(cancellationToken: Token);
            var files = _host.FilesOf(id);
            await files.WriteRunAsync(files.ReadRun()! with { IsHeld = true }, Token);
            await monitor.ExecuteAsync(QmpCommands.Stop, QmpEmpty.Instance, Token);
            await job.CompleteAsync(Token);
        }

        await using var late = isLate ? new StallingMonitor(_host.FilesOf(id).MonitorSocket) : null;
        late?.StallAt("qmp_capabilities", isCarriedOut: false);
        await using var second = await _host.StartDriverAsync(Token);
        Assert.True(second.TryGetFeature<ILiveDisks>(out var again));
        Assert.Equal(isLate, _host.FilesOf(id).ReadRun()!.IsHeld);
        late?.GoOn();
        await EventuallyAsync(() => !_host.FilesOf(id).ReadRun()!.IsHeld);
        Assert.Equal(VmState.Running, (await second.Domains.FindAsync(id, Token))?.State);
        Assert.Equal(disk.Before, (await again.ReadAsync(id, Token))[1]);
        Assert.Equal(disk.Before, (await second.Domains.FindDefinitionAsync(id, Token))?.Disks[1]);
        await using var counter = await CounterAsync(second, id);
        var last = await counter.FlushAnotherAsync();
        await again.CommitAsync(id, new(disk.After, disk.Before), cancellationToken: Token);
        await KillAsync(id);
        Assert.True(await _images.ReadNewestAsync(disk.Before.Layers[0], Token) >= last);
    }

    [Fact]
    public async Task Overlays_of_several_disks_are_one_instant()
    {
        var (first, second) = (_host.CreateDisk("xvdd"), _host.CreateDisk("xvde"));
        var definition = _host.CreateBootable(_host.CreateDisk("xvdb"), first, second);
        var id = definition.Id;
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(id, Token);
        await using var counter = await CounterAsync(driver, id);

        // The guest writes each number first to one disk and then to the other: at any instant they are equal, or one apart.
        await _host.TypeAsync(id, "(n=0; while :; do n=$((n+1)); printf '%012d' $n > /n; dd if=/n of=/dev/vdc conv=fsync; dd if=/n of=/dev/vdd conv=fsync; done) > /dev/null 2>&1 &", Token);
        var (one, two) = (first, second);
        var before = 0L;
        for (var round = 0; round < 4; round++)
        {
            await counter.FlushAnotherAsync();
            DiskReplacement[] both = [await OverlayAsync(one), await OverlayAsync(two)];
            await live.OverlayAsync(id, both, cancellationToken: Token);
            var (left, right) = (await NumberAsync(one), await NumberAsync(two));
            Assert.InRange(left - right, 0, 1);
            Assert.True(left > before || round == 0, "the guest has stopped writing");
            before = left;
            (one, two) = (both[0].After, both[1].After);
        }

        Assert.True(before > 0, "the guest never wrote");
        await driver.Domains.DestroyAsync(id, Token);
    }

    [Fact]
    public async Task A_disk_with_layers_is_unplugged_by_the_name_of_its_top_layer()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var (live, definition, disk) = await StartOnOverlayAsync(driver);
        var id = definition.Id;
        await using (await CounterAsync(driver, id))
        {
        }

        var more = _host.CreateDisk("xvdd");
        await driver.Domains.DefineAsync(definition with { Disks = [definition.Disks[0], disk.After, more] }, Token);
        await ((IHypervisorDriver)driver).Devices.PlugDiskAsync(id, more, Token);
        var grown = await OverlayAsync(more);
        await live.OverlayAsync(id, [grown], cancellationToken: Token);
        Assert.Equal(grown.After, (await live.ReadAsync(id, Token)).Single(known => known.Vdev == "xvdd"));

        // It is plugged in; what lies beneath it cannot be once more.
        await ((IHypervisorDriver)driver).Devices.PlugDiskAsync(id, grown.After, Token);
        await Assert.ThrowsAsync<HypervisorException>(() => ((IHypervisorDriver)driver).Devices.PlugDiskAsync(id, more, Token));
        await ((IHypervisorDriver)driver).Devices.UnplugDiskAsync(id, grown.After.Id, Token);
        Assert.DoesNotContain(await live.ReadAsync(id, Token), known => known.Vdev == "xvdd");
        await _images.WriteAsync(grown.After.Layers[0], Pattern, 0, 4096, Token);
        await driver.Domains.DestroyAsync(id, Token);
    }

    [Fact]
    public async Task File_systems_are_frozen_for_the_instant_and_thawed_whatever_happens()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = _host.CreateBootable(_host.CreateDisk("xvdb"));
        var id = definition.Id;
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(id, Token);
        var bottom = definition.Disks[1];

        // The test guest has no agent: QEMU knows, and nobody is waited for.
        await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
        await console.ExpectUpAsync();
        var first = await OverlayAsync(bottom);
        Assert.False(await live.OverlayAsync(id, [first], quiesce: true, Token));

        // One that answers, in QEMU's place at the channel's end; a program in the guest holds the other.
        await _host.TypeAsync(id, "(exec 9< $(ls /dev/vport*); echo channel-open-$((1 + 1)); sleep 100000) &", Token);
        await console.ExpectAsync("channel-open-2");
        var socket = _host.FilesOf(id).AgentSocket;
        Assert.True(File.Exists(socket));
        File.Delete(socket);
        await using var agent = new ScriptedAgent(socket);
        var second = await OverlayAsync(first.After);
        Assert.True(await live.OverlayAsync(id, [second], quiesce: true, Token));
        Assert.Equal(["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"], agent.TakeCommands());

        // One without a file system to freeze is asked, and says so.
        agent.FreezesNothing = true;
        var third = await OverlayAsync(second.After);
        Assert.False(await live.OverlayAsync(id, [third], quiesce: true, Token));
        Assert.Equal(["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"], agent.TakeCommands());

        // One that never answers a freeze may have frozen: it is thawed all the same.
        agent.SwallowsFreeze = true;
        var fourth = await OverlayAsync(third.After);
        Assert.False(await live.OverlayAsync(id, [fourth], quiesce: true, Token));
        Assert.Equal(["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"], agent.TakeCommands());
        Assert.Equal(fourth.After, (await live.ReadAsync(id, Token))[1]);
        await driver.Domains.DestroyAsync(id, Token);
    }

    private async Task<(ILiveDisks Live, DomainDefinition Definition, DiskReplacement Disk)> StartOnOverlayAsync(QemuHypervisorDriver driver, DomainDisk? counterDisk = null)
    {
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = _host.CreateBootable(counterDisk ?? _host.CreateDisk("xvdb", Size));
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);
        var disk = await OverlayAsync(definition.Disks[1]);

        // Beyond what the guest uses, so that a merge has something to do.
        await _images.WriteAsync(disk.After.Layers[0], Pattern, PatternAt, PatternLength, Token);
        await live.OverlayAsync(definition.Id, [disk], cancellationToken: Token);
        return (live, definition, disk);
    }

    private async Task<DiskReplacement> OverlayAsync(DomainDisk disk)
    {
        var id = DiskId.New();
        return new(disk, disk with { Id = id, Layers = [await _images.CreateOverlayAsync(disk.Layers[0], id, Token), .. disk.Layers] });
    }

    private async Task<CounterFollower> CounterAsync(IHypervisorDriver driver, DomainId id)
    {
        CounterFollower counter = new(_host, driver, id, Token);
        await counter.ExpectWritingAsync();
        return counter;
    }

    private async Task<long> NumberAsync(DomainDisk disk)
    {
        var flat = await _images.FlattenAsync(disk.Layers[0], Token);
        var text = new byte[12];
        await using (var file = File.OpenRead(flat))
        {
            await file.ReadExactlyAsync(text, Token);
        }

        File.Delete(flat);
        return long.TryParse(System.Text.Encoding.ASCII.GetString(text), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
    }

    private async Task<string> MountAsync(string size)
    {
        var path = Directory.CreateDirectory(_host.PathOf("small")).FullName;
        var mounted = await new ProcessRunner().RunAsync(
            new() { FileName = Requires.Find("mount") ?? "mount", Arguments = ["-t", "tmpfs", "-o", $"size={size}", "pengx-test", path] }, Token);
        Requires.That(mounted.ExitCode == 0, "mount", "a file system cannot be mounted here");
        _mounts.Add(path);
        return path;
    }

    /// <summary>A file system that can be frozen: what is written there waits then.</summary>
    private async Task<string> MountImageAsync()
    {
        Requires.That(Environment.IsPrivilegedProcess, "mount", "a file system cannot be mounted here");
        var (image, path) = (_host.PathOf("ext4"), Directory.CreateDirectory(_host.PathOf("stalling")).FullName);
        await RunAsync("truncate", "-s", "64M", image);
        await RunAsync("mkfs.ext4", "-q", image);
        await RunAsync("mount", "-o", "loop", image, path);
        _mounts.Add(path);
        return path;
    }

    private static async Task RunAsync(string program, params string[] arguments) => (await new ProcessRunner().RunAsync(
        new() { FileName = Requires.Find(program) ?? program, Arguments = arguments, Timeout = TimeSpan.FromSeconds(60) }, CancellationToken.None)).EnsureSuccess();

    /// <summary>What a host that dies now would find: the numbers that were flushed, and the disk of the definition as it lies on disk.</summary>
    private (long Newest, DomainDisk Disk) PictureOf(DomainId id)
    {
        var newest = CounterFollower.NewestOf(_host, id);
        return (newest, _host.FilesOf(id).ReadDefinition()!.Disks[1]);
    }

    /// <summary>Starts a guest on an overlay, and lets the service go away once its work on that disk has begun.</summary>
    private async Task<(DomainId Id, DiskReplacement Disk)> LeaveAsync(Func<ILiveDisks, DomainId, DiskReplacement, FirstReport, Task> work)
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var (live, definition, disk) = await StartOnOverlayAsync(driver);
        TaskCompletionSource moved = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var left = work(live, definition.Id, disk, new FirstReport(() => moved.TrySetResult()));
        await moved.Task.WaitAsync(QemuTestHost.Patience, Token);
        await driver.DisposeAsync();
        await Assert.ThrowsAsync<HypervisorException>(() => left);
        return (definition.Id, disk);
    }

    private async Task KillAsync(DomainId id)
    {
        using var process = QemuProcess.Open(_host.PidOf(id), TimeProvider.System);
        process?.Signal(NativeMethods.SigKill);
        Assert.True(process is null || await process.WaitForExitAsync(QemuTestHost.Patience, CancellationToken.None));
    }

    private static Task LaterAsync(TimeSpan moment)
    {
        var since = Stopwatch.GetTimestamp();
        return EventuallyAsync(() => Stopwatch.GetElapsedTime(since) >= moment);
    }

    private static async Task EventuallyAsync(Func<bool> isSo)
    {
        var since = Stopwatch.GetTimestamp();
        while (!isSo())
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < QemuTestHost.Patience, "it never came to that");
            await Task.Yield();
        }
    }

    private sealed class FirstReport(Action act) : IProgress<ByteProgress>
    {
        private int _told;

        public void Report(ByteProgress value)
        {
            if (value.Done > 0 && Interlocked.Exchange(ref _told, 1) == 0)
            {
                act();
            }
        }
    }
}
