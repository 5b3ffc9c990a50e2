using Microsoft.Extensions.Time.Testing;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>The host as a whole: many domains at once, others' domains, a xenstore that goes away, and what the host is advised of.</summary>
public sealed class HostTests : XenDriverTest
{
    [Fact]
    public async Task Fifty_domains_are_listed_by_one_process()
    {
        for (var number = 0; number < 50; number++)
        {
            Xen.AddForeign(DomainId.New(), $"other{number}");
        }

        var driver = await StartDriverAsync();
        var before = Xen.Calls.Count;
        Assert.Equal(50, (await driver.Domains.ListAsync(Stop)).Count);

        // One for the call; the two watches of the start may be told late.
        var calls = Xen.Calls.Skip(before).ToList();
        Assert.All(calls, call => Assert.Equal(["list", "-v"], call));
        Assert.InRange(calls.Count, 1, 3);
    }

    [Fact]
    public async Task Readers_at_the_same_time_share_a_process()
    {
        var driver = await StartDriverAsync();
        Gate held = new();
        Xen.Before = (call, token) => call[0] == "list" ? held.PassAsync(token) : Task.CompletedTask;
        var first = driver.Domains.ListAsync(Stop);
        await held.ReachedAsync(Stop);
        var before = Xen.CallsOf("list").Count;
        var more = Enumerable.Range(0, 200).Select(_ => driver.Domains.ListAsync(Stop)).ToList();
        held.Open();
        await first;
        await Task.WhenAll(more);

        // What the first reads may be older than their calls, so they share the next one; the two watches of the start may be told late.
        Assert.InRange(Xen.CallsOf("list").Count - before, 1, 4);
    }

    [Fact]
    public async Task Reading_is_never_older_than_the_call()
    {
        var driver = await StartDriverAsync();
        Gate held = new();
        var others = 0;
        Xen.Before = async (call, token) =>
        {
            if (call[0] == "list" && Interlocked.Increment(ref others) == 1)
            {
                await held.PassAsync(token);
            }
        };
        var first = driver.Domains.ListAsync(Stop);
        await held.ReachedAsync(Stop);
        var id = DomainId.New();
        Xen.AddForeign(id, "late");
        var second = driver.Domains.FindAsync(id, Stop);
        held.Open();
        await first;
        Assert.NotNull(await second);
    }

    [Fact]
    public async Task What_came_while_xenstore_was_away_is_told_when_it_is_back()
    {
        var driver = await StartDriverAsync();
        var id = DomainId.New();
        await using var events = Watch(driver, id);
        await Store.StopAsync();
        Xen.AddForeign(id, "unheard");
        await Store.RestartAsync();
        await events.ExpectAsync(DomainEventKind.Started);

        await Store.StopAsync();
        Xen.Vanish(id);
        await Store.RestartAsync();
        await events.ExpectAsync(DomainEventKind.Stopped);
    }

