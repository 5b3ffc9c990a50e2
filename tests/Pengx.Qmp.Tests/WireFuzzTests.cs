using System.Text;
using System.Text.Json;
using CsCheck;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>Whatever the bytes and however they are cut: the same messages, or a clear end, and never a waiter left behind.</summary>
public sealed class WireFuzzTests
{
    private static readonly string[] s_lines =
    [
        """{"return": {}, "id": 2}""",
        """{"return": {"status": "running", "running": true}, "id": 3}""",
        """{"id": 2, "error": {"class": "GenericError", "desc": "caf\u00e9 \ud83e\udd80"}}""",
        """{"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": "STOP", "data": {"a": [1, -2.5e3, null, true]}}""",
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "é"}, "capabilities": ["oob"]}}""",
    ];

    private const string Awkward = "\"\\\n\r\t{}[]:,é漢\u2028\u0001";

    private static readonly Gen<string> s_line = Gen.Int[0, s_lines.Length - 1].Select(i => s_lines[i]);

    private static readonly Gen<string> s_text =
        Gen.OneOf(
            Gen.String[Gen.Char.AlphaNumeric, 0, 40],
            Gen.String[Gen.Int[0, Awkward.Length - 1].Select(i => Awkward[i]), 0, 40]);

    private static readonly JsonReaderOptions s_options = new() { MaxDepth = 64 };

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public void The_parser_reads_what_was_written() =>
        Gen.Select(s_text, s_text, Gen.Long[0, 253402300799], Gen.Int[0, 999999]).Sample(
            (name, text, seconds, microseconds) =>
            {
                string line = $$$"""{"event": {{{Quote(name)}}}, "timestamp": {"microseconds": {{{microseconds}}}, "seconds": {{{seconds}}}}, "data": {"t": {{{Quote(text)}}}}}""";
                QmpMessage message = QmpMessage.Parse(Encoding.UTF8.GetBytes(line), s_options);
                QmpEvent qmpEvent = message.ReadEvent(TimeProvider.System);
                return qmpEvent.Name == name
                    && qmpEvent.Data.GetProperty("t").GetString() == text
                    && qmpEvent.Timestamp.ToUnixTimeSeconds() == seconds
                    && qmpEvent.Timestamp.Ticks % TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond == microseconds;
            },
            iter: 2000);

    [Fact]
    public void The_parser_throws_nothing_but_protocol_errors() =>
        Gen.Select(s_line, Gen.Select(Gen.Int[0, 200], Gen.Byte, Gen.Int[0, 2]).Array[0, 6]).Sample(
            (line, mutations) =>
            {
                List<byte> bytes = [.. Encoding.UTF8.GetBytes(line)];
                foreach ((int position, byte value, int kind) in mutations)
                {
                    int at = Math.Min(position, bytes.Count - 1);
                    if (kind == 0)
                    {
                        bytes[at] = value;
                    }
                    else if (kind == 1)
                    {
                        bytes.Insert(at, value);
                    }
                    else if (bytes.Count > 1)
                    {
                        bytes.RemoveAt(at);
                    }
                }

                ParseAll([.. bytes]);
            },
            iter: 20_000);

    [Fact]
    public void The_parser_survives_any_bytes() => Gen.Byte.Array[0, 300].Sample(ParseAll, iter: 5_000);

    [Fact]
    public async Task However_the_bytes_are_cut_the_same_messages_arrive() =>
        await Gen.Select(s_text.Array[1, 12], Gen.Int[1, 60].Array[1, 20]).SampleAsync(
            async (texts, cuts) =>
            {
                await using FakeQmpServer server = FakeQmpServer.InMemory();
                Task<QmpClient> connecting = QmpClient.AttachAsync(server.ClientStream!, cancellationToken: Stop);
                await server.NegotiateAsync(Stop);
                await using QmpClient client = await connecting;
                using QmpEventSubscription events = client.Subscribe();
                Task<JsonElement> last = client.ExecuteRawAsync("last", cancellationToken: Stop);
                FakeQmpRequest request = await server.ReceiveAsync(Stop);
                byte[] bytes = Encoding.UTF8.GetBytes(
                    string.Concat(texts.Select(text => FakeQmpServer.Event("E", $"{{\"t\": {Quote(text)}}}") + "\n")) + FakeQmpServer.Reply(request, "7") + "\r\n");

                for (int at = 0, cut = 0; at < bytes.Length; cut++)
                {
                    int length = Math.Min(cuts[cut % cuts.Length], bytes.Length - at);
                    await server.SendBytesAsync(bytes.AsMemory(at, length), Stop);
                    at += length;
                }

                Assert.Equal(7, (await last.WaitAsync(TimeSpan.FromSeconds(20), Stop)).GetInt32());
                List<string?> received = [];
                while (events.TryRead(out QmpEvent? qmpEvent))
                {
                    received.Add(qmpEvent.Data.GetProperty("t").GetString());
                }

                Assert.Equal(texts, received);
            },
            iter: 150);

    [Fact]
    public async Task Whatever_the_peer_sends_every_waiter_is_released() =>
        await Gen.Select(Gen.OneOf(s_line.Select(line => Encoding.UTF8.GetBytes(line + "\n")), Gen.Byte.Array[0, 50]).Array[0, 8], Gen.Bool).SampleAsync(
            async (chunks, hangUp) =>
            {
                FakeQmpServer server = FakeQmpServer.InMemory();
                Task<QmpClient> connecting = QmpClient.AttachAsync(server.ClientStream!, cancellationToken: Stop);
                await server.NegotiateAsync(Stop);
                QmpClient client = await connecting;
                Task[] waiting = [.. Enumerable.Range(0, 10).Select(_ => (Task)client.ExecuteAsync(QmpCommands.QueryStatus, Stop))];
                foreach (byte[] chunk in chunks)
                {
                    await server.SendBytesAsync(chunk, Stop);
                }

                if (hangUp)
                {
                    await server.DisposeAsync();
                    await Record.ExceptionAsync(() => client.Completion.WaitAsync(TimeSpan.FromSeconds(20), Stop));
                }
                else
                {
                    await client.DisposeAsync();
                }

                Assert.True(client.Completion.IsCompleted);
                foreach (Task task in waiting)
                {
                    Exception? error = await Record.ExceptionAsync(() => task.WaitAsync(TimeSpan.FromSeconds(20), Stop));
                    Assert.True(error is null or QmpException, error?.ToString());
                }

                await client.DisposeAsync();
                await server.DisposeAsync();
            },
            iter: 150);

    private static string Quote(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    private static void ParseAll(byte[] line)
    {
        try
        {
            QmpMessage message = QmpMessage.Parse(line, s_options);
            switch (message.Kind)
            {
                case QmpMessageKind.Event:
                    message.ReadEvent(TimeProvider.System);
                    break;
                case QmpMessageKind.Error:
                    message.ReadError();
                    break;
                case QmpMessageKind.Greeting:
                    message.ReadGreeting();
                    break;
                default:
                    break;
            }
        }
        catch (QmpProtocolException)
        {
            // The one error that a peer may cause.
        }
    }
}
