namespace Pengx.Client.Tests;

public sealed class EventTests
{
    private const string Head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    private static readonly Guid A = Guid.Parse("aaaaaaaa-0000-4000-8000-00000000000a");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Events_are_read_as_they_come()
    {
        await using var server = new RawServer(async (_, answer) =>
        {
            await answer.WriteAsync(Head);
            await answer.WriteChunkAsync(": hello\n\nevent: reset\ndata:\nid: 5\n\nid: 6\nevent: v");
            await answer.WriteChunkAsync($"m\ndata: <vm id=\"{A}\"><name>Gr");
            await answer.WriteChunkAsync("üße&#xA;</name><status>RUNNING</status></vm>\r\n\r\n");
            await answer.WriteChunkAsync($"event: operation\r\ndata: <operation id='{A}'>\r\ndata: <state>RUNNING</state></operation>\r\n\r\n");
            await answer.WriteChunkAsync("event: vm\rdata: <broken\rid: 8\r\revent: other\ndata:x\n\n");
            await answer.HangAsync();
        });
        var events = await TakeAsync(Clients.Of(server).Events.WatchAsync(null, Token), 6);
        Assert.Equal(
            [
                new PengxEventsOpened(false),
                new PengxEventsReset { Id = "5" },
                new PengxMachineChanged(new MachineStatusResource { Id = A, Name = "Grüße", Status = "RUNNING" }) { Id = "6" },
                new PengxOperationChanged(new OperationResource { Id = A, State = "RUNNING" }) { Id = "6" },
                new PengxUnknownEvent("vm", "<broken") { Id = "8" },
                new PengxUnknownEvent("other", "x") { Id = "8" },
            ],
            events);
        Assert.Equal("text/event-stream", server.Single.Header("Accept"));
        Assert.Equal("/events/", server.Single.Path);
        Assert.Null(server.Single.Header("Last-Event-ID"));
    }

    [Fact]
    public async Task A_stream_that_ends_is_resumed_after_its_last_event()
    {
        var connections = 0;
        await using var server = new RawServer(async (_, answer) =>
        {
            answer.Closed = true;
            switch (connections++)
            {
                case 0:
                    await answer.WriteAsync(Head);
                    await answer.WriteChunkAsync("id: 41\nevent: a\ndata: 1\n\nid: 42\nevent: b\n");
                    break;
                case 1:
                    await answer.WriteAsync(RawServer.Result(false, "starting", "503 Service Unavailable"));
                    break;
                default:
                    await answer.WriteAsync(Head);
                    await answer.WriteChunkAsync("id: 42\nevent: b\ndata: 2\n\n");
                    await answer.WriteAsync("0\r\n\r\n");
                    break;
            }
        });
        var time = new SkippingClock(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
        var events = await TakeAsync(Clients.Of(server, time: time).Events.WatchAsync("40", Token), 4);
        Assert.Equal(
            [
                new PengxEventsOpened(false), new PengxUnknownEvent("a", "1") { Id = "41" },
                new PengxEventsOpened(true), new PengxUnknownEvent("b", "2") { Id = "42" },
            ],
            events);
        Assert.Equal(["40", "41", "41"], server.Requests.Take(3).Select(sent => sent.Header("Last-Event-ID")));
    }

    [Fact]
    public async Task A_silent_stream_is_opened_anew()
    {
        await using var server = new RawServer(async (_, answer) =>
        {
            await answer.WriteAsync(Head);
            await answer.HangAsync();
        });
        var time = new SkippingClock(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(3));
        var events = await TakeAsync(
            Clients.Of(server, options => options.EventIdleTimeout = TimeSpan.FromSeconds(3), time).Events.WatchAsync(null, Token), 2);
        Assert.Equal([new PengxEventsOpened(false), new PengxEventsOpened(true)], events);
    }

    [Theory]
    [InlineData("404 Not Found", "<root><result>False</result><message>no events</message></root>", PengxApiFailure.Refused)]
    [InlineData("503 Service Unavailable", "<root><result>False</result><message>no events</message></root>", PengxApiFailure.Refused)]
    [InlineData("200 OK", "<html></html>", PengxApiFailure.Unreadable)]
    public async Task A_stream_that_cannot_be_opened_at_first_is_an_error(string status, string body, PengxApiFailure failure)
    {
        await using var server = new RawServer(RawServer.Xml(body, status));
        var error = await Assert.ThrowsAsync<PengxApiException>(() => TakeAsync(Clients.Of(server).Events.WatchAsync(null, Token), 1));
        Assert.Equal(failure, error.Failure);
    }

    [Fact]
    public async Task An_endless_line_is_refused()
    {
        await using var server = new RawServer(async (_, answer) =>
        {
            await answer.WriteAsync(Head);
            while (true)
            {
                await answer.WriteChunkAsync(new string('x', 64 * 1024));
            }
        });
        var error = await Assert.ThrowsAsync<PengxApiException>(() => TakeAsync(Clients.Of(server).Events.WatchAsync(null, Token), 2));
        Assert.Equal(PengxApiFailure.Unreadable, error.Failure);
    }

    [Fact]
    public async Task A_watch_ends_when_it_is_cancelled()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        await using var server = new RawServer(async (_, answer) =>
        {
            await answer.WriteAsync(Head);
            await answer.HangAsync();
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var opened in Clients.Of(server).Events.WatchAsync(null, cancel.Token))
            {
                Assert.Equal(new PengxEventsOpened(false), opened);
                await cancel.CancelAsync();
            }
        });
    }

    private static async Task<List<PengxEvent>> TakeAsync(IAsyncEnumerable<PengxEvent> watch, int count)
    {
        var events = new List<PengxEvent>();
        await using var enumerator = watch.GetAsyncEnumerator(Token);
        while (events.Count < count)
        {
            Assert.True(await enumerator.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30), Token));
            events.Add(enumerator.Current);
        }

        return events;
    }
}
