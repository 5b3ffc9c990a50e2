using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>A connection that breaks and is made again.</summary>
public sealed class ReconnectTests : FakeDaemonTest
{
    private static readonly TimeSpan s_delay = TimeSpan.FromSeconds(1);

    [Fact]
    public async Task Calls_fail_at_once_while_it_is_away_and_work_again_after()
    {
        Server.Write("/a", "1");
        await using var client = await ConnectAsync(Reconnecting);
        Server.Fault = _ => FakeXenstoreFault.Silence;
        var open = client.FindAsync("/a", Stop).AsTask();
        await Server.StopAsync();
        await FailsAsync<XenstoreDisconnectedException>(open);
        Server.Fault = null;
        Assert.Equal(XenstoreConnectionState.Reconnecting, client.State);
        Assert.True((await FailsAsync<XenstoreDisconnectedException>(client.FindAsync("/a", Stop).AsTask())).IsTransient);

        // The first attempts meet nobody.
        await AdvanceUntilAsync(() => Clock.GetUtcNow() > new DateTimeOffset(2026, 1, 1, 0, 0, 5, TimeSpan.Zero), "five seconds passed");
        Assert.Equal(XenstoreConnectionState.Reconnecting, client.State);
        await Server.RestartAsync();
        await AdvanceUntilAsync(() => client.State == XenstoreConnectionState.Connected, "it is connected again");
        Assert.Equal("1", await client.FindTextAsync("/a", Stop));
        Assert.False(client.Completion.IsCompleted);
    }

    [Fact]
    public async Task Every_watch_gets_its_gap_and_goes_on_and_an_ended_one_does_not_come_back()
    {
        await using var client = await ConnectAsync(Reconnecting);
        var ended = await client.WatchAsync("/ended", cancellationToken: Stop);
        XenstoreWatch[] watches = [await client.WatchAsync("/a", cancellationToken: Stop), await client.WatchAsync("/b", cancellationToken: Stop)];
        foreach (var watch in watches)
        {
            Assert.Equal(XenstoreWatchEventKind.Changed, (await NextAsync(watch)).Kind);
        }

        for (var loss = 1; loss <= 2; loss++)
        {
            Server.DisconnectAll();
            await EventuallyAsync(() => client.State == XenstoreConnectionState.Reconnecting, "the loss was noticed");
            await ended.DisposeAsync();
            Server.Write("/a", $"unseen {loss}");
            await AdvanceUntilAsync(() => client.State == XenstoreConnectionState.Connected, "it is connected again");
            foreach (var watch in watches)
            {
                Assert.Equal(new XenstoreWatchEvent(XenstoreWatchEventKind.Gap, watch.Path), await NextAsync(watch));
                Assert.Equal(new XenstoreWatchEvent(XenstoreWatchEventKind.Changed, watch.Path), await NextAsync(watch));
                Assert.Equal(loss, watch.Gaps);
            }

            Server.Write("/b", $"seen {loss}");
            Assert.Equal(new XenstoreWatchEvent(XenstoreWatchEventKind.Changed, "/b"), await NextAsync(watches[1]));
            Assert.Equal(2, Server.Watches);
        }

        Assert.False(watches[0].TryRead(out _));
    }

    [Fact]
    public async Task A_watch_that_the_daemon_refuses_now_ends_with_the_reason()
    {
        await using var client = await ConnectAsync(Reconnecting);
        await using var good = await client.WatchAsync("/good", cancellationToken: Stop);
        await using var bad = await client.WatchAsync("/bad", cancellationToken: Stop);
        await NextAsync(good);
        await NextAsync(bad);
        Server.Fault = request => request.Type == FakeXenstoreType.Watch && request.Path == "/bad" ? FakeXenstoreFault.Refuse("ENOSPC") : null;
        Server.DisconnectAll();
        await AdvanceUntilAsync(() => Server.Watches == 1, "the good watch is back");
        Assert.Equal(XenstoreWatchEventKind.Gap, (await NextAsync(good)).Kind);
        Assert.Equal(XenstoreWatchEventKind.Gap, (await NextAsync(bad)).Kind);
        Assert.Equal(XenstoreError.ENOSPC, (await FailsAsync<XenstoreRefusedException>(bad.WaitToReadAsync(Stop).AsTask())).Error);
    }

    [Fact]
    public async Task A_transaction_does_not_outlive_its_connection()
    {
        await using var client = await ConnectAsync(Reconnecting);
        await FailsAsync<XenstoreDisconnectedException>(client.TransactAsync(
            async (transaction, token) =>
            {
                await transaction.WriteAsync("/a", "never", token);
                Server.DisconnectAll();
                await AdvanceUntilAsync(() => client.State == XenstoreConnectionState.Reconnecting, "the loss was noticed");
                await AdvanceUntilAsync(() => client.State == XenstoreConnectionState.Connected, "it is connected again");

                // On the new connection, where another transaction may have this one's number.
                await transaction.WriteAsync("/a", "never", token);
            },
            Stop));
        Assert.Null(Server.Read("/a"));
    }

    [Fact]
    public async Task It_gives_up_after_the_allowed_attempts()
    {
        await using var client = await ConnectAsync(options =>
        {
            Reconnecting(options);
            options.Reconnect!.MaxAttempts = 3;
        });
        await using var watch = await client.WatchAsync("/a", cancellationToken: Stop);
        await NextAsync(watch);
        await Server.StopAsync();
        await AdvanceUntilAsync(() => client.Completion.IsCompleted, "it gave up");
        Assert.Contains(SocketPath, (await FailsAsync<XenstoreConnectException>(client.Completion)).Message, StringComparison.Ordinal);
        await FailsAsync<XenstoreConnectException>(watch.WaitToReadAsync(Stop).AsTask());
        Assert.Equal(XenstoreConnectionState.Closed, client.State);
    }

    [Fact]
    public async Task Closing_ends_the_attempts()
    {
        var client = await ConnectAsync(Reconnecting);
        await Server.StopAsync();
        await EventuallyAsync(() => client.State == XenstoreConnectionState.Reconnecting, "the loss was noticed");
        await client.DisposeAsync().AsTask().WaitAsync(Limit, Stop);
        await client.Completion.WaitAsync(Limit, Stop);
    }

    private static void Reconnecting(XenstoreClientOptions options) => options.Reconnect = new XenstoreReconnectOptions { FirstDelay = s_delay, LongestDelay = s_delay };

    private Task AdvanceUntilAsync(Func<bool> condition, string what) => EventuallyAsync(
        () =>
        {
            if (condition())
            {
                return true;
            }

            Clock.Advance(s_delay / 4);
            return false;
        },
        what);
}
