using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>What only Xen does beneath the disks of a running guest: reboots that xl's monitor carries out, a libxl that does not learn by
/// itself, and services that come back. The guest is a real one and its counter is the judge.</summary>
public sealed class LiveDisksTests : IAsyncLifetime
{
    private readonly LiveGuests _guests = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        LiveGuests.Require();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => _guests.DisposeAsync();

    [Fact]
    public async Task A_guest_that_reboots_by_itself_comes_back_on_the_disks_it_had()
    {
        var (driver, live, definition) = await StartAsync();
        var id = definition.Id;
        var bottom = definition.Disks[1];
        await _guests.FlushAnotherAsync(id);
        var overlay = await _guests.OverlayAsync(bottom);
        await live.OverlayAsync(id, [overlay], cancellationToken: Token);
        ExpectNotes(id, overlay.After);
        Assert.DoesNotContain(_guests.Xen.Calls, call => call[0] == "pause");

        // On the overlay, without a word of this service.
        var before = await _guests.FlushAnotherAsync(id);
        await RebootAsync(driver, id);
        var after = await _guests.FlushAnotherAsync(id);
        Assert.True(after > before);
        Assert.Equal(overlay.After, (await live.ReadAsync(id, Token)).Single(disk => disk.Vdev == "xvdb"));
        Assert.True(await _guests.ReadNewestAsync(overlay.After.Layers[0]) > before);

        // And on what took it in again, after the merge: seen running all along, and counted while it went on.
        await using SeenEvents events = new(driver, id, Token);
        await live.CommitAsync(id, new(overlay.After, bottom), cancellationToken: Token);
        Assert.Single(_guests.Xen.Calls, call => call[0] == "pause");
        ExpectNotes(id, bottom);
        before = await _guests.FlushAnotherAsync(id);
        File.Delete(LiveGuests.PathOf(overlay.After.Layers[0]));
        await RebootAsync(driver, id);
        await events.ExpectAsync(DomainEventKind.Rebooted);
        Assert.True(await _guests.FlushAnotherAsync(id) > before);
        Assert.Equal(bottom, (await live.ReadAsync(id, Token)).Single(disk => disk.Vdev == "xvdb"));
        await driver.Domains.DestroyAsync(id, Token);
        Assert.True(await _guests.ReadNewestAsync(bottom.Layers[0]) > before);
    }

    [Fact]
    public async Task A_merge_can_be_followed_while_others_ask_for_counters_and_a_reboot_ends_it()
    {
        var (driver, live, definition) = await StartAsync();
        var id = definition.Id;
        await _guests.FlushAnotherAsync(id);
        var overlay = await _guests.OverlayAsync(definition.Disks[1]);
        await _guests.FillAsync(overlay.After.Layers[0]);
        await live.OverlayAsync(id, [overlay], cancellationToken: Token);
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var merge = live.CommitAsync(id, new(overlay.After, overlay.Before), new() { BytesPerSecond = 65536 }, new FirstReport(begun), Token);
        await begun.Task.WaitAsync(Token);

        // QEMU's monitor has one client at a time.
        Assert.True((await driver.Domains.FindCountersAsync(id, Token))!.DiskWrittenBytes > 0);
        Assert.True(driver.TryGetFeature<ILiveMigration>(out var migration));
        var refused = await Assert.ThrowsAsync<WrongStateException>(() => migration.CheckMigrationAsync(id, "other", Token));
        Assert.Contains("being merged", refused.Message, StringComparison.Ordinal);

        var before = await _guests.FlushAnotherAsync(id);
        await RebootAsync(driver, id);
        var ended = await Assert.ThrowsAsync<HypervisorException>(() => merge);
        Assert.Contains("rebooted", ended.Message, StringComparison.Ordinal);
        Assert.True(await _guests.FlushAnotherAsync(id) > before);
        Assert.Equal(overlay.After, (await live.ReadAsync(id, Token)).Single(disk => disk.Vdev == "xvdb"));

        // Whoever asks again gets it.
        await live.CommitAsync(id, new(overlay.After, overlay.Before), cancellationToken: Token);
        var last = await _guests.FlushAnotherAsync(id);
        await driver.Domains.DestroyAsync(id, Token);
        Assert.True(await _guests.ReadNewestAsync(overlay.Before.Layers[0]) >= last);
    }

