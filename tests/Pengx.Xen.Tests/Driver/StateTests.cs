using System.Collections.Concurrent;

namespace Pengx.Xen.Tests;

/// <summary>What Xen's states mean, and verbs that say nothing of what came of them.</summary>
public sealed class StateTests : XenDriverTest
{
    [Theory]
    [InlineData('c')]
    [InlineData('w')]
    public async Task Crashed_guest_is_shown_and_kept_until_it_is_destroyed(char reason)
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.End(Xen.Get(id).Number, reason);
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Crashed);
        Assert.Equal(VmState.Crashed, await StateAsync(driver, id));
        Assert.Empty(Xen.CallsOf("destroy"));

        await driver.Domains.DestroyAsync(id, Stop);
        await events.ExpectAsync(DomainEventKind.Stopped);
        Assert.Empty(Xen.Domains);
    }

    [Fact]
    public async Task Crashed_guest_is_replaced_by_a_start()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.End(Xen.Get(id).Number, 'c');
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Crashed);
        await driver.Domains.StartAsync(id, Stop);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.Single(Xen.Domains);
    }

    [Fact]
    public async Task Zombie_is_shut_down_and_its_destroy_tells_what_it_still_holds()
    {
        Xen.Guests.LeavesZombie = true;
        var driver = await StartDriverAsync(options => options.StopTimeout = TimeSpan.FromSeconds(2));
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);

        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.DestroyAsync(id, Stop));
        Assert.Contains("64 MiB", error.Message, StringComparison.Ordinal);
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.Equal("--p--d", Assert.Single(Xen.Domains).State);
        Assert.Null(await StateAsync(driver, id));
        Assert.Empty(await driver.Domains.ListAsync(Stop));
        Assert.Single(Xen.CallsOf("destroy"));

        Xen.LetZombiesGo();
        await driver.Domains.DestroyAsync(id, Stop);
    }

    [Fact]
    public async Task Crashed_guest_that_becomes_a_zombie_is_shut_down()
    {
        Xen.Guests.LeavesZombie = true;
        var driver = await StartDriverAsync(options => options.StopTimeout = TimeSpan.FromSeconds(2));
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.End(Xen.Get(id).Number, 'c');
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Crashed);
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.DestroyAsync(id, Stop));
        Assert.Null(await StateAsync(driver, id));
        await events.ExpectAsync(DomainEventKind.Stopped);
    }

    [Fact]
    public async Task Start_waits_for_a_zombie_to_go()
    {
        Xen.Guests.LeavesZombie = true;
        var driver = await StartDriverAsync(options => options.StopTimeout = TimeSpan.FromSeconds(2));
        var id = await RunAsync(driver, Define());
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.DestroyAsync(id, Stop));
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.StartAsync(id, Stop));
        Assert.Single(Xen.CallsOf("create"));

        Xen.Guests.LeavesZombie = false;
        Xen.LetZombiesGo();
        await driver.Domains.StartAsync(id, Stop);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
    }

    [Fact]
    public async Task Suspended_guest_is_nobodys_to_clean_up()
    {
        // Its memory is on the way to another host, or into a file; without a monitor the driver stands in for it, but not here.
        var driver = await StartDriverAsync(options => options.RebuildTimeout = TimeSpan.FromSeconds(3));
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.KillMonitor(id);
        Xen.End(Xen.Get(id).Number, 's');
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.Null(await StateAsync(driver, id));
        Assert.Equal("---ss-", Xen.Get(id).State);
        Assert.Empty(Xen.CallsOf("destroy"));
    }

    [Fact]
    public async Task Pause_and_unpause_that_say_0_and_did_nothing_are_errors()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Xen.Guests.CanBePaused = false;
        var pause = await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.PauseAsync(id, Stop));
        Assert.Contains("xl pause had no effect: Pausing domain: Invalid argument", pause.Message, StringComparison.Ordinal);

        Xen.Guests.CanBePaused = true;
        await driver.Domains.PauseAsync(id, Stop);
        Xen.Guests.CanBePaused = false;
        var resume = await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.ResumeAsync(id, Stop));
        Assert.Contains("xl unpause had no effect", resume.Message, StringComparison.Ordinal);
        Assert.Equal(VmState.Paused, await StateAsync(driver, id));
    }

    [Fact]
    public async Task Shutdown_is_asked_for_and_not_waited_for()
    {
        Xen.Guests.Obeys = false;
        ConcurrentQueue<string> heard = [];
        Xen.Heard = heard.Enqueue;
        var driver = await StartDriverAsync(options => options.RebootInterval = TimeSpan.FromDays(1));
        var id = await RunAsync(driver, Define());
        var rebooting = driver.Domains.RebootAsync(id, TimeSpan.FromHours(1), Stop);
        await EventuallyAsync(() => heard.Contains("reboot"), "the guest is asked to reboot");

        // The reboot has the turn and waits; the request does not.
        await driver.Domains.RequestShutdownAsync(id, Stop);
        await EventuallyAsync(() => heard.Contains("poweroff"), "the guest is asked to power off");
        Assert.False(rebooting.IsCompleted);
        Assert.Empty(Xen.CallsOf("shutdown"));
        Assert.Empty(Xen.CallsOf("trigger"));
        Assert.Equal(VmState.Running, await StateAsync(driver, id));

        Xen.Guests.Obeys = true;
        await driver.Domains.RequestShutdownAsync(id, Stop);
        Assert.False(await rebooting);
        await driver.Domains.WaitUntilStoppedAsync(id, Stop);
    }

    [Fact]
    public async Task Guest_without_Xens_drivers_gets_the_buttons_of_its_machine()
    {
        Xen.Guests.HasXenDrivers = false;
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        var first = Xen.Get(id).Number;
        Assert.True(await driver.Domains.RebootAsync(id, TimeSpan.FromHours(1), Stop));
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Rebooted);
        Assert.Contains(Xen.CallsOf("trigger"), call => call.SequenceEqual(["trigger", Number(first), "reset"]));

        await driver.Domains.RequestShutdownAsync(id, Stop);
        await events.ExpectAsync(DomainEventKind.Stopped);
        Assert.Equal("power", Xen.CallsOf("trigger")[^1][2]);
    }

    [Fact]
    public async Task Button_that_xl_could_not_press_is_an_error_although_xl_says_0()
    {
        Xen.Guests.HasXenDrivers = false;
        var recorded = Recorded.Read("xl/131");
        Assert.Equal(0, recorded.ExitCode);
        Xen.Instead = call => call[0] == "trigger" ? (recorded.ExitCode, recorded.Error) : null;
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.RequestShutdownAsync(id, Stop));
        Assert.Contains("Send trigger 'power' failed", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Console_is_where_xenstore_says()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Assert.Equal(5900 + Xen.Get(id).Number, (await driver.Domains.FindVncAsync(id, Stop))?.Port);
        Store.Write($"{Xen.Get(id).Path}/console/vnc-port", "5977");
        Assert.Equal(5977, (await driver.Domains.FindVncAsync(id, Stop))?.Port);

        var blind = await RunAsync(driver, Define("blind") with { VncPassword = null });
        Assert.Null(await driver.Domains.FindVncAsync(blind, Stop));
    }
}
