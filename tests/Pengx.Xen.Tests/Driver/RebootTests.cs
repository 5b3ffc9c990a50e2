using System.Collections.Concurrent;

namespace Pengx.Xen.Tests;

/// <summary>Reboots: the domain's number changes, for a while there is no domain, and xl's monitor may not be there to make it again.</summary>
public sealed class RebootTests : XenDriverTest
{
    [Fact]
    public async Task Guest_that_reboots_by_itself_runs_all_along()
    {
        Gate gone = new();
        Xen.WhileGone = () => gone.PassAsync();
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        var first = Xen.Get(id).Number;
        Xen.End(first, 'r');
        await gone.ReachedAsync(Stop);
        Assert.Empty(Xen.Domains);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.Contains(await driver.Domains.ListAsync(Stop), status => status.Id == id && status.State == VmState.Running);

        gone.Open();
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Rebooted);
        Assert.NotEqual(first, Xen.Get(id).Number);

        // Nothing that was to be kept from the readers comes after it.
        await driver.Domains.PauseAsync(id, Stop);
        await events.ExpectAsync(DomainEventKind.Paused);
        Assert.Single(Xen.CallsOf("create"));
        Assert.Empty(Xen.CallsOf("destroy"));
    }

    [Fact]
    public async Task Domain_that_xl_is_building_again_is_not_shown_paused()
    {
        Gate half = new();
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.WhileBuilt = (_, token) => half.PassAsync(token);
        Xen.End(Xen.Get(id).Number, 'r');
        await half.ReachedAsync(Stop);
        Assert.Equal("--p---", Xen.Get(id).State);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        half.Open();
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Rebooted);
    }

    [Fact]
    public async Task Every_definition_of_a_running_guest_is_what_xl_builds_it_from_next()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        var id = await RunAsync(driver, definition);
        Assert.Empty(Xen.CallsOf("config-update"));
        var grown = definition with { Disks = [definition.Disks[0], Disk(1)] };
        await driver.Domains.DefineAsync(grown, Stop);
        await driver.Domains.DefineAsync(grown with { MaxCpus = 4 }, Stop);
        Assert.Equal(2, Xen.CallsOf("config-update").Count);
        Assert.Equal(await File.ReadAllTextAsync(ConfigurationOf(id), Stop), Xen.Get(id).Stored);

        await using var events = Watch(driver, id);
        Xen.End(Xen.Get(id).Number, 'r');
        await events.ExpectAsync(DomainEventKind.Rebooted);
        Assert.Equal(["xvda", "xvdb", "hdc"], Xen.Get(id).Configuration.Disks.Select(disk => disk.Vdev));
        Assert.Equal(4, Xen.Get(id).Configuration.MaxCpus);
    }

    [Fact]
    public async Task Destroy_while_there_is_no_domain_ends_the_monitor_so_that_none_comes_back()
    {
        Gate gone = new();
        Xen.WhileGone = () => gone.PassAsync();
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        var monitor = Xen.Get(id).Monitor!;
        Xen.End(Xen.Get(id).Number, 'r');
        await gone.ReachedAsync(Stop);

        await driver.Domains.DestroyAsync(id, Stop);
        Assert.False(monitor.IsAlive);
        gone.Open();
        await Xen.QuiesceAsync();
        Assert.Empty(Xen.Domains);
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.Null(await StateAsync(driver, id));
    }

    [Fact]
    public async Task Destroy_of_a_guest_that_ends_comes_after_the_end_of_its_monitor()
    {
        Gate cleanup = new();
        Xen.BeforeCleanup = () => cleanup.PassAsync();
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var monitor = Xen.Get(id).Monitor!;
        ConcurrentQueue<bool> alive = [];
        Xen.Before = (call, _) =>
        {
            if (call[0] == "destroy")
            {
                alive.Enqueue(monitor.IsAlive);
            }

            return Task.CompletedTask;
        };
        Xen.End(Xen.Get(id).Number, 'r');
        await cleanup.ReachedAsync(Stop);
        await driver.Domains.DestroyAsync(id, Stop);
        cleanup.Open();
        await Xen.QuiesceAsync();
        Assert.NotEmpty(alive);
        Assert.All(alive, Assert.False);
        Assert.Empty(Xen.Domains);
    }

    [Fact]
    public async Task Guest_without_a_monitor_that_powers_off_is_cleaned_up_after()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.KillMonitor(id);
        await driver.Domains.RequestShutdownAsync(id, Stop);
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.Empty(Xen.Domains);
    }

    [Fact]
    public async Task Guest_without_a_monitor_that_reboots_is_built_again()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.KillMonitor(id);
        Xen.End(Xen.Get(id).Number, 'r');
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Rebooted);
        Assert.True(Xen.Get(id).Monitor!.IsAlive);
        Assert.Equal(2, Xen.CallsOf("create").Count);
    }

    [Fact]
    public async Task Guest_without_a_monitor_is_built_again_when_its_old_QEMU_has_ended()
    {
        Xen.Guests.HasQemu = true;
        Xen.Guests.DoesQemuOutlive = true;
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        var old = Xen.Get(id).Qemu!;
        var wasAlive = false;
        Xen.Before = (call, _) =>
        {
            wasAlive |= call[0] == "create" && old.IsAlive;
            return Task.CompletedTask;
        };
        Xen.KillMonitor(id);
        Xen.End(Xen.Get(id).Number, 'r');
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Rebooted);
        Assert.False(wasAlive);
        Assert.True(Xen.Get(id).Qemu!.IsAlive);
    }

    [Fact]
    public async Task Guest_without_a_monitor_whose_old_domain_lingers_is_not_built_beside_it()
    {
        Xen.Guests.LeavesZombie = true;
        var driver = await StartDriverAsync(options => options.StopTimeout = TimeSpan.FromSeconds(2));
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.KillMonitor(id);
        Xen.End(Xen.Get(id).Number, 'r');
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.Single(Xen.CallsOf("create"));
        Xen.LetZombiesGo();
        await driver.Domains.StartAsync(id, Stop);
        await events.ExpectAsync(DomainEventKind.Started);
    }

    [Fact]
    public async Task Guest_that_counts_as_stopped_is_not_built_by_its_monitor_any_more()
    {
        Gate gone = new();
        Xen.WhileGone = () => gone.PassAsync();
        var driver = await StartDriverAsync(options => options.RebuildTimeout = TimeSpan.FromSeconds(3));
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        var monitor = Xen.Get(id).Monitor!;
        Xen.End(Xen.Get(id).Number, 'r');
        await gone.ReachedAsync(Stop);
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.False(monitor.IsAlive);
        gone.Open();
        await Xen.QuiesceAsync();
        Assert.Empty(Xen.Domains);
    }

    [Fact]
    public async Task Guest_that_its_monitor_builds_for_too_long_is_built_by_the_driver()
    {
        Gate half = new();
        var driver = await StartDriverAsync(options => options.RebuildTimeout = TimeSpan.FromSeconds(3));
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        var monitor = Xen.Get(id).Monitor!;
        Xen.WhileBuilt = async (_, token) =>
        {
            Xen.WhileBuilt = null;
            await half.PassAsync(token);
            throw new XlFailure(137, "");
        };
        Xen.End(Xen.Get(id).Number, 'r');
        await half.ReachedAsync(Stop);
        var unfinished = Xen.Get(id).Number;
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Rebooted);
        Assert.False(monitor.IsAlive);
        var again = Assert.Single(Xen.Domains);
        Assert.NotEqual(unfinished, again.Number);
        Assert.True(again.Monitor!.IsAlive);
        half.Open();
        await Xen.QuiesceAsync();
    }

    [Fact]
    public async Task Guest_that_ended_while_no_driver_looked_is_cleaned_up_after_or_built_again()
    {
        DomainId off, again;
        await using (var first = await StartDriverAsync())
        {
            off = await RunAsync(first, Define("off"));
            again = await RunAsync(first, Define("again"));
        }

        foreach (var (id, reason) in new[] { (off, '-'), (again, 'r') })
        {
            Xen.KillMonitor(id);
            Xen.End(Xen.Get(id).Number, reason);
        }

        var second = CreateDriver();
        await using var events = Watch(second, off);
        await second.StartAsync(Stop);
        await events.ExpectAsync(DomainEventKind.Stopped);
        await EventuallyAsync(() => Xen.Domains is [{ Reason: null, IsPaused: false } domain] && domain.Id == again, "the one that rebooted runs again, the other is gone");
        Assert.Equal(VmState.Running, await StateAsync(second, again));
    }

    [Fact]
    public async Task Reboot_of_a_guest_without_a_monitor_succeeds()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Xen.KillMonitor(id);
        Assert.True(await driver.Domains.RebootAsync(id, TimeSpan.FromHours(1), Stop));
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
    }

    [Fact]
    public async Task Verb_that_waits_for_a_reboot_does_not_hold_up_the_building()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        var id = await RunAsync(driver, definition);
        Xen.KillMonitor(id);
        Gate reaped = new();
        Xen.Before = (call, token) => call[0] == "destroy" ? reaped.PassAsync(token) : Task.CompletedTask;
        Xen.End(Xen.Get(id).Number, 'r');
        await reaped.ReachedAsync(Stop);

        // It has its turn once the new configuration lies there, and then waits for the guest to be back.
        var defining = driver.Domains.DefineAsync(definition with { MaxCpus = 5 }, Stop);
        await EventuallyAsync(() => File.ReadAllText(ConfigurationOf(id)).Contains("maxvcpus = 5", StringComparison.Ordinal), "the definition is stored");
        reaped.Open();
        await defining;
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.Equal(5, Xen.Get(id).Configuration.MaxCpus);
    }

    [Fact]
    public async Task Destroy_ends_the_building_of_a_guest_without_a_monitor()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.KillMonitor(id);
        Gate half = new();
        Xen.WhileBuilt = (_, token) => half.PassAsync(token);
        Xen.End(Xen.Get(id).Number, 'r');
        await half.ReachedAsync(Stop);
        await driver.Domains.DestroyAsync(id, Stop);
        half.Open();
        await Xen.QuiesceAsync();
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.Empty(Xen.Domains);
        Assert.Null(await StateAsync(driver, id));
    }

    [Fact]
    public async Task Destroy_before_the_building_of_a_guest_without_a_monitor_lets_none_begin()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.KillMonitor(id);
        Gate reaped = new();
        Xen.Before = (call, token) => call[0] == "destroy" ? reaped.PassAsync(token) : Task.CompletedTask;
        Xen.End(Xen.Get(id).Number, 'r');
        await reaped.ReachedAsync(Stop);
        var destroying = driver.Domains.DestroyAsync(id, Stop);
        await EventuallyAsync(() => Xen.CallsOf("destroy").Count == 2, "both are about to destroy it");
        reaped.Open();
        await destroying;
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
        Assert.Empty(Xen.Domains);
        Assert.Single(Xen.CallsOf("create"));
    }

    [Fact]
    public async Task Reboot_that_the_guest_ignores_is_told_and_one_that_it_missed_is_asked_again()
    {
        Xen.Guests.Obeys = false;
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        Assert.False(await driver.Domains.RebootAsync(id, TimeSpan.FromSeconds(3), Stop));
        Assert.Equal(VmState.Running, await StateAsync(driver, id));

        var asked = 0;
        Xen.Heard = _ => Xen.Guests.Obeys = Interlocked.Increment(ref asked) >= 3;
        Assert.True(await driver.Domains.RebootAsync(id, TimeSpan.FromHours(1), Stop));
        Assert.True(asked >= 3);
    }

    [Fact]
    public async Task Reboot_of_a_paused_guest_is_refused()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        await driver.Domains.PauseAsync(id, Stop);
        await Assert.ThrowsAsync<WrongStateException>(() => driver.Domains.RebootAsync(id, TimeSpan.FromHours(1), Stop));
    }

    [Fact]
    public async Task Reboot_whose_old_domain_lingers_goes_on_with_the_new_one()
    {
        // Two domains of one UUID: the zombie, and the guest.
        Xen.Guests.LeavesZombie = true;
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        var id = await RunAsync(driver, definition);
        Xen.End(Xen.Get(id).Number, 'r');
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Rebooted);
        Assert.Equal(["--psrd", "-b----"], Xen.Domains.Select(domain => domain.State));
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        await driver.Domains.PauseAsync(id, Stop);
        Assert.Equal(Number(Xen.Get(id).Number), Xen.CallsOf("pause")[^1][1]);
        Assert.Equal(VmState.Paused, await StateAsync(driver, id));
    }
}
