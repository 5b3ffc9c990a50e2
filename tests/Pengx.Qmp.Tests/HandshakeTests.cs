using System.Text.Json;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

public sealed class HandshakeTests : QmpTest
{
    private static QmpCommand<QmpEmpty, QmpStatus> Status => QmpCommands.QueryStatus;

    [Theory]
    [InlineData(FakeQmpDelivery.Whole)]
    [InlineData(FakeQmpDelivery.ByteByByte)]
    public async Task A_greeted_client_is_ready_and_knows_its_peer(FakeQmpDelivery delivery)
    {
        Server.Delivery = delivery;
        await using QmpClient client = await ConnectAsync();

        Assert.Equal(QmpConnectionState.Ready, client.State);
        Assert.Equal("7.2.22", client.Greeting.Version.ToString());
        Assert.True(client.Greeting.Version.Qemu.IsAtLeast(7, 2));
        Assert.False(client.Greeting.Version.Qemu.IsAtLeast(8, 0));
        Assert.Equal("fake", client.Greeting.Version.Package);
        Assert.Equal(["oob"], client.Greeting.Capabilities);
    }

    [Fact]
    public async Task A_greeting_with_unknown_members_and_without_capabilities_is_enough()
    {
        Server.Greeting = """{"QMP": {"version": {"qemu": {"major": 12, "minor": 0, "micro": 1, "nano": 5}, "new": [1]}, "extra": {}}, "more": null}""";
        await using QmpClient client = await ConnectAsync();

        Assert.Equal("12.0.1", client.Greeting.Version.ToString());
        Assert.Empty(client.Greeting.Capabilities);
    }

