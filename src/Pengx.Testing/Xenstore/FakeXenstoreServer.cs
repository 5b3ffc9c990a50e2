using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;

namespace Pengx.Testing;

/// <summary>
/// A xenstore daemon in the test's own process, on a unix socket: a real tree with watches, transactions and the protocol's limits, for any
/// number of clients, which may all do everything. <see cref="Fault"/> makes it do what a real one will not: answer late, out of
/// order, with garbage, or not at all.
/// </summary>
public sealed partial class FakeXenstoreServer : IAsyncDisposable
{
    internal const int HeaderLength = 16;
    internal const int MaxPayload = 4096;

    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly string _socketPath;
    private readonly List<FakeXenstoreConnection> _connections = [];
    private readonly List<Task> _serving = [];
    private Socket _listener;
    private Task _accepting;

    private FakeXenstoreServer(string socketPath)
    {
        _socketPath = socketPath;
        _listener = Bind(socketPath);
        _accepting = AcceptAsync(_listener);
    }

    /// <summary>
    /// Asked for every request before it is carried out: null to carry it out and answer, or a fault. Called on the thread that serves the
    /// client, one request at a time; it may change the store meanwhile.
    /// </summary>
    public Func<FakeXenstoreRequest, FakeXenstoreFault?>? Fault { get; set; }

    /// <summary>Told of every node that was changed or removed, by a client or by the test, once it is. Called while the store is locked: whoever
    /// wants to change something in answer to it does so on another thread.</summary>
    public Action<string>? Changed { get; set; }

    /// <summary>Whether the server is as old as Xen 4.17: it knows no features, quotas or depths.</summary>
    public bool IsOld { get; set; }

    /// <summary>How many clients are connected.</summary>
    public int Clients
    {
        get
        {
            lock (_gate)
            {
                return _connections.Count;
            }
        }
    }

    /// <summary>How many watches all clients have together.</summary>
    public int Watches
    {
        get
        {
            lock (_gate)
            {
                return _connections.Sum(connection => connection.Watches.Count);
            }
        }
    }

    /// <summary>How many transactions are open.</summary>
    public int OpenTransactions
    {
        get
        {
            lock (_gate)
            {
                return _connections.Sum(connection => connection.Transactions.Count);
            }
        }
    }

    /// <summary>How many answers are held (<see cref="FakeXenstoreFault.Hold"/>).</summary>
    public int Held
    {
        get
        {
            lock (_gate)
            {
                return _connections.Sum(connection => connection.Held.Count);
            }
        }
    }

    /// <summary>Starts a server.</summary>
    /// <param name="socketPath">Where it listens; the file must not exist, and is removed in the end.</param>
    public static FakeXenstoreServer Listen(string socketPath)
    {
        ArgumentException.ThrowIfNullOrEmpty(socketPath);
        return new FakeXenstoreServer(socketPath);
    }