    [Fact]
    public async Task Work_that_a_service_left_is_ended_by_whoever_undoes_it()
    {
        var (driver, live, definition) = await StartAsync();
        var id = definition.Id;
        await _guests.FlushAnotherAsync(id);
        var filled = await _guests.OverlayAsync(definition.Disks[1]);
        await _guests.FillAsync(filled.After.Layers[0]);
        await live.OverlayAsync(id, [filled], cancellationToken: Token);
        var overlay = await _guests.OverlayAsync(filled.After);
        await live.OverlayAsync(id, [overlay], cancellationToken: Token);
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var alone = overlay.After with { Layers = [overlay.After.Layers[0]] };
        var pulling = live.StreamAsync(id, new(overlay.After, alone), new() { BytesPerSecond = 65536 }, new FirstReport(begun), Token);
        await begun.Task.WaitAsync(Token);
        await driver.DisposeAsync();
        await Assert.ThrowsAsync<HypervisorException>(() => pulling);

        var second = _guests.CreateDriver();
        await second.StartAsync(Token);
        Assert.True(second.TryGetFeature<ILiveDisks>(out var again));
        await again.CommitAsync(id, new(overlay.After, overlay.Before), cancellationToken: Token);
        Assert.Equal(overlay.Before, (await again.ReadAsync(id, Token)).Single(disk => disk.Vdev == "xvdb"));
        ExpectNotes(id, overlay.Before);
        var last = await _guests.FlushAnotherAsync(id);
        await second.Domains.DestroyAsync(id, Token);
        Assert.True(await _guests.ReadNewestAsync(overlay.Before.Layers[0]) >= last);
    }

    [Theory]
    [InlineData("config-update")]
    [InlineData("unpause")]
    public async Task A_service_that_dies_in_the_change_over_leaves_a_guest_that_the_next_one_lets_go_on(string diesAt)
    {
        var (driver, live, definition) = await StartAsync();
        var id = definition.Id;
        await _guests.FlushAnotherAsync(id);
        var overlay = await _guests.OverlayAsync(definition.Disks[1]);
        await live.OverlayAsync(id, [overlay], cancellationToken: Token);
        await _guests.FlushAnotherAsync(id);
        var isDead = false;
        _guests.Xen.Before = (arguments, _) =>
        {
            isDead |= arguments[0] == diesAt;
            return isDead ? throw new DeadServiceException() : Task.CompletedTask;
        };
        await Assert.ThrowsAsync<DeadServiceException>(() => live.CommitAsync(id, new(overlay.After, overlay.Before), cancellationToken: Token));
        await driver.DisposeAsync();
        Assert.True(_guests.Xen.Get(id).IsPaused);
        var standing = _guests.Newest(id);
        _guests.Xen.Before = null;

        var second = _guests.CreateDriver();
        await second.StartAsync(Token);
        Assert.False(_guests.Xen.Get(id).IsPaused);
        Assert.Equal(VmState.Running, (await second.Domains.FindAsync(id, Token))?.State);
        Assert.Equal(overlay.Before, (await second.Domains.FindDefinitionAsync(id, Token))?.Disks[1]);
        Assert.Empty(Directory.EnumerateFiles(Path.GetDirectoryName(_guests.MonitorOf(id))!, "*.json"));
        ExpectNotes(id, overlay.Before);
        Assert.True(await _guests.FlushAnotherAsync(id) > standing);

        // A reboot comes back on what the guest changed over to.
        File.Delete(LiveGuests.PathOf(overlay.After.Layers[0]));
        await RebootAsync(second, id);
        Assert.True(await _guests.FlushAnotherAsync(id) > standing);
    }

    [Fact]
    public async Task What_was_pulled_up_is_in_the_image_before_what_lay_beneath_may_go()
    {
        var (_, live, definition) = await StartAsync();

        // The guest only reads this one, so it never flushes it.
        var disk = await _guests.OverlayAsync(definition.Disks[0]);
        var alone = disk.After.Layers[0];
        await live.OverlayAsync(definition.Id, [disk], cancellationToken: Token);
        await live.StreamAsync(definition.Id, new(disk.After, disk.After with { Layers = [alone] }), cancellationToken: Token);
        Assert.Equal([alone], await _guests.ReadChainAsync(alone));
        await _guests.CompareAsync(disk.Before.Layers[0], alone);
    }

    [Fact]
    public async Task An_overlay_that_QEMU_refuses_leaves_everything_as_it_was()
    {
        var (driver, live, definition) = await StartAsync();
        var id = definition.Id;
        await _guests.FlushAnotherAsync(id);
        var overlay = await _guests.OverlayAsync(definition.Disks[1]);
        var path = LiveGuests.PathOf(overlay.After.Layers[0]);

        // It is gone when all that comes before the instant is done.
        _guests.Xen.Before = (arguments, _) =>
        {
            if (arguments[0] == "config-update")
            {
                File.Delete(path);
            }

            return Task.CompletedTask;
        };
        var refused = await Assert.ThrowsAsync<HypervisorException>(() => live.OverlayAsync(id, [overlay], cancellationToken: Token));
        Assert.Contains(path, refused.Message, StringComparison.Ordinal);
        Assert.Equal(definition.Disks[1], (await live.ReadAsync(id, Token)).Single(disk => disk.Vdev == "xvdb"));
        Assert.Equal(definition, await driver.Domains.FindDefinitionAsync(id, Token));
        Assert.DoesNotContain(path, _guests.Xen.Get(id).Stored!, StringComparison.Ordinal);
        ExpectNotes(id, definition.Disks[1]);
        Assert.False(_guests.Xen.Get(id).IsPaused);

        // What is stored was changed back while the guest stood still: it could not reboot onto an overlay that its caller deletes.
        Assert.True(_guests.Xen.Calls.ToList().FindIndex(call => call[0] == "pause") < _guests.Xen.Calls.ToList().FindLastIndex(call => call[0] == "config-update"));
        var before = await _guests.FlushAnotherAsync(id);
        await RebootAsync(driver, id);
        Assert.True(await _guests.FlushAnotherAsync(id) > before);
    }