    [Fact]
    public async Task Silence_instead_of_a_greeting_is_a_timeout_and_hangs_up()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);

        Clock.Advance(TimeSpan.FromSeconds(11));

        QmpTimeoutException timeout = await FailsAsync<QmpTimeoutException>(connecting);
        Assert.False(timeout.IsOutcomeUnknown);
        Assert.True(timeout.IsTransient);
        await Assert.ThrowsAsync<EndOfStreamException>(() => Server.ReceiveAsync(Stop).WaitAsync(Limit, Stop));
    }

    [Fact]
    public async Task Silence_instead_of_an_answer_to_the_negotiation_is_a_timeout()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);
        await Server.GreetAsync(Stop);
        await Server.ReceiveAsync(Stop);

        Clock.Advance(TimeSpan.FromSeconds(11));

        await FailsAsync<QmpTimeoutException>(connecting);
    }

    [Theory]
    [InlineData("nonsense\n")]
    [InlineData("{\"QMP\": 7}\n")]
    [InlineData("{\"QMP\": {}}\n")]
    [InlineData("{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}}}\n")]
    [InlineData("{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"7\", \"minor\": 2, \"micro\": 0}}}}\n")]
    [InlineData("{\"QMP\": null}\n")]
    [InlineData("{\"return\": {}, \"id\": 1}\n")]
    [InlineData("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n")]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n")]
    public async Task What_is_no_greeting_is_a_protocol_error(string text)
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);

        await Server.SendTextAsync(text, Stop);

        await FailsAsync<QmpProtocolException>(connecting);
    }

    [Fact]
    public async Task A_peer_that_hangs_up_before_it_greets_is_a_disconnection()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);

        await Server.DisconnectAsync();

        await FailsAsync<QmpDisconnectedException>(connecting);
    }

    [Fact]
    public async Task A_peer_that_hangs_up_during_the_negotiation_is_a_disconnection()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);
        await Server.GreetAsync(Stop);
        await Server.ReceiveAsync(Stop);

        await Server.DisconnectAsync();

        await FailsAsync<QmpDisconnectedException>(connecting);
    }

    [Fact]
    public async Task A_refused_negotiation_tells_the_peers_words()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);
        await Server.GreetAsync(Stop);

        await Server.RefuseAsync(await Server.ReceiveAsync(Stop), "CommandNotFound", "Not today", Stop);

        QmpProtocolException refused = await FailsAsync<QmpProtocolException>(connecting);
        Assert.Contains("Not today", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Garbage_during_the_negotiation_is_a_protocol_error()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);
        await Server.GreetAsync(Stop);
        await Server.ReceiveAsync(Stop);

        await Server.SendTextAsync("}{\n", Stop);

        await FailsAsync<QmpProtocolException>(connecting);
    }

    [Fact]
    public async Task A_second_greeting_ends_the_session()
    {
        await using QmpClient client = await ConnectAsync();

        await Server.GreetAsync(Stop);

        await FailsAsync<QmpProtocolException>(client.Completion);
    }

    [Fact]
    public async Task Cancelling_leaves_nothing_behind()
    {
        using CancellationTokenSource giveUp = new();
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), giveUp.Token);

        await giveUp.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting.WaitAsync(Limit, Stop));
        await Assert.ThrowsAsync<EndOfStreamException>(() => Server.ReceiveAsync(Stop).WaitAsync(Limit, Stop));
    }

    [Fact]
    public async Task Events_around_the_greeting_go_to_the_first_subscription()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);
        await Server.SendAsync(Stop, FakeQmpServer.Event("BEFORE"), Server.Greeting, FakeQmpServer.Event("AFTER_GREETING"));
        FakeQmpRequest negotiation = await Server.ReceiveAsync(Stop);
        await Server.SendAsync(Stop, FakeQmpServer.Event("WHILE"), FakeQmpServer.Reply(negotiation), FakeQmpServer.Event("AFTER"));
        await using QmpClient client = await connecting.WaitAsync(Limit, Stop);
        await AnswerOneAsync(client);

        using QmpEventSubscription first = client.Subscribe();
        using QmpEventSubscription second = client.Subscribe();

        Assert.Equal(["BEFORE", "AFTER_GREETING", "WHILE", "AFTER"], Drain(first));
        Assert.Empty(Drain(second));
    }

    [Fact]
    public async Task Early_events_are_bounded_too()
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(options => options.EventQueueLength = 2), Stop);
        await Server.SendAsync(Stop, FakeQmpServer.Event("A"), FakeQmpServer.Event("B"), FakeQmpServer.Event("C"));
        await Server.NegotiateAsync(Stop);
        await using QmpClient client = await connecting.WaitAsync(Limit, Stop);

        using QmpEventSubscription events = client.Subscribe();

        Assert.Equal(["B", "C"], Drain(events));
        Assert.Equal(1, events.Dropped);
    }

    [Fact]
    public async Task A_missing_socket_and_a_dead_one_are_connect_errors()
    {
        string directory = Directory.CreateTempSubdirectory("pengx-qmp-").FullName;
        string path = Path.Combine(directory, "qmp");
        try
        {
            QmpConnectException missing = await Assert.ThrowsAsync<QmpConnectException>(() => QmpClient.ConnectAsync(path, cancellationToken: Stop));
            Assert.Contains(path, missing.Message, StringComparison.Ordinal);
            await File.WriteAllTextAsync(path, "", Stop);
            await Assert.ThrowsAsync<QmpConnectException>(() => QmpClient.ConnectAsync(path, cancellationToken: Stop));
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => QmpClient.ConnectAsync(new string('x', 200), cancellationToken: Stop));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task It_works_over_a_unix_socket()
    {
        string path = Path.Combine(Path.GetTempPath(), $"pengx-qmp-{Guid.NewGuid():N}");
        await using FakeQmpServer server = FakeQmpServer.Listen(path);
        Task<QmpClient> connecting = QmpClient.ConnectAsync(path, cancellationToken: Stop);
        await server.AcceptAsync(Stop);
        await server.NegotiateAsync(Stop);
        await using QmpClient client = await connecting;
        server.Serve(request => FakeQmpServer.Reply(request, """{"running": true, "status": "running"}"""));

        Assert.True((await client.ExecuteAsync(Status, Stop)).Running);

        await server.DisconnectAsync();
        await FailsAsync<QmpDisconnectedException>(client.Completion);
    }

    [Fact]
    public async Task Options_out_of_range_are_named()
    {
        Action<QmpClientOptions>[] mistakes =
        [
            options => options.ConnectTimeout = TimeSpan.Zero,
            options => options.GreetingTimeout = TimeSpan.FromSeconds(-3),
            options => options.CommandTimeout = TimeSpan.FromDays(100),
            options => options.MaxLineBytes = 10,
            options => options.MaxDepth = 1,
            options => options.MaxInFlight = 0,
            options => options.EventQueueLength = 0,
        ];
        foreach (Action<QmpClientOptions> mistake in mistakes)
        {
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => QmpClient.AttachAsync(Server.ClientStream!, Options(mistake), Stop));
        }

        await Assert.ThrowsAsync<ArgumentException>(() => QmpClient.AttachAsync(new MemoryStream([], writable: false), cancellationToken: Stop));
    }

    private static List<string> Drain(QmpEventSubscription events)
    {
        List<string> names = [];
        while (events.TryRead(out QmpEvent? qmpEvent))
        {
            names.Add(qmpEvent.Name);
        }

        return names;
    }

    /// <summary>A reply comes after everything that was sent before it: then all of that has been read.</summary>
    private async Task AnswerOneAsync(QmpClient client)
    {
        Task<JsonElement> reply = RawAsync(client, "sync");
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), cancellationToken: Stop);
        await reply.WaitAsync(Limit, Stop);
    }
}