    /// <summary>A message as bytes of the wire.</summary>
    /// <param name="type">Its type, valid or not.</param>
    /// <param name="requestId">The request that it answers.</param>
    /// <param name="transactionId">The transaction.</param>
    /// <param name="payload">Its payload.</param>
    public static byte[] Message(uint type, uint requestId, uint transactionId, ReadOnlySpan<byte> payload)
    {
        var message = new byte[HeaderLength + payload.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, type);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), requestId);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), transactionId);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(12), (uint)payload.Length);
        payload.CopyTo(message.AsSpan(HeaderLength));
        return message;
    }

    /// <summary>Changes a node as another client would: those who watch it are told.</summary>
    /// <param name="path">The node, absolute.</param>
    /// <param name="value">What it is to hold.</param>
    public void Write(string path, string value)
    {
        lock (_gate)
        {
            _tree.Write(path, Encoding.UTF8.GetBytes(value));
            Fire();
        }
    }

    /// <summary>Removes a node as another client would: those who watch it are told.</summary>
    /// <param name="path">The node, absolute.</param>
    public void Remove(string path)
    {
        lock (_gate)
        {
            _tree.Remove(path);
            Fire();
        }
    }

    /// <summary>What a node holds; null if there is no such node.</summary>
    /// <param name="path">The node, absolute.</param>
    public string? Read(string path)
    {
        lock (_gate)
        {
            return _tree.Find(path) is { } node ? Encoding.UTF8.GetString(node.Value) : null;
        }
    }

    /// <summary>Tells who watches <c>@releaseDomain</c> or <c>@introduceDomain</c>.</summary>
    /// <param name="name">The special name.</param>
    public void FireSpecial(string name)
    {
        lock (_gate)
        {
            Fire(name, isRemoval: false);
        }
    }

    /// <summary>Sends the answers that are held, the latest first.</summary>
    public void SendHeld()
    {
        lock (_gate)
        {
            foreach (var connection in _connections)
            {
                for (var i = connection.Held.Count - 1; i >= 0; i--)
                {
                    connection.Send(connection.Held[i]);
                }

                connection.Held.Clear();
            }
        }
    }

    /// <summary>Sends bytes to every client, as they are.</summary>
    /// <param name="bytes">The bytes.</param>
    public void SendToAll(byte[] bytes)
    {
        lock (_gate)
        {
            foreach (var connection in _connections)
            {
                connection.Send(bytes);
            }
        }
    }

    /// <summary>Hangs up on every client. Their watches and transactions are gone; the store stays.</summary>
    public void DisconnectAll()
    {
        lock (_gate)
        {
            foreach (var connection in _connections)
            {
                connection.Cut();
            }
        }
    }

    /// <summary>Hangs up and listens no more, as if the daemon had died; <see cref="RestartAsync"/> undoes it.</summary>
    public async Task StopAsync()
    {
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        DisconnectAll();
        File.Delete(_socketPath);
    }

    /// <summary>Listens again after <see cref="StopAsync"/>, with the same store.</summary>
    public Task RestartAsync()
    {
        _listener = Bind(_socketPath);
        _accepting = AcceptAsync(_listener);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_stopping.IsCancellationRequested)
        {
            return;
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        await StopAsync().ConfigureAwait(false);
        Task[] serving;
        lock (_gate)
        {
            serving = [.. _serving];
        }

        await Task.WhenAll(serving).ConfigureAwait(false);
    }

    private static Socket Bind(string socketPath)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(new UnixDomainSocketEndPoint(socketPath));
            socket.Listen(16);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async Task AcceptAsync(Socket listener)
    {
        try
        {
            while (true)
            {
                FakeXenstoreConnection connection = new(await listener.AcceptAsync(_stopping.Token).ConfigureAwait(false));
                lock (_gate)
                {
                    _connections.Add(connection);
                    _serving.Add(Task.Run(() => ServeAsync(connection)));
                }
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Nobody is to connect any more.
        }
    }

    private async Task ServeAsync(FakeXenstoreConnection connection)
    {
        var writing = connection.WriteAllAsync();
        try
        {
            while (await connection.ReceiveAsync().ConfigureAwait(false) is { } request)
            {
                Serve(connection, request);
            }
        }
        catch (Exception exception) when (exception is IOException or SocketException or ObjectDisposedException)
        {
            // The client has gone.
        }

        lock (_gate)
        {
            _connections.Remove(connection);
        }

        connection.Cut();
        await writing.ConfigureAwait(false);
        connection.Dispose();
    }

    private void Serve(FakeXenstoreConnection connection, FakeXenstoreRequest request)
    {
        var fault = Fault?.Invoke(request);
        lock (_gate)
        {
            switch (fault)
            {
                case FakeXenstoreFault.Refused refused:
                    if (request.Type == FakeXenstoreType.TransactionEnd)
                    {
                        connection.Transactions.Remove(request.TransactionId);
                    }

                    connection.Send(request.Refusal(refused.Error));
                    break;
                case FakeXenstoreFault.Sent sent:
                    connection.Send(sent.Bytes);
                    break;
                case FakeXenstoreFault.Cut cut:
                    if (cut.Bytes.Length > 0)
                    {
                        connection.Send(cut.Bytes);
                    }

                    connection.Finish();
                    break;
                case FakeXenstoreFault.Silent:
                    _ = CarryOut(connection, request);
                    break;
                case FakeXenstoreFault.Held:
                    connection.Held.Add(CarryOut(connection, request).Answer);
                    break;
                default:
                    var (answer, after) = CarryOut(connection, request);
                    connection.Send(answer);
                    if (after is not null)
                    {
                        connection.Send(after);
                    }

                    break;
            }
        }
    }
}

