using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Pengx.Testing;

/// <summary>
/// A QEMU monitor played by a test, in memory or on a unix socket. Every step is explicit, so it can do what a real QEMU will
/// not: answer late, out of order, in pieces, with garbage, or not at all. It serves one client.
/// </summary>
public sealed class FakeQmpServer : IAsyncDisposable
{
    private readonly CancellationTokenSource _stopping = new();
    private readonly Func<CancellationToken, Task<Stream>>? _accept;
    private readonly IDisposable? _listener;
    private readonly string? _socketPath;
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly List<Task> _background = [];
    private Stream? _stream;
    private PipeReader? _reader;

    private FakeQmpServer(Stream? stream, Stream? clientStream, IDisposable? listener, Func<CancellationToken, Task<Stream>>? accept, string? socketPath)
    {
        ClientStream = clientStream;
        _listener = listener;
        _accept = accept;
        _socketPath = socketPath;
        if (stream is not null)
        {
            Use(stream);
        }
    }

    /// <summary>The client's end, to be given to <c>QmpClient.AttachAsync</c>; null on a unix socket.</summary>
    public Stream? ClientStream { get; }

    /// <summary>How what is sent reaches the client.</summary>
    public FakeQmpDelivery Delivery { get; set; }

    /// <summary>The greeting that <see cref="GreetAsync"/> sends.</summary>
    public string Greeting { get; set; } =
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "fake"}, "capabilities": ["oob"]}}""";

    /// <summary>A server and its client joined in memory.</summary>
    public static FakeQmpServer InMemory()
    {
        (Stream server, Stream client) = DuplexPipeStream.CreatePair();
        return new FakeQmpServer(server, client, null, null, null);
    }

    /// <summary>A server that listens on a unix socket; <see cref="AcceptAsync"/> takes its client.</summary>
    /// <param name="socketPath">Where; the file must not exist, and is removed in the end.</param>
    public static FakeQmpServer Listen(string socketPath)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(new UnixDomainSocketEndPoint(socketPath));
            socket.Listen(1);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        return new FakeQmpServer(
            null,
            null,
            socket,
            async cancellationToken => new NetworkStream(await socket.AcceptAsync(cancellationToken).ConfigureAwait(false), ownsSocket: true),
            socketPath);
    }

    /// <summary>Waits for the client of a listening server.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task AcceptAsync(CancellationToken cancellationToken = default)
    {
        if (_accept is null)
        {
            throw new InvalidOperationException("This server is joined to its client already.");
        }

        Use(await _accept(cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Sends the greeting.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    public Task GreetAsync(CancellationToken cancellationToken = default) => SendAsync(cancellationToken, Greeting);

    /// <summary>Greets and answers the negotiation: after it, the client is ready.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task NegotiateAsync(CancellationToken cancellationToken = default)
    {
        await GreetAsync(cancellationToken).ConfigureAwait(false);
        FakeQmpRequest request = await ReceiveAsync(cancellationToken).ConfigureAwait(false);
        if (request.Command != "qmp_capabilities")
        {
            throw new InvalidOperationException($"The client sent '{request.Command}' where the negotiation was due.");
        }

        await ReplyAsync(request, cancellationToken: cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Waits for the client's next command.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="EndOfStreamException">The client has gone.</exception>
    public async Task<FakeQmpRequest> ReceiveAsync(CancellationToken cancellationToken = default)
    {
        PipeReader reader = _reader ?? throw NoClient();
        while (true)
        {
            ReadResult result = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (System.Buffers.BuffersExtensions.PositionOf(result.Buffer, (byte)'\n') is { } end)
            {
                using JsonDocument document = JsonDocument.Parse(result.Buffer.Slice(0, end));
                JsonElement root = document.RootElement;
                bool isOutOfBand = root.TryGetProperty("exec-oob", out JsonElement command);
                FakeQmpRequest request = new(
                    (isOutOfBand ? command : root.GetProperty("execute")).GetString()!,
                    root.GetProperty("id").Clone(),
                    root.TryGetProperty("arguments", out JsonElement arguments) ? arguments.Clone() : null)
                {
                    IsOutOfBand = isOutOfBand,
                };
                reader.AdvanceTo(result.Buffer.GetPosition(1, end));
                return request;
            }

            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (result.IsCompleted)
            {
                throw new EndOfStreamException("The client has gone.");
            }
        }
    }

    /// <summary>Answers a command.</summary>
    /// <param name="request">The command.</param>
    /// <param name="result">The result, as JSON.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public Task ReplyAsync(FakeQmpRequest request, string result = "{}", CancellationToken cancellationToken = default) =>
        SendAsync(cancellationToken, Reply(request, result));

    /// <summary>Refuses a command.</summary>
    /// <param name="request">The command.</param>
    /// <param name="errorClass">QEMU's error class.</param>
    /// <param name="description">QEMU's words.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public Task RefuseAsync(FakeQmpRequest request, string errorClass, string description, CancellationToken cancellationToken = default) =>
        SendAsync(cancellationToken, Refusal(request, errorClass, description));

    /// <summary>Sends an event.</summary>
    /// <param name="name">The event's name.</param>
    /// <param name="data">Its data, as JSON; null for none.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public Task RaiseAsync(string name, string? data = null, CancellationToken cancellationToken = default) =>
        SendAsync(cancellationToken, Event(name, data));

    /// <summary>Sends whole lines, glued together in one write.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <param name="lines">The lines, without line ends.</param>
    public Task SendAsync(CancellationToken cancellationToken, params IReadOnlyList<string> lines) =>
        SendBytesAsync(Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => line + "\r\n"))), cancellationToken);

    /// <summary>Sends text as it is: garbage, or half a line.</summary>
    /// <param name="text">What to send.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public Task SendTextAsync(string text, CancellationToken cancellationToken = default) =>
        SendBytesAsync(Encoding.UTF8.GetBytes(text), cancellationToken);

    /// <summary>Sends bytes as they are.</summary>
    /// <param name="bytes">What to send.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task SendBytesAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        Stream stream = _stream ?? throw NoClient();
        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            int step = Delivery == FakeQmpDelivery.ByteByByte ? 1 : Math.Max(bytes.Length, 1);
            for (int at = 0; at < bytes.Length; at += step)
            {
                await stream.WriteAsync(bytes.Slice(at, Math.Min(step, bytes.Length - at)), cancellationToken).ConfigureAwait(false);
                await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Answers every further command in the background, until the client goes or the server is disposed.</summary>
    /// <param name="answer">Makes the line that answers a command (<see cref="Reply"/>, <see cref="Refusal"/>); null for no answer.</param>
    public void Serve(Func<FakeQmpRequest, string?> answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        _background.Add(ServeAsync(answer));
    }

    /// <summary>Hangs up.</summary>
    public async Task DisconnectAsync()
    {
        if (_stream is { } stream)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The line that answers a command.</summary>
    /// <param name="request">The command.</param>
    /// <param name="result">The result, as JSON.</param>
    public static string Reply(FakeQmpRequest request, string result = "{}")
    {
        ArgumentNullException.ThrowIfNull(request);
        return $$"""{"return": {{result}}, "id": {{request.Id.GetRawText()}}}""";
    }

    /// <summary>The line that refuses a command.</summary>
    /// <param name="request">The command.</param>
    /// <param name="errorClass">QEMU's error class.</param>
    /// <param name="description">QEMU's words.</param>
    public static string Refusal(FakeQmpRequest request, string errorClass, string description)
    {
        ArgumentNullException.ThrowIfNull(request);
        return $$"""{"id": {{request.Id.GetRawText()}}, "error": {"class": {{Quote(errorClass)}}, "desc": {{Quote(description)}} } }""";
    }

    /// <summary>The line of an event.</summary>
    /// <param name="name">The event's name.</param>
    /// <param name="data">Its data, as JSON; null for none.</param>
    public static string Event(string name, string? data = null) =>
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 250000}, \"event\": " + Quote(name) + (data is null ? "}" : $", \"data\": {data}}}");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_stopping.IsCancellationRequested)
        {
            return;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        _listener?.Dispose();
        await DisconnectAsync().ConfigureAwait(false);
        await Task.WhenAll(_background).ConfigureAwait(false);
        if (_socketPath is not null)
        {
            File.Delete(_socketPath);
        }

        _writing.Dispose();
    }

    private static string Quote(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    private static InvalidOperationException NoClient() => new("No client is connected: call AcceptAsync first.");

    private async Task ServeAsync(Func<FakeQmpRequest, string?> answer)
    {
        try
        {
            while (true)
            {
                FakeQmpRequest request = await ReceiveAsync(_stopping.Token).ConfigureAwait(false);
                if (answer(request) is { } line)
                {
                    await SendAsync(_stopping.Token, line).ConfigureAwait(false);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException or SocketException)
        {
            // The client has gone, or the test is over: either way there is nobody to answer.
        }
    }

    private void Use(Stream stream)
    {
        _stream = stream;
        _reader = PipeReader.Create(stream, new StreamPipeReaderOptions(leaveOpen: true));
    }
}
