using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>Against a real QEMU without a machine: what it says is the specification.</summary>
public sealed class QemuMonitorTests : IAsyncLifetime
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);
    private readonly RealMonitor _monitor = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => _monitor.DisposeAsync();

    [Fact]
    public async Task The_greeting_tells_version_and_abilities()
    {
        await using QmpClient client = await StartAsync();

        Assert.InRange(client.Greeting.Version.Qemu.Major, 5, 99);
        Assert.Contains("oob", client.Greeting.Capabilities);
        Assert.Equal(QmpConnectionState.Ready, client.State);
        Assert.Equal(client.Greeting.Version, await client.ExecuteAsync(QmpCommands.QueryVersion, Stop));
    }

    [Fact]
    public async Task Typed_commands_read_what_qemu_says()
    {
        await using QmpClient client = await StartAsync("-name", "probe", "-uuid", "6f3b2c1a-0000-4000-8000-0123456789ab");

        Assert.Equal("probe", (await client.ExecuteAsync(QmpCommands.QueryName, Stop)).Name);
        Assert.Equal(Guid.Parse("6f3b2c1a-0000-4000-8000-0123456789ab"), (await client.ExecuteAsync(QmpCommands.QueryUuid, Stop)).Uuid);
        Assert.False((await client.ExecuteAsync(QmpCommands.QueryKvm, Stop)).Enabled);
        QmpStatus status = await client.ExecuteAsync(QmpCommands.QueryStatus, Stop);
        Assert.True(status.Running);
        Assert.Equal(QmpRunState.Running, status.Status);

        using QmpEventSubscription events = client.Subscribe(QmpEventFilter.Named(QmpEventNames.Stop, QmpEventNames.Resume));
        await client.ExecuteAsync(QmpCommands.Stop, Stop);
        Assert.Equal(QmpRunState.Paused, (await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Status);
        await client.ExecuteAsync(QmpCommands.Cont, Stop);
        Assert.Equal([QmpEventNames.Stop, QmpEventNames.Resume], await TakeAsync(events, 2));

        await client.ExecuteAsync(QmpCommands.SetAction, new QmpActions { Shutdown = "pause" }, Stop);
        await client.ExecuteAsync(QmpCommands.ObjectAdd, QmpArguments.Create(new JsonObject { ["qom-type"] = "secret", ["id"] = "s0", ["data"] = "zürich🦀" }), Stop);
        Assert.Contains(await client.ExecuteAsync(QmpCommands.QomList, new QmpObjectPath { Path = "/objects" }, Stop), property => property.Name == "s0");
        Assert.Equal("secret", (await client.ExecuteAsync(QmpCommands.QomGet, new QmpObjectProperty { Path = "/objects/s0", Property = "type" }, Stop)).GetString());
        await client.ExecuteAsync(QmpCommands.ObjectDel, new QmpDeviceId { Id = "s0" }, Stop);

        await client.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(new JsonObject { ["driver"] = "null-co", ["node-name"] = "n0", ["size"] = 1 << 20 }), Stop);
        QmpBlockNode node = Assert.Single(await client.ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new QmpNamedNodesQuery { Flat = true }, Stop));
        Assert.Equal(("n0", "null-co", 1L << 20), (node.NodeName, node.Driver, node.Image.VirtualSize));
        Assert.Equal("n0", Assert.Single(await client.ExecuteAsync(QmpCommands.QueryBlockStats, new QmpBlockStatsQuery { QueryNodes = true }, Stop)).NodeName);
        Assert.Empty(await client.ExecuteAsync(QmpCommands.QueryBlock, Stop));
        await client.ExecuteAsync(QmpCommands.BlockdevDel, new QmpNodeName { NodeName = "n0" }, Stop);

        Assert.Contains("running", await client.ExecuteAsync(QmpCommands.HumanMonitorCommand, new QmpMonitorLine { CommandLine = "info status" }, Stop), StringComparison.Ordinal);
        JsonElement schema = await client.ExecuteRawAsync("query-qmp-schema", cancellationToken: Stop);
        Assert.InRange(schema.GetArrayLength(), 300, 5000);
    }

    [Fact]
    public async Task A_machine_with_devices_answers_the_device_commands()
    {
        await using QmpClient client = await _monitor.StartAsync(
            "q35",
            "-S", "-m", "128", "-smp", "1,maxcpus=2", "-vnc", $"unix:{Path.Combine(_monitor.Directory, "vnc")},password=on",
            "-device", "virtio-balloon-pci", "-device", "pcie-root-port,id=port0");

        Assert.Equal(QmpRunState.PreLaunch, (await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Status);
        Assert.Single(await client.ExecuteAsync(QmpCommands.QueryCpusFast, Stop));
        IReadOnlyList<QmpHotpluggableCpu> places = await client.ExecuteAsync(QmpCommands.QueryHotpluggableCpus, Stop);
        QmpHotpluggableCpu free = Assert.Single(places, place => place.QomPath is null);
        JsonObject cpu = new() { ["driver"] = free.Type, ["id"] = "cpu1" };
        foreach ((string property, long value) in free.Props)
        {
            cpu[property] = value;
        }

        await client.ExecuteAsync(QmpCommands.DeviceAdd, QmpArguments.Create(cpu), Stop);
        Assert.Equal(2, (await client.ExecuteAsync(QmpCommands.QueryCpusFast, Stop)).Count);

        Assert.Equal(128L << 20, (await client.ExecuteAsync(QmpCommands.QueryMemorySizeSummary, Stop)).BaseMemory);
        Assert.Equal(128L << 20, (await client.ExecuteAsync(QmpCommands.QueryBalloon, Stop)).Actual);
        await client.ExecuteAsync(QmpCommands.Balloon, new QmpBalloonTarget { Value = 96 << 20 }, Stop);
        Assert.Empty(await client.ExecuteAsync(QmpCommands.QueryMemoryDevices, Stop));

        QmpVnc vnc = await client.ExecuteAsync(QmpCommands.QueryVnc, Stop);
        Assert.True(vnc.Enabled);
        Assert.Equal("unix", vnc.Family);
        await client.ExecuteAsync(QmpCommands.SetPassword, new QmpPassword { Protocol = "vnc", Password = "sesame" }, Stop);
        await client.ExecuteAsync(QmpCommands.ExpirePassword, new QmpPasswordExpiry { Protocol = "vnc", Time = "never" }, Stop);

        await client.ExecuteAsync(QmpCommands.NetdevAdd, QmpArguments.Create(new JsonObject { ["type"] = "user", ["id"] = "net0", ["restrict"] = true }), Stop);
        await client.ExecuteAsync(QmpCommands.NetdevDel, new QmpDeviceId { Id = "net0" }, Stop);
        await client.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(new JsonObject { ["driver"] = "null-co", ["node-name"] = "n0", ["size"] = 1 << 20, ["read-zeroes"] = true }), Stop);
        await client.ExecuteAsync(QmpCommands.DeviceAdd, QmpArguments.Create(new JsonObject { ["driver"] = "virtio-blk-pci", ["id"] = "disk0", ["drive"] = "n0", ["bus"] = "port0" }), Stop);
        QmpBlockDevice disk = Assert.Single(await client.ExecuteAsync(QmpCommands.QueryBlock, Stop), device => device.Qdev?.Contains("disk0", StringComparison.Ordinal) == true);
        Assert.Equal("n0", disk.Inserted?.NodeName);
        Assert.Contains(await client.ExecuteAsync(QmpCommands.QueryBlockStats, new QmpBlockStatsQuery(), Stop), stats => stats.NodeName == "n0");
        await client.ExecuteAsync(QmpCommands.SystemPowerdown, Stop);
        await client.ExecuteAsync(QmpCommands.SendKey, new QmpKeys { Keys = [new QmpKey("ctrl"), new QmpKey("alt"), new QmpKey("delete")] }, Stop);
        await client.ExecuteAsync(QmpCommands.DeviceDel, new QmpDeviceId { Id = "disk0" }, Stop);
        await client.ExecuteAsync(QmpCommands.SystemReset, Stop);
        JsonElement type = await client.ExecuteAsync(QmpCommands.QomGet, new QmpObjectProperty { Path = "/machine", Property = "type" }, Stop);
        Assert.Contains("q35", type.GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_refusal_carries_qemus_own_words_and_the_session_goes_on()
    {
        await using QmpClient client = await StartAsync();

        QmpCommandException unknown = await Assert.ThrowsAsync<QmpCommandException>(() => client.ExecuteRawAsync("no-such-command", cancellationToken: Stop));
        Assert.Equal(QmpErrorClass.CommandNotFound, unknown.Class);
        Assert.Equal("no-such-command", unknown.Command);
        Assert.Contains("no-such-command", unknown.Description, StringComparison.Ordinal);

        QmpCommandException missing = await Assert.ThrowsAsync<QmpCommandException>(
            () => client.ExecuteAsync(QmpCommands.DeviceDel, new QmpDeviceId { Id = "ghost" }, Stop));
        Assert.Equal(QmpErrorClass.DeviceNotFound, missing.Class);
        Assert.Contains("Device 'ghost' not found", missing.Message, StringComparison.Ordinal);
        Assert.True((await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Running);
    }

    [Theory]
    [InlineData("\0")]
    [InlineData("a\\\0b")]
    public async Task Text_that_would_end_the_session_is_refused_before_it_is_sent(string id)
    {
        await using QmpClient client = await StartAsync();

        await Assert.ThrowsAsync<ArgumentException>(() => client.ExecuteAsync(QmpCommands.DeviceDel, new QmpDeviceId { Id = id }, Stop));

        Assert.Equal(QmpConnectionState.Ready, client.State);
        Assert.True((await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Running);
    }

    [Theory]
    [InlineData("\\u0000")]
    [InlineData("\ud800 half a pair")]
    [InlineData("quote\" newline\n tab\t \u2028 \u001f")]
    public async Task Hostile_text_is_only_text(string id)
    {
        await using QmpClient client = await StartAsync();

        QmpCommandException missing = await Assert.ThrowsAsync<QmpCommandException>(
            () => client.ExecuteAsync(QmpCommands.DeviceDel, new QmpDeviceId { Id = id }, Stop));

        Assert.Equal(QmpErrorClass.DeviceNotFound, missing.Class);
        Assert.True((await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Running);
    }

    [Fact]
    public async Task Quit_is_answered_and_ends_the_session_cleanly()
    {
        await using QmpClient client = await StartAsync();
        using QmpEventSubscription events = client.Subscribe();

        await client.ExecuteAsync(QmpCommands.Quit, Stop);

        await client.Completion.WaitAsync(s_limit, Stop);
        Assert.Equal(QmpConnectionState.Closed, client.State);
        Assert.Equal([QmpEventNames.Shutdown], await TakeAsync(events, 1));
    }

    [Fact]
    public async Task A_killed_qemu_fails_every_waiter_at_once()
    {
        await using QmpClient client = await StartAsync();
        _monitor.Signal("STOP");
        Task[] waiting = [.. Enumerable.Range(0, 20).Select(_ => (Task)client.ExecuteAsync(QmpCommands.QueryStatus, Stop))];
        long started = Stopwatch.GetTimestamp();

        _monitor.Signal("KILL");

        foreach (Task task in waiting)
        {
            await Assert.ThrowsAsync<QmpDisconnectedException>(() => task.WaitAsync(s_limit, Stop));
        }

        await Assert.ThrowsAsync<QmpDisconnectedException>(() => client.Completion);
        Assert.InRange(Stopwatch.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(10));
        await Assert.ThrowsAsync<QmpDisconnectedException>(() => client.ExecuteAsync(QmpCommands.QueryStatus, Stop));
    }

    [Fact]
    public async Task Two_thousand_pipelined_commands_are_carried_out_in_order()
    {
        const int Count = 2000;
        await using QmpClient client = await StartAsync();

        // Each asks for a command of its own name, which QEMU repeats in its refusal: a reply that went astray would show.
        List<Task<QmpCommandException>> replies = [];
        List<int> order = [];
        for (int i = 0; i < Count; i++)
        {
            int number = i;
            Task<JsonElement> command = client.ExecuteRawAsync($"no-{i}", cancellationToken: Stop);
            _ = command.ContinueWith(
                _ =>
                {
                    lock (order)
                    {
                        order.Add(number);
                    }
                },
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
            replies.Add(Assert.ThrowsAsync<QmpCommandException>(() => command));
        }

        QmpCommandException[] refusals = await Task.WhenAll(replies).WaitAsync(s_limit, Stop);

        for (int i = 0; i < Count; i++)
        {
            Assert.Contains($"no-{i} ", refusals[i].Description, StringComparison.Ordinal);
        }

        // And the effects come in order: QEMU stops and runs on in turns only if no two commands changed places.
        using QmpEventSubscription events = client.Subscribe(QmpEventFilter.Named(QmpEventNames.Stop, QmpEventNames.Resume));
        Task last = Task.CompletedTask;
        for (int i = 0; i < 100; i++)
        {
            _ = client.ExecuteAsync(QmpCommands.Stop, Stop);
            last = client.ExecuteAsync(QmpCommands.Cont, Stop);
        }

        await last.WaitAsync(s_limit, Stop);
        List<string> names = await TakeAsync(events, 200);
        Assert.Equal(Enumerable.Range(0, 200).Select(i => i % 2 == 0 ? QmpEventNames.Stop : QmpEventNames.Resume), names);
    }

    [Fact]
    public async Task A_second_client_is_told_that_the_monitor_is_taken()
    {
        await using QmpClient first = await StartAsync();

        QmpTimeoutException timeout = await Assert.ThrowsAsync<QmpTimeoutException>(
            () => QmpClient.ConnectAsync(_monitor.SocketPath, new QmpClientOptions { GreetingTimeout = TimeSpan.FromMilliseconds(200) }, Stop));

        Assert.Contains("one client at a time", timeout.Message, StringComparison.Ordinal);
        Assert.False(timeout.IsOutcomeUnknown);
    }

    [Fact]
    public async Task A_full_backlog_is_waited_for_and_then_reported()
    {
        await using QmpClient first = await StartAsync();
        QmpClientOptions hasty = new() { GreetingTimeout = TimeSpan.FromSeconds(30), ConnectTimeout = TimeSpan.FromMilliseconds(300) };
        using CancellationTokenSource giveUp = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        Task<QmpClient>[] waiting = [.. Enumerable.Range(0, 2).Select(_ => QmpClient.ConnectAsync(_monitor.SocketPath, hasty, giveUp.Token))];

        QmpConnectException refused = await Assert.ThrowsAsync<QmpConnectException>(() => QmpClient.ConnectAsync(_monitor.SocketPath, hasty, Stop));

        Assert.True(refused.IsTransient);
        await giveUp.CancelAsync();
        foreach (Task<QmpClient> task in waiting)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
        }
    }

    private static async Task<List<string>> TakeAsync(QmpEventSubscription events, int count)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        limit.CancelAfter(s_limit);
        List<string> names = [];
        await foreach (QmpEvent qmpEvent in events.WithCancellation(limit.Token))
        {
            names.Add(qmpEvent.Name);
            if (names.Count == count)
            {
                break;
            }
        }

        return names;
    }

    private Task<QmpClient> StartAsync(params string[] arguments) => _monitor.StartAsync("none", arguments);
}