/// <summary>One client of a fake server.</summary>
internal sealed class FakeXenstoreConnection(Socket socket) : IDisposable
{
    private readonly Channel<byte[]> _outgoing = Channel.CreateUnbounded<byte[]>();
    private readonly byte[] _header = new byte[FakeXenstoreServer.HeaderLength];

    internal List<FakeXenstoreWatch> Watches { get; } = [];

    internal Dictionary<uint, (FakeXenstoreTree Tree, ulong StartedAt)> Transactions { get; } = [];

    internal List<byte[]> Held { get; } = [];

    public void Dispose() => socket.Dispose();

    /// <summary>The next request; null when the client has gone or exceeds the protocol's limit, for which the real daemon hangs up too.</summary>
    internal async Task<FakeXenstoreRequest?> ReceiveAsync()
    {
        if (!await FillAsync(_header).ConfigureAwait(false))
        {
            return null;
        }

        var length = BinaryPrimitives.ReadUInt32LittleEndian(_header.AsSpan(12));
        if (length > FakeXenstoreServer.MaxPayload)
        {
            return null;
        }

        var payload = new byte[length];
        return await FillAsync(payload).ConfigureAwait(false)
            ? new FakeXenstoreRequest(
                (FakeXenstoreType)BinaryPrimitives.ReadUInt32LittleEndian(_header),
                BinaryPrimitives.ReadUInt32LittleEndian(_header.AsSpan(4)),
                BinaryPrimitives.ReadUInt32LittleEndian(_header.AsSpan(8)),
                payload)
            : null;
    }

    internal void Send(byte[] message) => _outgoing.Writer.TryWrite(message);

    /// <summary>Hangs up once all is sent.</summary>
    internal void Finish() => _outgoing.Writer.TryComplete();

    /// <summary>Hangs up now.</summary>
    internal void Cut()
    {
        _outgoing.Writer.TryComplete();
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // Gone already.
        }
    }

    internal async Task WriteAllAsync()
    {
        try
        {
            await foreach (var message in _outgoing.Reader.ReadAllAsync().ConfigureAwait(false))
            {
                for (var rest = message.AsMemory(); !rest.IsEmpty;)
                {
                    rest = rest[await socket.SendAsync(rest).ConfigureAwait(false)..];
                }
            }

            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The client has gone.
        }
    }

    private async Task<bool> FillAsync(Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            var count = await socket.ReceiveAsync(buffer).ConfigureAwait(false);
            if (count == 0)
            {
                return false;
            }

            buffer = buffer[count..];
        }

        return true;
    }
}

/// <summary>A watch of a client.</summary>
/// <param name="Path">What is watched, absolute.</param>
/// <param name="Given">What is watched, as the client wrote it.</param>
/// <param name="Token">The client's token.</param>
/// <param name="Depth">How many levels below; null for all.</param>
internal sealed record FakeXenstoreWatch(string Path, string Given, string Token, int? Depth)
{
    /// <summary>The message that tells a change, or null if it is none of this watch's.</summary>
    internal byte[]? Event(string changed, bool isRemoval)
    {
        string told;
        if (changed == Path)
        {
            told = Given;
        }
        else if (Path == "/" ? changed[0] == '/' : changed.StartsWith(Path + "/", StringComparison.Ordinal))
        {
            var below = changed[(Path == "/" ? 0 : Path.Length)..];
            if (Depth is { } depth && below.Count(character => character == '/') > depth)
            {
                return null;
            }

            told = Path == "/" ? changed : Given + below;
        }
        else if (isRemoval && Path.StartsWith(changed + "/", StringComparison.Ordinal))
        {
            told = Given;
        }
        else
        {
            return null;
        }

        return Told(told);
    }

    internal byte[] Told(string path) =>
        FakeXenstoreServer.Message((uint)FakeXenstoreType.WatchEvent, 0, 0, Encoding.UTF8.GetBytes($"{path}\0{Token}\0"));
}
