namespace Pengx.Xen.Tests;

/// <summary>Moving a running guest: what is refused before anything happens, and what is left when it fails.</summary>
public sealed class MigrationTests : XenDriverTest
{
    [Fact]
    public async Task Guest_leaves_with_the_configuration_that_holds()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        await driver.Domains.DefineAsync(definition with { MaxCpus = 7 }, Stop);
        var number = Xen.Get(id).Number;
        await Migration(driver).MigrateAsync(id, "host2", Stop);
        Assert.Equal(
            ["migrate", "-e", "-C", ConfigurationOf(id), "-s", "ssh -o BatchMode=yes", Number(number), "host2"],
            Assert.Single(Xen.CallsOf("migrate")));
        Assert.Null(await StateAsync(driver, id));
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.False(File.Exists(SocketOf(id)));
    }

    [Fact]
    public async Task Guest_that_reboots_instead_of_leaving_is_still_here()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var first = Xen.Get(id).Number;
        Gate gone = new();
        Xen.WhileGone = () => gone.PassAsync(Stop);
        Xen.Before = async (arguments, token) =>
        {
            if (arguments[0] == "migrate")
            {
                // Seen with a guest's kernel that did not outlive being asked to suspend.
                Xen.End(first, 'r');
                await gone.ReachedAsync(token);
            }
        };
        Xen.Instead = arguments => arguments[0] == "migrate" ? (1, "libxl: error: libxl_stream_write.c:376:libxl__xc_domain_save_done: Domain 2:saving domain: domain responded to suspend request: Success\n") : null;
        var migrating = Migration(driver).MigrateAsync(id, "host2", Stop);
        await gone.ReachedAsync(Stop);
        await EventuallyAsync(() => Xen.Find(id) is null, "the domain is gone");
        await Task.Delay(500, Stop);
        Assert.False(migrating.IsCompleted);
        gone.Open();

        Assert.Contains("goes on here", (await Assert.ThrowsAsync<HypervisorException>(() => migrating)).Message, StringComparison.Ordinal);
        Assert.True(await Migration(driver).IsHereAsync(id, Stop));
        Assert.NotEqual(first, Xen.Get(id).Number);
    }

    [Theory]
    [InlineData("host;reboot")]
    [InlineData("$(reboot)")]
    [InlineData("-oProxyCommand=reboot")]
    [InlineData("host 2")]
    [InlineData("host\n2")]
    [InlineData("root@host2")]
    [InlineData("")]
    public async Task Host_name_that_a_shell_would_read_is_refused(string host)
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        await Assert.ThrowsAsync<InvalidFieldException>(() => Migration(driver).CheckMigrationAsync(id, host, Stop));
        await Assert.ThrowsAsync<InvalidFieldException>(() => Migration(driver).MigrateAsync(id, host, Stop));
        Assert.Empty(Xen.CallsOf("migrate"));
    }

    [Fact]
    public async Task Guest_that_is_paused_or_does_not_run_is_refused()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);
        await RefusedAsync(driver, definition.Id, "only one that runs");
        await driver.Domains.StartAsync(definition.Id, Stop);
        await driver.Domains.PauseAsync(definition.Id, Stop);
        await RefusedAsync(driver, definition.Id, "only one that runs");
    }

    [Fact]
    public async Task Guest_with_devices_of_the_host_is_refused()
    {
        var driver = await StartDriverAsync();
        Assert.True(PciAddress.TryParse("0000:03:10.0", out var device));
        var id = await RunAsync(driver, Define() with { PciDevices = [device] });
        await RefusedAsync(driver, id, "0000:03:10.0");
    }

    [Fact]
    public async Task PV_guest_is_refused_where_Xen_has_no_shadow_paging()
    {
        var (driver, id, _) = await RunServedAsync(XlGuestKind.Pv);
        await RefusedAsync(driver, id, "shadow paging");
        Xen.Capabilities += " shadow";
        await Migration(driver).CheckMigrationAsync(id, "host2", Stop);
    }

    [Fact]
    public async Task PVH_guest_with_qcow2_disks_is_refused_unless_allowed()
    {
        File.WriteAllBytes(Folder.At("kernel"), []);
        void Pvh(XenOptions options) => options.Guests = new() { Kind = XlGuestKind.Pvh, Kernel = Folder.At("kernel") };
        var driver = await StartDriverAsync(Pvh);
        var qcow2 = Disk(0, DiskFormat.Qcow2);
        var id = await RunAsync(driver, Define() with { Disks = [qcow2] });
        await RefusedAsync(driver, id, qcow2.Id.ToString());

        await driver.DisposeAsync();
        var allowing = await StartDriverAsync(options =>
        {
            Pvh(options);
            options.MigrateQcow2WithoutHvm = true;
        });
        await Migration(allowing).CheckMigrationAsync(id, "host2", Stop);
    }

    [Fact]
    public async Task Host_that_cannot_be_reached_leaves_the_guest_running_here()
    {
        var recorded = Recorded.Read("xl/163");
        Xen.Instead = call => call[0] == "migrate" ? (recorded.ExitCode, recorded.Error) : null;
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var error = await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).MigrateAsync(id, "host2", Stop));
        Assert.Contains("goes on here", error.Message, StringComparison.Ordinal);
        Assert.Contains("Could not resolve hostname", error.Message, StringComparison.Ordinal);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.Empty(Xen.CallsOf("rename"));
    }

    [Fact]
    public async Task Guest_of_a_broken_handshake_stays_as_it_is_until_somebody_has_looked_at_both_sides()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define("web"));
        Xen.Instead = call => call[0] == "migrate" ? HandOver(id) : null;
        var error = await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).MigrateAsync(id, "host2", Stop));
        Assert.Contains("stands still here as web--migratedaway", error.Message, StringComparison.Ordinal);
        Assert.Contains("final handshake", error.Message, StringComparison.Ordinal);
        Assert.Equal("web--migratedaway", Xen.Get(id).Name);
        Assert.Contains("look for it there", (await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).IsHereAsync(id, Stop))).Message, StringComparison.Ordinal);
        Assert.Empty(Xen.CallsOf("rename"));
        Assert.Empty(Xen.CallsOf("unpause"));
        Assert.Empty(Xen.CallsOf("destroy"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_an_operator_does_after_a_broken_handshake_says_where_the_guest_is(bool isHere)
    {
        DomainId id;
        await using (var first = await StartDriverAsync())
        {
            id = await RunAsync(first, Define("web"));
            _ = HandOver(id);
        }

        var driver = await StartDriverAsync();
        await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).IsHereAsync(id, Stop));
        if (isHere)
        {
            Xen.Get(id).Name = "web";
        }
        else
        {
            Xen.Vanish(id);
        }

        Assert.Equal(isHere, await Migration(driver).IsHereAsync(id, Stop));

        // Its memory is lost, where it stood still; it does not stand in the way.
        Assert.NotEqual(VmState.Running, await StateAsync(driver, id));
        await driver.Domains.StartAsync(id, Stop);
        Assert.Null(Assert.Single(Xen.Domains).Reason);
    }

    [Fact]
    public async Task Guest_that_is_gone_after_a_failure_is_told_to_be_looked_for_there()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Xen.Instead = call =>
        {
            if (call[0] != "migrate")
            {
                return null;
            }

            Xen.Vanish(id);
            return (1, "migration sender: transport is gone\n");
        };
        var error = await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).MigrateAsync(id, "host2", Stop));
        Assert.Contains("look for it on host2", error.Message, StringComparison.Ordinal);
        Assert.False(await Migration(driver).IsHereAsync(id, Stop));
    }

    [Fact]
    public async Task Guest_that_xl_is_handing_over_is_neither_here_nor_there()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define("web"));
        Assert.True(await Migration(driver).IsHereAsync(id, Stop));

        // By an xl that a service which is gone has left.
        Xen.Get(id).Name += "--migratedaway";
        Assert.Contains("look for it there", (await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).IsHereAsync(id, Stop))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Guest_that_has_left_and_whose_memory_something_holds_is_not_here()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Xen.Guests.LeavesZombie = true;
        await Migration(driver).MigrateAsync(id, "host2", Stop);
        Assert.True(Xen.Get(id).IsDying);
        Assert.False(await Migration(driver).IsHereAsync(id, Stop));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Move_that_outlived_its_service_is_waited_for(bool fails)
    {
        DomainId id;
        await using (var first = await StartDriverAsync())
        {
            id = await RunAsync(first, Define());
        }

        using var move = StartMove(id);
        var driver = await StartDriverAsync();
        using (CancellationTokenSource impatient = CancellationTokenSource.CreateLinkedTokenSource(Stop))
        {
            impatient.CancelAfter(TimeSpan.FromMilliseconds(200));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Migration(driver).IsHereAsync(id, impatient.Token));
        }

        // In the end it has the guest suspended.
        Xen.Get(id).Reason = 's';
        var asking = Migration(driver).IsHereAsync(id, Stop);
        await Task.Delay(500, Stop);
        Assert.False(asking.IsCompleted);
        if (fails)
        {
            Xen.Get(id).Reason = null;
        }
        else
        {
            Xen.Vanish(id);
        }

        move.End();
        Assert.Equal(fails, await asking);
    }

    [Fact]
    public async Task Second_move_begins_when_the_one_that_outlived_its_service_has_failed()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        using var move = StartMove(id);
        var migrating = Migration(driver).MigrateAsync(id, "host2", Stop);
        await Task.Delay(500, Stop);
        Assert.Empty(Xen.CallsOf("migrate"));
        move.End();
        await migrating;
        Assert.Single(Xen.CallsOf("migrate"));
        Assert.Empty(Xen.Domains);
    }

    [Fact]
    public async Task Move_that_outlived_its_service_and_never_ends_is_told()
    {
        var driver = await StartDriverAsync();
        var id = DomainId.New();
        using var move = StartMove(id);
        Clock.Speed = 20000;
        Assert.Contains("2 hours", (await Assert.ThrowsAsync<UnavailableException>(() => Migration(driver).IsHereAsync(id, Stop))).Message, StringComparison.Ordinal);
        Assert.True(move.IsAlive);
    }

    [Fact]
    public async Task PVH_guest_is_moved_when_its_QEMU_writes_past_the_page_cache()
    {
        var (driver, id, blocks) = await RunServedAsync(XlGuestKind.Pvh);
        await Migration(driver).CheckMigrationAsync(id, "host2", Stop);
        Assert.False(blocks.IsDirect);
        bool? wasDirect = null;
        Xen.Before = (call, _) =>
        {
            wasDirect = call[0] == "migrate" ? blocks.IsDirect : wasDirect;
            return Task.CompletedTask;
        };
        await Migration(driver).MigrateAsync(id, "host2", Stop);
        Assert.True(wasDirect);
        Assert.Empty(Xen.Domains);
    }

    [Fact]
    public async Task PVH_guest_stays_when_its_QEMU_cannot_write_past_the_page_cache()
    {
        var (driver, id, blocks) = await RunServedAsync(XlGuestKind.Pvh);
        blocks.ReopenRefusal = "Could not open: Filesystem does not support O_DIRECT";
        var refused = await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).MigrateAsync(id, "host2", Stop));
        Assert.Contains("past the page cache: Could not open: Filesystem does not support O_DIRECT", refused.Message, StringComparison.Ordinal);

        // What is said to be done is looked at.
        blocks.ReopenRefusal = null;
        blocks.IsDeaf = true;
        refused = await Assert.ThrowsAsync<HypervisorException>(() => Migration(driver).MigrateAsync(id, "host2", Stop));
        Assert.Contains("and does not", refused.Message, StringComparison.Ordinal);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.Empty(Xen.CallsOf("migrate"));
    }

    [Fact]
    public async Task PVH_guest_whose_writes_may_be_in_the_page_cache_is_refused()
    {
        var (driver, id, blocks) = await RunServedAsync(XlGuestKind.Pvh);
        blocks.RootName = "#block101";
        await RefusedAsync(driver, id, "xvda may still be in this host's page cache, where the other host would not see it, and it lay beneath an overlay");
        blocks.RootName = null;
        await Migration(driver).CheckMigrationAsync(id, "host2", Stop);
        File.Delete(SocketOf(id));
        await RefusedAsync(driver, id, "its QEMU does not listen here");
    }

    [Fact]
    public async Task Move_that_has_begun_is_not_cancelled()
    {
        Gate moving = new();
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Xen.Before = (call, token) => call[0] == "migrate" ? moving.PassAsync(token) : Task.CompletedTask;
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var migrating = Migration(driver).MigrateAsync(id, "host2", cancel.Token);
        await moving.ReachedAsync(Stop);
        await cancel.CancelAsync();
        Assert.False(migrating.IsCompleted);
        moving.Open();
        await migrating;
        Assert.Empty(Xen.Domains);
    }

    /// <summary>Runs a guest with a disk that QEMU serves and one that the kernel does.</summary>
    private async Task<(XenHypervisorDriver Driver, DomainId Id, FakeBlocks Blocks)> RunServedAsync(XlGuestKind kind)
    {
        File.WriteAllBytes(Folder.At("kernel"), []);
        DomainDisk servedByKernel = new() { Id = DiskId.New(), Layers = [new(new BlockLocation("/dev/null"), DiskFormat.Raw)], Vdev = "xvdb" };
        var definition = Define() with { Disks = [Disk(0), servedByKernel] };
        FakeBlocks blocks = new(definition.Disks[0]);
        Open(blocks);
        (Xen.Guests.HasQemu, Xen.Guests.Blocks) = (true, blocks);
        var driver = await StartDriverAsync(options => options.Guests = new() { Kind = kind, Kernel = Folder.At("kernel") });
        return (driver, await RunAsync(driver, definition), blocks);
    }

    private static ILiveMigration Migration(XenHypervisorDriver driver)
    {
        Assert.True(driver.TryGetFeature<ILiveMigration>(out var migration));
        return migration;
    }

    /// <summary>What xl leaves when the line breaks after it has let the other host take over.</summary>
    private (int, string) HandOver(DomainId id)
    {
        var domain = Xen.Get(id);
        domain.Name += "--migratedaway";
        domain.Reason = 's';
        return (1, "migration sender: Error, target reported 1.\n** Migration failed during final handshake **\n");
    }

    private StandInProcess StartMove(DomainId id) => StandInProcess.Start(
        Folder, "xl", "migrate", "-e", "-C", ConfigurationOf(id), "-s", "ssh -o BatchMode=yes", Number(1), "host2");

    private async Task RefusedAsync(XenHypervisorDriver driver, DomainId id, string why)
    {
        var error = await Assert.ThrowsAsync<WrongStateException>(() => Migration(driver).MigrateAsync(id, "host2", Stop));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Empty(Xen.CallsOf("migrate"));
    }
}
