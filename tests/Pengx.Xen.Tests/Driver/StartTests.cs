namespace Pengx.Xen.Tests;

/// <summary>What can go wrong when a guest is started, and what its start leaves on the host.</summary>
public sealed class StartTests : XenDriverTest
{
    [Fact]
    public async Task What_was_read_while_a_domain_was_half_built_is_not_shown_when_it_is_whole()
    {
        TaskCompletionSource read = new(TaskCreationOptions.RunContinuationsAsynchronously), built = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        Xen.WhileBuilt = (_, token) => read.Task.WaitAsync(token);
        Xen.After = async (arguments, token) =>
        {
            if (arguments[0] == "create")
            {
                built.SetResult();
            }
            else if (arguments[0] == "list" && !built.Task.IsCompleted && Xen.Find(definition.Id) is { IsPaused: true })
            {
                // Told when the start goes on after its xl.
                read.TrySetResult();
                await built.Task.WaitAsync(token);
                await Task.Delay(200, token);
            }
        };
        var id = await RunAsync(driver, definition);
        await driver.Domains.DestroyAsync(id, Stop);

        Assert.True(read.Task.IsCompleted);
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
    }

    [Fact]
    public async Task Configuration_is_for_the_owner_alone_and_the_password_on_no_command_line()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(ConfigurationOf(definition.Id)));
        Assert.Contains("secret42", await File.ReadAllTextAsync(ConfigurationOf(definition.Id), Stop), StringComparison.Ordinal);

        await driver.Domains.StartAsync(definition.Id, Stop);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(ConfigurationOf(definition.Id)));
        Assert.DoesNotContain(Xen.Calls, call => call.Any(argument => argument.Contains("secret42", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Half_built_domain_is_not_shown()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await using var events = Watch(driver, definition.Id);
        Gate half = new();
        Xen.WhileBuilt = (_, token) => half.PassAsync(token);
        await driver.Domains.DefineAsync(definition, Stop);
        var starting = driver.Domains.StartAsync(definition.Id, Stop);
        await half.ReachedAsync(Stop);
        Assert.Equal("--p---", Xen.Get(definition.Id).State);
        Assert.Null(await StateAsync(driver, definition.Id));
        Assert.Empty(await driver.Domains.ListAsync(Stop));

        half.Open();
        await starting;
        Assert.Equal(VmState.Running, await StateAsync(driver, definition.Id));
        await driver.Domains.DestroyAsync(definition.Id, Stop);
        await events.ExpectAsync(DomainEventKind.Started, DomainEventKind.Stopped);
    }

    [Fact]
    public async Task Start_that_fails_halfway_leaves_no_domain_no_QEMU_and_no_socket()
    {
        Xen.Guests.HasQemu = true;
        Xen.Guests.DoesQemuOutlive = true;
        StandInProcess? qemu = null;
        Xen.WhileBuilt = (domain, _) =>
        {
            qemu = domain.Qemu;
            throw new XlFailure(3, $"libxl: error: libxl_exec.c:240:dm_startup: Domain {domain.Number}:device model did not start: -3\n");
        };
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);

        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.StartAsync(definition.Id, Stop));
        Assert.Contains("device model did not start", error.Message, StringComparison.Ordinal);
        Assert.Empty(Xen.Domains);
        Assert.False(qemu!.IsAlive);
        Assert.False(File.Exists(SocketOf(definition.Id)));
        Assert.Null(await StateAsync(driver, definition.Id));
    }

    [Fact]
    public async Task Cancelled_start_leaves_nothing_and_can_be_repeated()
    {
        Xen.Guests.HasQemu = true;
        Gate half = new();
        Xen.WhileBuilt = (_, token) => half.PassAsync(token);
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var starting = driver.Domains.StartAsync(definition.Id, cancel.Token);
        await half.ReachedAsync(Stop);
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);
        Assert.Empty(Xen.Domains);
        Assert.False(File.Exists(SocketOf(definition.Id)));
        half.Open();
        await driver.Domains.StartAsync(definition.Id, Stop);
        Assert.Equal(VmState.Running, await StateAsync(driver, definition.Id));
    }

    [Fact]
    public async Task Destroy_ends_a_start_that_hangs_and_its_QEMU()
    {
        Xen.Guests.HasQemu = true;
        Xen.Guests.DoesQemuOutlive = true;
        Gate half = new();
        StandInProcess? qemu = null;
        Xen.WhileBuilt = (domain, token) =>
        {
            qemu = domain.Qemu;
            return half.PassAsync(token);
        };
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);
        var starting = driver.Domains.StartAsync(definition.Id, Stop);
        await half.ReachedAsync(Stop);

        await driver.Domains.DestroyAsync(definition.Id, Stop);
        var error = await Assert.ThrowsAsync<HypervisorException>(() => starting);
        Assert.Contains("destroyed during start", error.Message, StringComparison.Ordinal);
        Assert.Empty(Xen.Domains);
        Assert.False(qemu!.IsAlive);
    }

    [Fact]
    public async Task Name_that_another_domain_has_becomes_one_of_the_UUID_and_stays_it_through_changes_and_reboots()
    {
        Xen.AddForeign(DomainId.New(), "web");
        var driver = await StartDriverAsync();
        var definition = Define("web");
        var id = await RunAsync(driver, definition);
        Assert.Equal($"vm-{id}", Xen.Get(id).Name);

        // What xl would build it from at its reboot must not take the name either: xl would refuse, and the guest be gone.
        await using var events = Watch(driver, id);
        await driver.Domains.DefineAsync(definition with { MaxCpus = 3 }, Stop);
        Xen.End(Xen.Get(id).Number, 'r');
        await events.ExpectAsync(DomainEventKind.Rebooted);
        Assert.Equal($"vm-{id}", Xen.Get(id).Name);
        Assert.Equal(3, Xen.Get(id).Configuration.MaxCpus);
    }

    [Theory]
    [InlineData("12")]
    [InlineData("two words")]
    [InlineData("x;reboot")]
    [InlineData("$(reboot)")]
    [InlineData("Domain-0")]
    [InlineData("--help")]
    [InlineData("web--incoming")]
    [InlineData("(null)")]
    [InlineData("wörk")]
    [InlineData("a,b=c\"'\\")]
    public async Task Name_that_xl_or_its_scripts_would_misread_stays_out_of_Xen(string name)
    {
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define(name));
        Assert.Equal($"vm-{id}", Xen.Get(id).Name);
        await driver.Domains.RenameAsync(id, "harmless", Stop);
        Assert.Equal("harmless", Xen.Get(id).Name);
        await driver.Domains.RenameAsync(id, name, Stop);
        Assert.Equal($"vm-{id}", Xen.Get(id).Name);
    }

    [Fact]
    public async Task Rename_to_a_name_that_is_taken_takes_the_UUIDs()
    {
        Xen.AddForeign(DomainId.New(), "taken");
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        await driver.Domains.RenameAsync(id, "taken", Stop);
        Assert.Equal($"vm-{id}", Xen.Get(id).Name);
    }

    [Fact]
    public async Task Want_of_memory_is_told_with_figures_after_Xen_had_time_to_scrub()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);
        for (var count = 0; count < 10_000; count++)
        {
            Xen.FreeMemoryTold.Enqueue(10);
        }

        var looks = Xen.CallsOf("info").Count;
        var error = await Assert.ThrowsAsync<InsufficientResourceException>(() => driver.Domains.StartAsync(definition.Id, Stop));
        Assert.Contains("88 MiB", error.Message, StringComparison.Ordinal);
        Assert.Contains("64 for the guest, 24 for Xen", error.Message, StringComparison.Ordinal);
        Assert.Contains("10 MiB free", error.Message, StringComparison.Ordinal);
        Assert.True(Xen.CallsOf("info").Count - looks > 1);
        Assert.Empty(Xen.CallsOf("create"));
    }

    [Fact]
    public async Task Memory_that_is_still_scrubbed_is_waited_for()
    {
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);
        Xen.FreeMemoryTold.Enqueue(10);
        Xen.FreeMemoryTold.Enqueue(87);
        await driver.Domains.StartAsync(definition.Id, Stop);
        Assert.Equal(VmState.Running, await StateAsync(driver, definition.Id));
        Assert.Empty(Xen.FreeMemoryTold);
    }

    [Fact]
    public async Task Memory_that_is_gone_when_xl_takes_it_is_a_want_too()
    {
        // The recorded error of a host that has none.
        var recorded = Recorded.Read("xl/042");
        Xen.Instead = call => call[0] == "create" ? (recorded.ExitCode, recorded.Error) : null;
        var driver = await StartDriverAsync();
        var definition = Define();
        await driver.Domains.DefineAsync(definition, Stop);
        var error = await Assert.ThrowsAsync<InsufficientResourceException>(() => driver.Domains.StartAsync(definition.Id, Stop));
        Assert.Contains("Out of memory", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Missing_switch_is_told_before_xl_is_run()
    {
        var driver = await StartDriverAsync();
        var definition = Define() with { Nics = [new() { Mac = MacAddress.NewXen(), Switch = "nobridge9" }] };
        await driver.Domains.DefineAsync(definition, Stop);
        var error = await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.StartAsync(definition.Id, Stop));
        Assert.Contains("nobridge9", error.Message, StringComparison.Ordinal);
        Assert.Empty(Xen.CallsOf("create"));
    }

    [Fact]
    public async Task Monitor_of_an_earlier_start_and_a_QEMU_without_its_domain_are_ended_by_a_start()
    {
        Xen.Guests.HasQemu = true;
        Xen.Guests.DoesQemuOutlive = true;
        var driver = await StartDriverAsync();
        var id = await RunAsync(driver, Define());
        var qemu = Xen.Get(id).Qemu!;
        await driver.Domains.DestroyAsync(id, Stop);
        Assert.False(qemu.IsAlive);
        Assert.False(File.Exists(SocketOf(id)));
        await driver.Domains.StartAsync(id, Stop);
        Assert.Equal(VmState.Running, await StateAsync(driver, id));
    }
}
