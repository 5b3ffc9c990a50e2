using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

public sealed partial class CommandTests : QmpTest
{
    private const string Running = """{"running": true, "status": "running", "singlestep": false}""";

    [Theory]
    [InlineData(FakeQmpDelivery.Whole)]
    [InlineData(FakeQmpDelivery.ByteByByte)]
    public async Task A_command_goes_out_by_name_and_comes_back_by_type(FakeQmpDelivery delivery)
    {
        Server.Delivery = delivery;
        await using QmpClient client = await ConnectAsync();
        Task<QmpStatus> status = client.ExecuteAsync(QmpCommands.QueryStatus, Stop);
        Task<QmpEmpty> resize = client.ExecuteAsync(QmpCommands.BlockResize, new QmpBlockResize { NodeName = "disk", Size = 4096 }, Stop);

        FakeQmpRequest first = await Server.ReceiveAsync(Stop);
        FakeQmpRequest second = await Server.ReceiveAsync(Stop);

        Assert.Equal("query-status", first.Command);
        Assert.Null(first.Arguments);
        Assert.Equal("block_resize", second.Command);
        Assert.Equal("""{"node-name":"disk","size":4096}""", second.Arguments!.Value.GetRawText());
        await Server.ReplyAsync(first, Running, Stop);
        await Server.ReplyAsync(second, cancellationToken: Stop);
        Assert.Equal(new QmpStatus { Running = true, Status = "running" }, await status.WaitAsync(Limit, Stop));
        await resize.WaitAsync(Limit, Stop);
    }

    [Fact]
    public async Task Replies_find_their_commands_in_any_order()
    {
        await using QmpClient client = await ConnectAsync();
        Task<JsonElement>[] commands = [.. Enumerable.Range(0, 8).Select(i => RawAsync(client, $"c{i}"))];
        List<FakeQmpRequest> requests = await ReceiveAsync(8);

        await Server.SendAsync(Stop, [.. requests.AsEnumerable().Reverse().Select(request => FakeQmpServer.Reply(request, $"\"{request.Command}\""))]);

        for (int i = 0; i < commands.Length; i++)
        {
            Assert.Equal($"c{i}", (await commands[i].WaitAsync(Limit, Stop)).GetString());
        }
    }

    [Fact]
    public async Task A_refusal_fails_its_own_command_only()
    {
        await using QmpClient client = await ConnectAsync();
        Task<JsonElement> bad = RawAsync(client, "bad");
        Task<JsonElement> good = RawAsync(client, "good");
        List<FakeQmpRequest> requests = await ReceiveAsync(2);

        await Server.SendAsync(
            Stop,
            FakeQmpServer.Refusal(requests[0], "GenericError", "Node 'x' is busy: \"block device\" is in use"),
            FakeQmpServer.Reply(requests[1], "5"));

        QmpCommandException refusal = await FailsAsync<QmpCommandException>(bad);
        Assert.Equal(("bad", "GenericError", "Node 'x' is busy: \"block device\" is in use"), (refusal.Command, refusal.Class, refusal.Description));
        Assert.Equal(5, (await good.WaitAsync(Limit, Stop)).GetInt32());
    }

