using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Pengx.Client.Tests;

/// <summary>One request as it arrived.</summary>
internal sealed record RawRequest(int Connection, string Method, string Path, IReadOnlyDictionary<string, string> Headers, string Body)
{
    public string? Header(string name) => Headers.GetValueOrDefault(name);
}

/// <summary>
/// An HTTP server on loopback whose answers are written byte by byte by the test, right or wrong: what real servers should not do and some do.
/// </summary>
internal sealed class RawServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentBag<Task> _connections = [];
    private readonly Func<RawRequest, RawAnswer, Task> _answer;
    private readonly Task _accepting;

    public RawServer(Func<RawRequest, RawAnswer, Task> answer)
    {
        _answer = answer;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    /// <summary>Answers every request with the same bytes.</summary>
    public RawServer(string answer)
        : this((_, connection) => connection.WriteAsync(answer))
    {
    }

    public Uri Address => new($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}/");

    public ConcurrentQueue<RawRequest> Requests { get; } = new();

    public RawRequest Single => Assert.Single(Requests);

    /// <summary>A whole answer with its length.</summary>
    public static string Xml(string body, string status = "200 OK", string headers = "") =>
        Whole(status, $"Content-Type: application/xml; charset=utf-8\r\n{headers}", body);

    public static string Whole(string status, string headers, string body) =>
        $"HTTP/1.1 {status}\r\n{headers}Content-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}";

    public static string Result(bool result, string message, string status = "200 OK", string headers = "") =>
        Xml($"<root><result>{result}</result><message>{message}</message></root>", status, headers);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        _listener.Stop();
        await Task.WhenAll(_connections);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            for (var number = 0; ; number++)
            {
                var client = await _listener.AcceptTcpClientAsync(_stop.Token);
                _connections.Add(ServeAsync(client, number));
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task ServeAsync(TcpClient client, int number)
    {
        using (client)
        {
            client.NoDelay = true;
            var stream = client.GetStream();
            var answer = new RawAnswer(stream, _stop.Token);
            try
            {
                while (!answer.Closed && await ReadAsync(stream, number) is { } request)
                {
                    Requests.Enqueue(request);
                    await _answer(request, answer);
                }
            }
            catch (Exception exception) when (exception is OperationCanceledException or IOException or SocketException)
            {
            }
        }
    }

    private async Task<RawRequest?> ReadAsync(NetworkStream stream, int number)
    {
        var head = new List<byte>();
        var one = new byte[1];
        while (head.Count < 4 || !head[^4..].SequenceEqual("\r\n\r\n"u8.ToArray()))
        {
            if (await stream.ReadAsync(one, _stop.Token) == 0)
            {
                return null;
            }

            head.Add(one[0]);
        }

        var lines = Encoding.Latin1.GetString([.. head]).Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        var first = lines[0].Split(' ');
        var headers = lines.Skip(1).Select(line => line.Split(": ", 2))
            .ToDictionary(pair => pair[0], pair => pair[1], StringComparer.OrdinalIgnoreCase);
        var length = headers.TryGetValue("Content-Length", out var text) ? int.Parse(text, CultureInfo.InvariantCulture) : 0;
        var body = new byte[length];
        await stream.ReadExactlyAsync(body, _stop.Token);
        return new RawRequest(number, first[0], first[1], headers, Encoding.UTF8.GetString(body));
    }
}

/// <summary>The server's side of one connection.</summary>
internal sealed class RawAnswer(NetworkStream stream, CancellationToken stopped)
{
    public CancellationToken Stopped => stopped;

    /// <summary>Set to end the connection after this answer.</summary>
    public bool Closed { get; set; }

    public async Task WriteAsync(string text)
    {
        await stream.WriteAsync(Encoding.UTF8.GetBytes(text), stopped);
        await stream.FlushAsync(stopped);
    }

    /// <summary>One chunk of a chunked body.</summary>
    public Task WriteChunkAsync(string text) =>
        WriteAsync($"{Encoding.UTF8.GetByteCount(text):x}\r\n{text}\r\n");

    /// <summary>Never answers: until the test ends, or the client goes away.</summary>
    public async Task HangAsync()
    {
        Closed = true;
        _ = await stream.ReadAsync(new byte[1], stopped);
    }
}
