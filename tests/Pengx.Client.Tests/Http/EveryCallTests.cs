using System.Diagnostics;

namespace Pengx.Client.Tests;

/// <summary>Whatever a server or what stands before it answers, every call ends as typed: a result or a <see cref="PengxApiException"/>, never a parser's exception, never a hang.</summary>
public sealed class EveryCallTests
{
    private const string Page = "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>502 Bad Gateway</title></head>\n<body><center><h1>Bad Gateway</h1></center><hr><br></body></html>";

    public static TheoryData<string> Answers => ["bad gateway page", "page with 200", "page with 404", "json", "empty", "broken xml", "deep xml", "doctype", "redirect", "cut off", "no http", "silence", "slow silence", "binary"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task Every_call_ends_in_a_typed_error(string answer)
    {
        await using var server = new RawServer((_, connection) => AnswerAsync(connection, answer));
        var client = Clients.Of(server, options => options.Timeout = answer.Contains("silence", StringComparison.Ordinal) ? TimeSpan.FromMilliseconds(150) : TimeSpan.FromSeconds(4));
        var count = 0;
        foreach (var (name, call) in EveryCall.Of(client, Token))
        {
            count++;
            var time = Stopwatch.StartNew();
            var error = await Record.ExceptionAsync(() => call().WaitAsync(TimeSpan.FromSeconds(30), Token));
            var typed = Assert.IsType<PengxApiException>(error, exactMatch: true);
            Assert.True(typed.Message.Length is > 10 and < 1000, $"{name}: {typed.Message}");
            Assert.True(time.Elapsed < TimeSpan.FromSeconds(10), $"{name} took {time.Elapsed}");
            Assert.Equal(
                answer switch
                {
                    // What is no event stream is known from its head.
                    "cut off" or "slow silence" when name == "Events.WatchAsync" => PengxApiFailure.Unreadable,
                    "bad gateway page" or "page with 404" => PengxApiFailure.Refused,
                    "no http" or "cut off" => PengxApiFailure.Unreachable,
                    "silence" or "slow silence" => PengxApiFailure.TimedOut,
                    _ => PengxApiFailure.Unreadable,
                },
                typed.Failure);
        }

        Assert.True(count >= 35, $"{count} calls");
    }

    private static Task AnswerAsync(RawAnswer connection, string answer)
    {
        connection.Closed = answer is "cut off" or "no http";
        return answer switch
        {
            "bad gateway page" => connection.WriteAsync(RawServer.Whole("502 Bad Gateway", "Content-Type: text/html\r\n", Page)),
            "page with 200" => connection.WriteAsync(RawServer.Whole("200 OK", "Content-Type: text/html\r\n", Page)),
            "page with 404" => connection.WriteAsync(RawServer.Whole("404 Not Found", "Content-Type: text/html\r\n", Page)),
            "json" => connection.WriteAsync(RawServer.Whole("200 OK", "Content-Type: application/json\r\n", "{\"detail\":\"x\"}")),
            "empty" => connection.WriteAsync(RawServer.Whole("200 OK", "Content-Type: application/xml\r\n", "")),
            "broken xml" => connection.WriteAsync(RawServer.Xml("<vms><vm id='1'><name>a</nom></vm>")),
            "deep xml" => connection.WriteAsync(RawServer.Xml(string.Concat(Enumerable.Repeat("<vms>", 100_000)))),
            "doctype" => connection.WriteAsync(RawServer.Xml("<!DOCTYPE vms [<!ENTITY a \"b\">]><vms>&a;</vms>")),
            "redirect" => connection.WriteAsync(RawServer.Whole("301 Moved Permanently", "Location: /elsewhere/\r\n", "")),
            "cut off" => connection.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 1000\r\n\r\n"),
            "no http" => connection.WriteAsync("SSH-2.0-OpenSSH_9.2\r\n"),
            "silence" => connection.HangAsync(),
            "slow silence" => SlowAsync(connection),
            _ => connection.WriteAsync(RawServer.Whole("200 OK", "Content-Type: application/xml\r\n", "\0\u0001\u0002<\ufffd>")),
        };
    }

    /// <summary>An answer that begins as every answer does and never ends.</summary>
    private static async Task SlowAsync(RawAnswer connection)
    {
        await connection.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n");
        await connection.WriteChunkAsync("<?xml version='1.0'?><");
        await connection.HangAsync();
    }
}
