using System.Text.Json;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

public sealed class EventTests : QmpTest
{
    [Fact]
    public async Task A_subscription_is_live_when_the_call_returns()
    {
        await using QmpClient client = await ConnectAsync();
        using QmpEventSubscription first = client.Subscribe(QmpEventFilter.Named("NONE"));
        await Server.RaiseAsync("UNSEEN", cancellationToken: Stop);
        await SyncAsync(client);

        using QmpEventSubscription events = client.Subscribe();
        await Server.RaiseAsync("SEEN", """{"a": {"b": 1}}""", Stop);
        await SyncAsync(client);

        Assert.True(events.TryRead(out QmpEvent? qmpEvent));
        Assert.Equal("SEEN", qmpEvent.Name);
        Assert.Equal(1, qmpEvent.Data.GetProperty("a").GetProperty("b").GetInt32());
        Assert.Equal(new DateTimeOffset(2023, 11, 14, 22, 13, 20, 250, TimeSpan.Zero), qmpEvent.Timestamp);
        Assert.False(events.TryRead(out _));
        Assert.False(first.TryRead(out _));
    }

    [Fact]
    public async Task A_slow_reader_loses_the_oldest_and_holds_up_nobody()
    {
        await using QmpClient client = await ConnectAsync(options => options.EventQueueLength = 4);
        using QmpEventSubscription slow = client.Subscribe();
        using QmpEventSubscription picky = client.Subscribe(QmpEventFilter.Named("E9"));

        for (int i = 0; i < 10; i++)
        {
            await Server.RaiseAsync($"E{i}", cancellationToken: Stop);
        }

        await SyncAsync(client);
        Assert.Equal(6, slow.Dropped);
        Assert.Equal(["E6", "E7", "E8", "E9"], Drain(slow));
        Assert.Equal(0, picky.Dropped);
        Assert.Equal(["E9"], Drain(picky));
    }

    [Fact]
    public async Task A_disposed_subscription_ends_its_reader_after_what_had_come()
    {
        await using QmpClient client = await ConnectAsync();
        QmpEventSubscription events = client.Subscribe();
        await Server.RaiseAsync("A", cancellationToken: Stop);
        await SyncAsync(client);

        events.Dispose();
        await Server.RaiseAsync("B", cancellationToken: Stop);
        await SyncAsync(client);

        Assert.Equal(["A"], await ReadToEndAsync(events));
        events.Dispose();
    }

    [Fact]
    public async Task A_clean_end_ends_the_events_and_a_broken_one_says_why()
    {
        QmpClient closed = await ConnectAsync();
        QmpEventSubscription events = closed.Subscribe();
        await Server.RaiseAsync("A", cancellationToken: Stop);
        await SyncAsync(closed);
        await closed.DisposeAsync();
        Assert.Equal(["A"], await ReadToEndAsync(events));
        Assert.Empty(await ReadToEndAsync(closed.Subscribe()));

        await using FakeQmpServer server = FakeQmpServer.InMemory();
        Task<QmpClient> connecting = QmpClient.AttachAsync(server.ClientStream!, Options(), Stop);
        await server.NegotiateAsync(Stop);
        await using QmpClient broken = await connecting;
        await server.RaiseAsync("LAST", cancellationToken: Stop);
        await server.DisconnectAsync();
        await FailsAsync<QmpDisconnectedException>(broken.Completion);

        // What had come before the end is not lost with it.
        List<string> names = [];
        await Assert.ThrowsAsync<QmpDisconnectedException>(async () =>
        {
            await foreach (QmpEvent qmpEvent in broken.Subscribe().WithCancellation(Stop))
            {
                names.Add(qmpEvent.Name);
            }
        });
        Assert.Equal(["LAST"], names);
    }

    [Theory]
    [InlineData("""{"event": "X"}""")]
    [InlineData("""{"event": "X", "timestamp": {"seconds": -1, "microseconds": -1}}""")]
    [InlineData("""{"event": "X", "timestamp": {"seconds": 99999999999999, "microseconds": 0}}""")]
    [InlineData("""{"event": "X", "timestamp": 7}""")]
    [InlineData("""{"timestamp": {"seconds": "now", "else": {"seconds": 5}}, "event": "X", "new": [1]}""")]
    public async Task An_event_without_a_usable_time_or_data_gets_the_time_of_arrival(string line)
    {
        await using QmpClient client = await ConnectAsync();
        using QmpEventSubscription events = client.Subscribe();

        await Server.SendAsync(Stop, line);
        await SyncAsync(client);

        Assert.True(events.TryRead(out QmpEvent? qmpEvent));
        Assert.Equal(Clock.GetUtcNow(), qmpEvent.Timestamp);
        Assert.Equal(JsonValueKind.Object, qmpEvent.Data.ValueKind);
        Assert.False(qmpEvent.Data.TryGetProperty("device", out _));
    }

    [Fact]
    public async Task An_event_keeps_its_data_after_the_connection_is_gone()
    {
        QmpClient client = await ConnectAsync();
        using QmpEventSubscription events = client.Subscribe();
        await Server.RaiseAsync("A", """{"text": "kept"}""", Stop);
        await SyncAsync(client);
        await client.DisposeAsync();

        Assert.True(events.TryRead(out QmpEvent? qmpEvent));
        Assert.Equal("kept", qmpEvent.Data.GetProperty("text").GetString());
    }

    [Fact]
    public async Task Events_between_a_command_and_its_reply_are_only_events()
    {
        await using QmpClient client = await ConnectAsync();
        using QmpEventSubscription events = client.Subscribe();
        Task<JsonElement> stop = RawAsync(client, "stop");
        FakeQmpRequest request = await Server.ReceiveAsync(Stop);

        await Server.SendAsync(Stop, FakeQmpServer.Event("STOP"), FakeQmpServer.Event("X", """{"id": 2, "return": 1}"""), FakeQmpServer.Reply(request, "5"), FakeQmpServer.Event("RESUME"));

        Assert.Equal(5, (await stop.WaitAsync(Limit, Stop)).GetInt32());
        await SyncAsync(client);
        Assert.Equal(["STOP", "X", "RESUME"], Drain(events));
    }

    [Fact]
    public void A_filter_needs_a_name() => Assert.Throws<ArgumentOutOfRangeException>(() => QmpEventFilter.Named());

    private static List<string> Drain(QmpEventSubscription events)
    {
        List<string> names = [];
        while (events.TryRead(out QmpEvent? qmpEvent))
        {
            names.Add(qmpEvent.Name);
        }

        return names;
    }

    private static async Task<List<string>> ReadToEndAsync(QmpEventSubscription events)
    {
        List<string> names = [];
        await foreach (QmpEvent qmpEvent in events.WithCancellation(Stop))
        {
            names.Add(qmpEvent.Name);
        }

        return names;
    }

    /// <summary>A reply comes after everything that was sent before it: then all of that has been read.</summary>
    private async Task SyncAsync(QmpClient client)
    {
        Task<JsonElement> reply = RawAsync(client, "sync");
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), cancellationToken: Stop);
        await reply.WaitAsync(Limit, Stop);
    }
}