    [Fact]
    public async Task Verb_that_needs_xenstore_says_that_it_is_away_and_works_when_it_is_back()
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        await Store.StopAsync();
        var disk = Disk(1);
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Devices().PlugDiskAsync(id, disk, Stop));
        Assert.Contains("xenstore", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.RequestShutdownAsync(id, Stop));
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
        Assert.Empty(Xen.CallsOf("block-attach"));

        await Store.RestartAsync();
        await EventuallyAsync(IsBackAsync, "the driver is connected again");
        await driver.Devices().PlugDiskAsync(id, disk, Stop);
        Assert.Single(Xen.CallsOf("block-attach"));

        async Task<bool> IsBackAsync()
        {
            try
            {
                _ = await driver.Domains.FindVncAsync(id, Stop);
                return true;
            }
            catch (HypervisorException)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task Domain_of_somebody_else_is_seen_and_not_cleaned_up_after()
    {
        var driver = await StartDriverAsync();
        var id = DomainId.New();
        await using var events = Watch(driver, id);
        var domain = Xen.AddForeign(id, "other", isPaused: true);
        await events.ExpectAsync(DomainEventKind.Started);
        domain.IsPaused = false;
        await events.ExpectAsync(DomainEventKind.Resumed);
        Xen.End(domain.Number, '-');
        await events.ExpectAsync(DomainEventKind.Stopped);
        Assert.Empty(Xen.CallsOf("destroy"));
        Assert.Single(Xen.Domains);
    }

    [Fact]
    public async Task Xen_that_does_not_answer_is_unavailable_in_its_own_words()
    {
        var driver = await StartDriverAsync();
        Xen.Instead = call => call[0] == "list" ? (1, "libxl: error: libxl_domain.c:313:libxl_list_domain: getting domain info list: Permission denied\n") : null;
        var error = await Assert.ThrowsAsync<UnavailableException>(() => driver.Domains.ListAsync(Stop));
        Assert.Contains("Permission denied", error.Message, StringComparison.Ordinal);
        Xen.Instead = null;
        Assert.Empty(await driver.Domains.ListAsync(Stop));
    }

    [Fact]
    public async Task Missing_kind_of_guest_is_told_by_the_probe()
    {
        Requires.That(Environment.IsPrivilegedProcess, "root", "Xen is managed by root alone");
        Xen.Capabilities = "pv gnttab-v1";
        var driver = CreateDriver();
        var found = await driver.ProbeAsync(Stop);
        Assert.False(found.Usable);
        Assert.Contains("HVM", found.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Counters_are_of_the_guests_that_are_there()
    {
        var driver = await StartDriverAsync();
        await RunAsync(driver, Define("a"));
        var paused = await RunAsync(driver, Define("b"));
        await driver.Domains.PauseAsync(paused, Stop);
        var crashed = await RunAsync(driver, Define("c"));
        Xen.End(Xen.Get(crashed).Number, 'c');
        var counters = await driver.GetHostCountersAsync(Stop);
        Assert.Equal((2, 2, 128), (counters.Domains, counters.UsedCpus, counters.UsedMemory.MiB));
        Assert.Equal(100.0 * (6143 - (4032 - (3 * 64))) / 6143, counters.MemoryUtilization, 6);
    }

    [Fact]
    public async Task Stand_in_prints_what_the_real_xl_prints()
    {
        var real = Recorded.Read("xl/006").Output.Split('\n');
        var result = await Xen.RunAsync(XlCommand.List().ToProcess(), Stop);
        Assert.Equal(real[0], result.Output.Split('\n')[0]);
        Assert.Equal(real[1].Replace("55.5", "53.3", StringComparison.Ordinal), result.Output.Split('\n')[1]);
        Assert.Equal(Recorded.Read("xl/002").Output, (await Xen.RunAsync(XlCommand.Info().ToProcess(), Stop)).Output);
    }

    [Fact]
    public void Load_is_what_all_domains_used_since_the_last_look()
    {
        FakeTimeProvider clock = new();
        XenProcessorLoad load = new(clock);
        Assert.Equal(0, load.Take([Row(0, 10), Row(1, 5)], 4));

        // 2 + 1 and all of a new one's 1 second, of 4 processors' 10 seconds each.
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(10, load.Take([Row(0, 12), Row(1, 6), Row(2, 1)], 4), 6);

        // One that is gone takes nothing back.
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(5, load.Take([Row(0, 14)], 4), 6);
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(100, load.Take([Row(0, 1000)], 4), 6);

        static XlListEntry Row(int number, double seconds) => new("a", number, DataSize.FromMiB(1), 1, default, TimeSpan.FromSeconds(seconds));
    }

    [Fact]
    public void Host_that_is_set_up_well_is_advised_of_nothing() =>
        Assert.Empty(XenHostAdvice.Find("dom0_mem=2048M,max:2048M console=com1", Root("autoballoon=\"auto\"")));

    [Theory]
    [InlineData("etc/systemd/system/multi-user.target.wants/xendomains.service")]
    [InlineData("etc/rc2.d/S02xendomains")]
    public void Enabled_xendomains_is_advised_of(string file)
    {
        var root = Root("");
        Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(root, file))!);
        File.WriteAllText(Path.Combine(root, file), "");
        Assert.Contains("xendomains", Assert.Single(XenHostAdvice.Find("dom0_mem=2048M,max:2048M", root)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "console=com1", true)]
    [InlineData("autoballoon=\"auto\"", "console=com1", true)]
    [InlineData("autoballoon=\"on\"", "dom0_mem=2048M,max:2048M", true)]
    [InlineData("autoballoon = '1'", "dom0_mem=2048M,max:2048M", true)]
    [InlineData("#autoballoon=\"on\"\n", "dom0_mem=2048M,max:2048M", false)]
    [InlineData("autoballoon=\"off\"", "console=com1", false)]
    [InlineData("autoballoon=0", "console=com1", false)]
    public void Ballooning_of_the_control_domain_is_advised_of(string settings, string commandLine, bool isTold)
    {
        var advice = XenHostAdvice.Find(commandLine, Root(settings)).ToList();
        Assert.Equal(isTold, advice.Exists(text => text.Contains("autoballoon", StringComparison.Ordinal)));
    }

    private string Root(string settings)
    {
        var root = Folder.At("root");
        Directory.CreateDirectory(Path.Combine(root, "etc/xen"));
        File.WriteAllText(Path.Combine(root, "etc/xen/xl.conf"), settings);
        return root;
    }
}