    [Fact]
    public async Task A_cancelled_wait_drops_the_late_reply_and_nothing_else()
    {
        await using QmpClient client = await ConnectAsync();
        using CancellationTokenSource giveUp = new();
        Task<JsonElement> given = client.ExecuteRawAsync("slow", cancellationToken: giveUp.Token);
        FakeQmpRequest slow = await Server.ReceiveAsync(Stop);

        await giveUp.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given.WaitAsync(Limit, Stop));
        Assert.Equal(giveUp.Token, cancelled.CancellationToken);
        Task<JsonElement> next = RawAsync(client, "next");
        FakeQmpRequest request = await Server.ReceiveAsync(Stop);
        await Server.SendAsync(Stop, FakeQmpServer.Reply(slow, "\"late\""), FakeQmpServer.Reply(request, "\"mine\""));
        Assert.Equal("mine", (await next.WaitAsync(Limit, Stop)).GetString());
        Assert.Equal(QmpConnectionState.Ready, client.State);
    }

    [Fact]
    public async Task A_command_cancelled_before_its_turn_is_never_sent()
    {
        await using QmpClient client = await ConnectAsync(options => options.MaxInFlight = 1);
        using CancellationTokenSource giveUp = new();
        Task<JsonElement> first = RawAsync(client, "first");
        Task<JsonElement> second = client.ExecuteRawAsync("second", cancellationToken: giveUp.Token);
        Task<JsonElement> third = RawAsync(client, "third");

        await giveUp.CancelAsync();
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), cancellationToken: Stop);
        FakeQmpRequest next = await Server.ReceiveAsync(Stop);

        Assert.Equal("third", next.Command);
        await Server.ReplyAsync(next, cancellationToken: Stop);
        await Task.WhenAll(first, third).WaitAsync(Limit, Stop);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.ExecuteRawAsync("never", cancellationToken: new CancellationToken(canceled: true)));
    }

    [Fact]
    public async Task The_window_holds_eight_and_a_given_up_command_keeps_its_place()
    {
        await using QmpClient client = await ConnectAsync();
        using CancellationTokenSource giveUp = new();
        Task<JsonElement>[] full = [.. Enumerable.Range(0, 8).Select(i => client.ExecuteRawAsync($"c{i}", cancellationToken: giveUp.Token))];
        List<FakeQmpRequest> requests = await ReceiveAsync(8);
        Task<JsonElement> ninth = RawAsync(client, "ninth");
        Task<FakeQmpRequest> arrival = Server.ReceiveAsync(Stop);
        await giveUp.CancelAsync();
        foreach (Task<JsonElement> task in full)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
        }

        Assert.False(arrival.IsCompleted);
        await Server.ReplyAsync(requests[3], cancellationToken: Stop);

        Assert.Equal("ninth", (await arrival.WaitAsync(Limit, Stop)).Command);
        await Server.ReplyAsync(await arrival, cancellationToken: Stop);
        await ninth.WaitAsync(Limit, Stop);
    }

    [Fact]
    public async Task A_timeout_of_a_sent_command_says_that_the_outcome_is_unknown()
    {
        await using QmpClient client = await ConnectAsync(options => options.MaxInFlight = 1);
        Task<JsonElement> sent = RawAsync(client, "sent");
        Task<JsonElement> queued = RawAsync(client, "queued");
        FakeQmpRequest request = await Server.ReceiveAsync(Stop);

        Clock.Advance(TimeSpan.FromSeconds(29.9));
        Assert.False(sent.IsCompleted);
        Clock.Advance(TimeSpan.FromSeconds(0.2));

        QmpTimeoutException unknown = await FailsAsync<QmpTimeoutException>(sent);
        Assert.True(unknown.IsOutcomeUnknown);
        Assert.Equal("sent", unknown.Command);
        QmpTimeoutException unsent = await FailsAsync<QmpTimeoutException>(queued);
        Assert.False(unsent.IsOutcomeUnknown);
        await Server.ReplyAsync(request, cancellationToken: Stop);
        Task<JsonElement> next = RawAsync(client, "next");
        FakeQmpRequest received = await Server.ReceiveAsync(Stop);
        Assert.Equal("next", received.Command);
        await Server.ReplyAsync(received, "1", Stop);
        Assert.Equal(1, (await next.WaitAsync(Limit, Stop)).GetInt32());
    }

    [Fact]
    public async Task A_command_may_have_a_deadline_of_its_own()
    {
        await using QmpClient client = await ConnectAsync();
        QmpCommand<QmpEmpty, QmpStatus> hasty = new("query-status", QmpCommands.QueryStatus.Arguments, QmpCommands.QueryStatus.Result) { Timeout = TimeSpan.FromSeconds(1) };
        QmpCommand<QmpEmpty, QmpStatus> patient = new("query-status", hasty.Arguments, hasty.Result) { Timeout = Timeout.InfiniteTimeSpan };
        Task<QmpStatus> ordinary = client.ExecuteAsync(QmpCommands.QueryStatus, Stop);
        Task<QmpStatus> first = client.ExecuteAsync(hasty, Stop);
        Task<QmpStatus> last = client.ExecuteAsync(patient, Stop);

        Clock.Advance(TimeSpan.FromSeconds(1.5));
        await FailsAsync<QmpTimeoutException>(first);
        Assert.False(ordinary.IsCompleted);
        Clock.Advance(TimeSpan.FromSeconds(30));
        await FailsAsync<QmpTimeoutException>(ordinary);
        Clock.Advance(TimeSpan.FromDays(30));
        Assert.False(last.IsCompleted);
        Assert.Throws<ArgumentOutOfRangeException>(() => new QmpCommand<QmpEmpty, QmpStatus>("x", hasty.Arguments, hasty.Result) { Timeout = TimeSpan.Zero });
    }

    [Theory]
    [InlineData("""{"return": {}, "id": 9999}""")]
    [InlineData("""{"return": {}, "id": "seven"}""")]
    [InlineData("""{"return": {}, "id": {"a": [1, 2]}}""")]
    [InlineData("""{"return": {}, "id": null}""")]
    [InlineData("""{"return": {}, "id": 1.5}""")]
    [InlineData("""{"error": {"class": "GenericError", "desc": "x"}, "id": 184467440737095516150}""")]
    public async Task A_reply_that_no_command_waits_for_is_dropped(string line)
    {
        await using QmpClient client = await ConnectAsync();
        Task<QmpStatus> status = client.ExecuteAsync(QmpCommands.QueryStatus, Stop);
        FakeQmpRequest request = await Server.ReceiveAsync(Stop);

        await Server.SendAsync(Stop, line, "", FakeQmpServer.Reply(request, Running));

        Assert.True((await status.WaitAsync(Limit, Stop)).Running);
    }

    [Theory]
    [InlineData("7")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("""{"running": true}""")]
    [InlineData("""{"running": "yes", "status": "running"}""")]
    [InlineData("""{"running": true, "status": "\ud800"}""")]
    public async Task A_result_that_does_not_fit_fails_its_own_command_only(string result)
    {
        await using QmpClient client = await ConnectAsync();
        Task<QmpStatus> misfit = client.ExecuteAsync(QmpCommands.QueryStatus, Stop);
        Task<QmpStatus> good = client.ExecuteAsync(QmpCommands.QueryStatus, Stop);
        List<FakeQmpRequest> requests = await ReceiveAsync(2);

        await Server.SendAsync(Stop, FakeQmpServer.Reply(requests[0], result), FakeQmpServer.Reply(requests[1], Running));

        QmpProtocolException error = await FailsAsync<QmpProtocolException>(misfit);
        Assert.Contains("query-status", error.Message, StringComparison.Ordinal);
        Assert.True((await good.WaitAsync(Limit, Stop)).Running);
    }

    [Fact]
    public async Task Members_and_values_that_a_newer_qemu_adds_are_no_error()
    {
        await using QmpClient client = await ConnectAsync();
        Task<QmpStatus> status = client.ExecuteAsync(QmpCommands.QueryStatus, Stop);

        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), """{"new": {"x": [1]}, "status": "dreaming", "running": false}""", Stop);

        Assert.Equal("dreaming", (await status.WaitAsync(Limit, Stop)).Status);
    }

    [Fact]
    public async Task Arguments_that_cannot_be_written_fail_before_anything_is_sent()
    {
        await using QmpClient client = await ConnectAsync(options => options.MaxLineBytes = 4096);
        QmpCommand<Explosive, QmpEmpty> command = new("explode", ExplosiveContext.Default.Explosive, QmpCommands.Cont.Result);

        ArgumentException thrown = await FailsAsync<ArgumentException>(client.ExecuteAsync(command, new Explosive(), Stop));
        Assert.Contains("explode", thrown.Message, StringComparison.Ordinal);
        await FailsAsync<ArgumentException>(RawAsync(client, "long", new JsonObject { ["x"] = new string('y', 5000) }));
        await FailsAsync<ArgumentException>(RawAsync(client, "nul", new JsonObject { ["x"] = "a\0b" }));
        await Assert.ThrowsAsync<ArgumentException>(() => client.ExecuteRawAsync("list", JsonElement.Parse("[1]"), Stop));
        await Assert.ThrowsAsync<ArgumentException>(() => client.ExecuteRawAsync("undefined", default(JsonElement), Stop));
        await Assert.ThrowsAsync<ArgumentException>(() => client.ExecuteRawAsync(" ", cancellationToken: Stop));
        await Assert.ThrowsAsync<ArgumentNullException>(() => client.ExecuteAsync(QmpCommands.DeviceDel, null!, Stop));

        Task<JsonElement> next = RawAsync(client, "next", new JsonObject { ["x"] = "\\u0000" });
        FakeQmpRequest received = await Server.ReceiveAsync(Stop);
        Assert.Equal("next", received.Command);
        Assert.Equal("\\u0000", received.Arguments!.Value.GetProperty("x").GetString());
        await Server.ReplyAsync(received, cancellationToken: Stop);
        await next.WaitAsync(Limit, Stop);
    }

    [Fact]
    public async Task A_password_shows_in_no_text()
    {
        QmpPassword password = new() { Protocol = "vnc", Password = "sesame" };
        await using QmpClient client = await ConnectAsync();
        Task<QmpEmpty> set = client.ExecuteAsync(QmpCommands.SetPassword, password, Stop);
        FakeQmpRequest request = await Server.ReceiveAsync(Stop);
        await Server.RefuseAsync(request, "GenericError", "Could not set password", Stop);

        QmpCommandException refusal = await FailsAsync<QmpCommandException>(set);

        Assert.Equal("sesame", request.Arguments!.Value.GetProperty("password").GetString());
        Assert.DoesNotContain("sesame", refusal.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("sesame", password.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_large_reply_comes_through()
    {
        await using QmpClient client = await ConnectAsync();
        string text = new('é', 1_000_000);
        Task<JsonElement> reply = RawAsync(client, "large");

        // In the background: a peer that sends this much waits for its reader.
        Task sending = Server.ReplyAsync(await Server.ReceiveAsync(Stop), $"\"{text}\"", Stop);

        Assert.Equal(text, (await reply.WaitAsync(Limit, Stop)).GetString());
        await sending;
    }

    [Fact]
    public async Task A_peer_that_stops_reading_holds_nobody_past_the_deadline()
    {
        QmpClient client = await ConnectAsync();
        Task<JsonElement> stuck = RawAsync(client, "stuck", new JsonObject { ["x"] = new string('y', 3 * 1024 * 1024) });
        Task<JsonElement> behind = RawAsync(client, "behind");

        Clock.Advance(TimeSpan.FromSeconds(31));

        await FailsAsync<QmpTimeoutException>(stuck);
        await FailsAsync<QmpTimeoutException>(behind);
        await client.DisposeAsync().AsTask().WaitAsync(Limit, Stop);
    }

    [Fact]
    public async Task Closing_fails_every_waiter_and_completes_cleanly()
    {
        QmpClient client = await ConnectAsync(options => options.MaxInFlight = 2);
        Task<JsonElement>[] waiting = [.. Enumerable.Range(0, 5).Select(i => RawAsync(client, $"c{i}"))];

        await client.DisposeAsync().AsTask().WaitAsync(Limit, Stop);

        foreach (Task<JsonElement> task in waiting)
        {
            Assert.True(task.IsFaulted);
            await FailsAsync<QmpDisconnectedException>(task);
        }

        Assert.True(client.Completion.IsCompletedSuccessfully);
        Assert.Equal(QmpConnectionState.Closed, client.State);
        await FailsAsync<QmpDisconnectedException>(RawAsync(client, "after"));
        await client.DisposeAsync();
    }

    [Fact]
    public async Task A_peer_that_goes_fails_every_waiter_and_the_session()
    {
        await using QmpClient client = await ConnectAsync(options => options.MaxInFlight = 2);
        Task<JsonElement>[] waiting = [.. Enumerable.Range(0, 5).Select(i => RawAsync(client, $"c{i}"))];
        await ReceiveAsync(2);

        await Server.DisconnectAsync();

        foreach (Task<JsonElement> task in waiting)
        {
            QmpDisconnectedException error = await FailsAsync<QmpDisconnectedException>(task);
            Assert.True(error.IsTransient);
        }

        await FailsAsync<QmpDisconnectedException>(client.Completion);
        await FailsAsync<QmpDisconnectedException>(RawAsync(client, "after"));
    }

    [Fact]
    public async Task An_acknowledged_quit_makes_the_end_a_clean_one()
    {
        await using QmpClient client = await ConnectAsync();
        Task<QmpEmpty> quit = client.ExecuteAsync(QmpCommands.Quit, Stop);
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), cancellationToken: Stop);
        await quit.WaitAsync(Limit, Stop);

        await Server.DisconnectAsync();

        await client.Completion.WaitAsync(Limit, Stop);
    }

    [Fact]
    public async Task The_last_words_of_a_peer_that_takes_no_more_are_read()
    {
        DeafPeer wire = new(Server.ClientStream!);
        Task<QmpClient> connecting = QmpClient.AttachAsync(wire, Options(), Stop);
        await Server.NegotiateAsync(Stop);
        await using QmpClient client = await connecting.WaitAsync(Limit, Stop);
        using QmpEventSubscription events = client.Subscribe();
        wire.IsDeaf = true;
        Task<JsonElement> unheard = RawAsync(client, "unheard");

        await Server.RaiseAsync("SHUTDOWN", """{"guest": true, "reason": "guest-shutdown"}""", Stop);

        await using (IAsyncEnumerator<QmpEvent> reader = events.GetAsyncEnumerator(Stop))
        {
            Assert.True(await reader.MoveNextAsync().AsTask().WaitAsync(Limit, Stop));
            Assert.Equal("SHUTDOWN", reader.Current.Name);
        }

        Assert.False(unheard.IsCompleted);
        Clock.Advance(TimeSpan.FromSeconds(2));
        await FailsAsync<QmpDisconnectedException>(unheard);
        await FailsAsync<QmpDisconnectedException>(client.Completion);
    }

    [Fact]
    public async Task Many_callers_at_once_all_get_their_own_reply()
    {
        await using QmpClient client = await ConnectAsync();
        Server.Serve(request => FakeQmpServer.Reply(request, $"\"{request.Command}\""));

        await Parallel.ForAsync(0, 2000, new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = Stop }, async (i, cancellationToken) =>
        {
            using CancellationTokenSource giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            Task<JsonElement> reply = client.ExecuteRawAsync($"c{i}", cancellationToken: giveUp.Token);
            if (i % 5 == 0)
            {
                await giveUp.CancelAsync();
            }

            try
            {
                Assert.Equal($"c{i}", (await reply.WaitAsync(Limit, cancellationToken)).GetString());
            }
            catch (OperationCanceledException) when (i % 5 == 0)
            {
                // This one gave up; what matters is that nobody else got its reply.
            }
        });
    }

    private async Task<List<FakeQmpRequest>> ReceiveAsync(int count)
    {
        List<FakeQmpRequest> requests = [];
        for (int i = 0; i < count; i++)
        {
            requests.Add(await Server.ReceiveAsync(Stop).WaitAsync(Limit, Stop));
        }

        return requests;
    }

    internal sealed record Explosive
    {
        public string First { get; init; } = "written before the failure";

#pragma warning disable CA1065, CA1822 // The throwing getter is the point.
        public string Second => throw new NotSupportedException("boom");
#pragma warning restore CA1065, CA1822
    }

    [JsonSerializable(typeof(Explosive))]
    internal sealed partial class ExplosiveContext : JsonSerializerContext;

    /// <summary>A connection whose peer still talks but takes nothing.</summary>
    private sealed class DeafPeer(Stream inner) : Stream
    {
        public bool IsDeaf { get; set; }

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => inner.ReadAsync(buffer, cancellationToken);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            IsDeaf ? throw new IOException("Broken pipe") : inner.WriteAsync(buffer, cancellationToken);

        public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush() => inner.Flush();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                inner.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
