using System.Text;
using System.Text.Json;

namespace Pengx.Qmp.Tests;

/// <summary>What is not QMP ends the session: every waiter at once, and <see cref="IQmpClient.Completion"/> with the reason.</summary>
public sealed class WireFaultTests : QmpTest
{
    [Theory]
    [InlineData("garbage")]
    [InlineData("{")]
    [InlineData("}")]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("{}")]
    [InlineData("{\"strange\": 1}")]
    [InlineData("{\"id\": 1}")]
    [InlineData("{\"return\": {}, \"error\": {}, \"id\": 2}")]
    [InlineData("{\"return\": {}, \"return\": {}, \"id\": 2}")]
    [InlineData("{\"return\": {}}")]
    [InlineData("{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}")]
    [InlineData("{\"error\": {\"class\": \"GenericError\"}, \"id\": 2}")]
    [InlineData("{\"error\": \"no\", \"id\": 2}")]
    [InlineData("{\"error\": {\"class\": 7, \"desc\": []}, \"id\": 2}")]
    [InlineData("{\"error\": {\"class\": \"\\ud800\", \"desc\": \"x\"}, \"id\": 2}")]
    [InlineData("{\"event\": 7}")]
    [InlineData("{\"event\": \"\\udc00\"}")]
    [InlineData("{\"event\": \"STOP\", \"data\": 7}")]
    [InlineData("{\"\\ud800\": 1, \"return\": {}, \"id\": 2}")]
    [InlineData("{\"return\": {}, \"id\": 2} trailing")]
    [InlineData("{\"return\": {}, \"id\": 2}{\"return\": {}, \"id\": 2}")]
    [InlineData("{\"return\": {}, \"id\": 2,}")]
    [InlineData("{\"return\": {/* comment */}, \"id\": 2}")]
    public async Task A_malformed_line_ends_the_session(string line) =>
        await EndsAsync<QmpProtocolException>(Encoding.UTF8.GetBytes(line + "\n"));

    [Theory]
    [InlineData(new byte[] { 0x22, 0xff, 0x22 })]
    [InlineData(new byte[] { 0x22, 0xc0, 0xaf, 0x22 })]
    [InlineData(new byte[] { 0x22, 0xed, 0xa0, 0x80, 0x22 })]
    [InlineData(new byte[] { 0x22, 0x00, 0x22 })]
    [InlineData(new byte[] { 0x22, 0xe2, 0x82, 0x22 })]
    public async Task Text_that_is_not_utf8_ends_the_session(byte[] value) =>
        await EndsAsync<QmpProtocolException>([.. "{\"return\": "u8, .. value, .. ", \"id\": 2}\n"u8]);

    [Fact]
    public async Task An_error_for_no_command_tells_the_peers_words()
    {
        QmpProtocolException reason = await EndsAsync<QmpProtocolException>(
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error, bad\"}}\n"u8.ToArray());

        Assert.Contains("JSON parse error, bad", reason.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_oversized_line_ends_the_session_with_and_without_its_end()
    {
        byte[] line = [.. "{\"return\": \""u8, .. Enumerable.Repeat((byte)'x', 5000), .. "\", \"id\": 2}\n"u8];
        QmpProtocolException reason = await EndsAsync<QmpProtocolException>(line, options => options.MaxLineBytes = 4096);
        Assert.Contains("4096", reason.Message, StringComparison.Ordinal);

        await using WireFaultTests other = new();
        await other.EndsAsync<QmpProtocolException>(line[..4500], options => options.MaxLineBytes = 4096);
    }

    [Fact]
    public async Task An_oversized_event_ends_the_session() =>
        await EndsAsync<QmpProtocolException>([.. "{\"event\": \"BIG\", \"data\": {\"x\": \""u8, .. Enumerable.Repeat((byte)'x', 70_000), .. "\"}}\n"u8]);

    [Fact]
    public async Task Deep_nesting_ends_the_session()
    {
        string deep = new string('[', 600) + new string(']', 600);
        await EndsAsync<QmpProtocolException>(Encoding.UTF8.GetBytes($"{{\"return\": {deep}, \"id\": 2}}\n"));

        await using WireFaultTests other = new();
        await other.EndsAsync<QmpProtocolException>(Encoding.UTF8.GetBytes(new string('[', 1_000_000) + "\n"));
    }

    [Fact]
    public async Task Nesting_within_the_limit_is_read()
    {
        await using QmpClient client = await ConnectAsync();
        string deep = new string('[', 500) + new string(']', 500);
        Task<JsonElement> reply = RawAsync(client, "deep");

        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), deep, Stop);

        Assert.Equal(deep, (await reply.WaitAsync(Limit, Stop)).GetRawText());
    }

    [Fact]
    public async Task Half_a_line_and_then_nothing_ends_the_session()
    {
        await using QmpClient client = await ConnectAsync();
        Task<JsonElement> waiting = RawAsync(client, "waiting");
        await Server.SendTextAsync("{\"return\": {}, \"id\": 2}", Stop);

        await Server.DisconnectAsync();

        await FailsAsync<QmpDisconnectedException>(waiting);
        QmpDisconnectedException reason = await FailsAsync<QmpDisconnectedException>(client.Completion);
        Assert.Contains("in the middle of a message", reason.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Half_a_line_and_then_silence_is_a_timeout()
    {
        await using QmpClient client = await ConnectAsync();
        Task<JsonElement> waiting = RawAsync(client, "waiting");
        await Server.SendTextAsync("{\"return\": ", Stop);

        Clock.Advance(TimeSpan.FromSeconds(31));

        await FailsAsync<QmpTimeoutException>(waiting);
        await Server.SendTextAsync("{}, \"id\": 2}\n", Stop);
        Task<JsonElement> next = RawAsync(client, "next");
        await Server.ReceiveAsync(Stop);
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), "3", Stop);
        Assert.Equal(3, (await next.WaitAsync(Limit, Stop)).GetInt32());
    }

    [Fact]
    public async Task Blank_lines_and_both_line_ends_are_fine()
    {
        await using QmpClient client = await ConnectAsync();
        Task<JsonElement> reply = RawAsync(client, "x");
        await Server.ReceiveAsync(Stop);

        await Server.SendTextAsync("\n\r\n\r\r\n  {\"id\": 2, \"return\": 1} \n", Stop);

        Assert.Equal(1, (await reply.WaitAsync(Limit, Stop)).GetInt32());
    }

    private async Task<TReason> EndsAsync<TReason>(byte[] bytes, Action<QmpClientOptions>? configure = null)
        where TReason : QmpException
    {
        await using QmpClient client = await ConnectAsync(configure);
        using QmpEventSubscription events = client.Subscribe();
        Task<JsonElement> first = RawAsync(client, "first");
        Task<JsonElement> second = RawAsync(client, "second");
        await Server.ReceiveAsync(Stop);

        // In the background: a session that ended reads no more.
        Task sending = Server.SendBytesAsync(bytes, Stop);

        await FailsAsync<QmpDisconnectedException>(first);
        await FailsAsync<QmpDisconnectedException>(second);
        TReason reason = await FailsAsync<TReason>(client.Completion);
        Assert.Equal(QmpConnectionState.Closed, client.State);
        Assert.Same(reason, await Record.ExceptionAsync(async () =>
        {
            await foreach (QmpEvent qmpEvent in events.WithCancellation(Stop))
            {
                Assert.Fail($"no event was sent, but {qmpEvent.Name} came");
            }
        }));
        await Record.ExceptionAsync(() => sending);
        return reason;
    }
}