    [Fact]
    public async Task A_libxl_that_does_not_listen_loses_the_monitor_that_would_reboot_onto_the_wrong_disk()
    {
        var (driver, live, definition) = await StartAsync();
        var id = definition.Id;
        await _guests.FlushAnotherAsync(id);
        var overlay = await _guests.OverlayAsync(definition.Disks[1]);
        await live.OverlayAsync(id, [overlay], cancellationToken: Token);
        _guests.Xen.Instead = arguments => arguments[0] == "config-update" ? (1, "libxl: error: no room\n") : null;
        await live.CommitAsync(id, new(overlay.After, overlay.Before), cancellationToken: Token);
        _guests.Xen.Instead = null;
        Assert.False(_guests.Xen.Get(id).Monitor!.IsAlive);
        var before = await _guests.FlushAnotherAsync(id);
        File.Delete(LiveGuests.PathOf(overlay.After.Layers[0]));
        await RebootAsync(driver, id);
        Assert.True(await _guests.FlushAnotherAsync(id) > before);
        Assert.Equal(overlay.Before, (await live.ReadAsync(id, Token)).Single(disk => disk.Vdev == "xvdb"));
    }

    [Fact]
    public async Task A_disk_behind_an_emulated_drive_is_refused()
    {
        _guests.Xen.Guests.EmulatesDrives = true;
        var (driver, live, definition) = await StartAsync();
        var overlay = await _guests.OverlayAsync(definition.Disks[0]);
        var refused = await Assert.ThrowsAsync<WrongStateException>(() => live.OverlayAsync(definition.Id, [overlay], cancellationToken: Token));
        Assert.Contains("emulated drive", refused.Message, StringComparison.Ordinal);
        Assert.Equal(definition.Disks[0], (await live.ReadAsync(definition.Id, Token)).Single(disk => disk.Vdev == "xvda"));

        // Nor is it unplugged: the guest would let it go, and QEMU would keep its image open.
        refused = await Assert.ThrowsAsync<WrongStateException>(() => driver.Devices().UnplugDiskAsync(definition.Id, definition.Disks[0].Id, Token));
        Assert.Contains("emulated drive", refused.Message, StringComparison.Ordinal);
        Assert.Empty(_guests.Xen.CallsOf("block-detach"));

        // Who undoes that asks for what is so.
        await live.CommitAsync(definition.Id, new(overlay.After, overlay.Before), cancellationToken: Token);

        // The one beside it is not.
        var other = await _guests.OverlayAsync(definition.Disks[1]);
        await live.OverlayAsync(definition.Id, [other], cancellationToken: Token);
    }

    [Fact]
    public async Task A_disk_that_the_kernel_serves_is_shown_and_refused()
    {
        _guests.Xen.Guests.RunsMachines = false;
        var driver = _guests.CreateDriver();
        await driver.StartAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var guest = _guests.CreateGuest();
        var raw = guest.Disks[1] with { Layers = [new(new BlockLocation("/dev/null"), DiskFormat.Raw)] };
        var definition = guest with { Disks = [raw with { Vdev = "xvda" }] };
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);
        Assert.Equal(definition.Disks, await live.ReadAsync(definition.Id, Token));
        DiskReplacement overlay = new(definition.Disks[0], definition.Disks[0] with { Layers = [new(new FileLocation("/srv/x.qcow2"), DiskFormat.Qcow2), raw.Layers[0]] });
        var refused = await Assert.ThrowsAsync<WrongStateException>(() => live.OverlayAsync(definition.Id, [overlay], cancellationToken: Token));
        Assert.Contains("QEMU", refused.Message, StringComparison.Ordinal);

        // Who undoes that asks for what is so.
        await live.CommitAsync(definition.Id, new(overlay.After, overlay.Before), cancellationToken: Token);
        Assert.Equal(definition.Disks, (await driver.Domains.FindDefinitionAsync(definition.Id, Token))?.Disks);
        await driver.Domains.DestroyAsync(definition.Id, Token);
    }

    [Fact]
    public async Task A_guest_is_moved_with_nothing_of_its_disks_in_the_page_cache_and_goes_on_so_when_that_fails()
    {
        var kernel = LiveGuests.PathOf(_guests.CreateGuest().Disks[0].Layers[0]);
        var (driver, live, definition) = await StartAsync(options => options.Guests = new() { Kind = XlGuestKind.Pvh, Kernel = kernel });
        var id = definition.Id;
        Assert.True(driver.TryGetFeature<ILiveMigration>(out var migration));
        await migration.CheckMigrationAsync(id, "host2", Token);
        Assert.Equal([false, false], OpenedDirectly(definition));
        var before = await _guests.FlushAnotherAsync(id);
        _guests.Xen.Instead = call =>
        {
            if (call[0] != "migrate")
            {
                return null;
            }

            Assert.Equal([true, true], OpenedDirectly(definition));
            return (1, "ssh: connect to host host2 port 22: No route to host\n");
        };
        Assert.Contains("goes on here", (await Assert.ThrowsAsync<HypervisorException>(() => migration.MigrateAsync(id, "host2", Token))).Message, StringComparison.Ordinal);
        Assert.True(await _guests.FlushAnotherAsync(id) > before);

        // Its disks are changed as before, and after a merge nothing is to do.
        var bottom = definition.Disks[1];
        var overlay = await _guests.OverlayAsync(bottom);
        await live.OverlayAsync(id, [overlay], cancellationToken: Token);
        before = await _guests.FlushAnotherAsync(id);
        await live.CommitAsync(id, new(overlay.After, bottom), cancellationToken: Token);
        await migration.CheckMigrationAsync(id, "host2", Token);
        Assert.Equal([true, true], OpenedDirectly(definition));
        Assert.True(await _guests.FlushAnotherAsync(id) > before);
        await driver.Domains.DestroyAsync(id, Token);
        Assert.True(await _guests.ReadNewestAsync(bottom.Layers[0]) > before);
    }

    /// <summary>Which disks of a guest its QEMU has open past the page cache, as the kernel tells it.</summary>
    private IEnumerable<bool> OpenedDirectly(DomainDefinition definition)
    {
        const int Direct = 0x4000;
        var process = $"/proc/{_guests.Xen.Get(definition.Id).Machine!.Pid}";
        var open = Directory.GetFiles($"{process}/fd").ToLookup(FindTarget, Path.GetFileName);
        return definition.Disks.Select(disk => Assert.Single(open[LiveGuests.PathOf(disk.Layers[0])].Select(IsDirect).Distinct()));

        bool IsDirect(string? fd)
        {
            var flags = File.ReadLines($"{process}/fdinfo/{fd}").First(line => line.StartsWith("flags:", StringComparison.Ordinal))["flags:".Length..].Trim();
            return (Convert.ToInt32(flags, 8) & Direct) != 0;
        }

        static string? FindTarget(string fd)
        {
            try
            {
                return File.ResolveLinkTarget(fd, returnFinalTarget: false)?.FullName;
            }
            catch (FileNotFoundException)
            {
                // It was closed just now.
                return null;
            }
        }
    }

    private async Task<(XenHypervisorDriver Driver, ILiveDisks Live, DomainDefinition Definition)> StartAsync(Action<XenOptions>? configure = null)
    {
        var driver = _guests.CreateDriver(configure);
        await driver.StartAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = _guests.CreateGuest();
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);
        return (driver, live, definition);
    }

    /// <summary>The guest reboots, which is its monitor's affair, and is back.</summary>
    private async Task RebootAsync(XenHypervisorDriver driver, DomainId id)
    {
        var first = _guests.Xen.Get(id).Number;
        _guests.Xen.End(first, 'r');
        await LiveGuests.UntilAsync(async () => _guests.Xen.Find(id) is { IsPaused: false } now && now.Number != first && await driver.Domains.FindAsync(id, Token) is { State: VmState.Running });
    }

    private void ExpectNotes(DomainId id, DomainDisk disk)
    {
        var domain = _guests.Xen.Get(id);
        var record = $"{domain.Record}/device/vbd/51728";
        Assert.Equal(disk.Id.ToString(), _guests.Store.Read($"{record}/pengx-disk"));
        var top = disk.Layers[0];
        var expected = $"{(top.Format == DiskFormat.Raw ? "aio" : "qcow2")}:{top.Location}";
        Assert.Equal(expected, _guests.Store.Read($"{record}/params"));
        Assert.Equal(expected, _guests.Store.Read($"{_guests.Store.Read($"{record}/backend")}/params"));
    }

    private sealed class DeadServiceException : Exception;

    private sealed class FirstReport(TaskCompletionSource begun) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value)
        {
            if (value.Done > 0)
            {
                begun.TrySetResult();
            }
        }
    }
}
