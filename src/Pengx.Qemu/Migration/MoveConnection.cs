using System.Buffers;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Qemu;

/// <summary>A connection between the drivers of two hosts: a line of JSON each way in turn, then, on some, a guest's state.</summary>
internal sealed class MoveConnection(Socket socket) : IDisposable
{
    private const int MaxLineBytes = 1024 * 1024;

    private readonly ArrayBufferWriter<byte> _line = new();

    public Socket Socket => socket;

    public Task SendAsync(MoveRequest request, CancellationToken cancellationToken) => WriteAsync(request, MoveJsonContext.Default.MoveRequest, cancellationToken);

    public Task SendAsync(MoveReply reply, CancellationToken cancellationToken) => WriteAsync(reply, MoveJsonContext.Default.MoveReply, cancellationToken);

    /// <summary>The next request; <see langword="null"/> when the other end hung up.</summary>
    /// <exception cref="IOException">The connection broke, or what came is none.</exception>
    public Task<MoveRequest?> ReadRequestAsync(CancellationToken cancellationToken) => ReadAsync(MoveJsonContext.Default.MoveRequest, cancellationToken);

    /// <summary>The next reply; <see langword="null"/> when the other end hung up.</summary>
    /// <exception cref="IOException">The connection broke, or what came is none.</exception>
    public Task<MoveReply?> ReadReplyAsync(CancellationToken cancellationToken) => ReadAsync(MoveJsonContext.Default.MoveReply, cancellationToken);

    public void Dispose() => socket.Dispose();

    private async Task WriteAsync<T>(T value, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(value, type), (byte)'\n'];
        for (var sent = 0; sent < line.Length;)
        {
            sent += await GuardAsync(socket.SendAsync(line.AsMemory(sent), cancellationToken)).ConfigureAwait(false);
        }
    }

    private async Task<T?> ReadAsync<T>(JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class
    {
        // Neither end sends more than a line before the other has answered, so nothing of the next one can follow.
        var buffer = new byte[4096];
        _line.ResetWrittenCount();
        while (true)
        {
            var count = await GuardAsync(socket.ReceiveAsync(buffer, cancellationToken)).ConfigureAwait(false);
            if (count == 0)
            {
                return _line.WrittenCount == 0 ? null : throw new IOException("The connection ended within a line.");
            }

            _line.Write(buffer.AsSpan(0, count));
            if (buffer[count - 1] == '\n')
            {
                break;
            }

            if (_line.WrittenCount > MaxLineBytes)
            {
                throw new IOException("A line of the other host is too long.");
            }
        }

        try
        {
            return JsonSerializer.Deserialize(_line.WrittenSpan, type) ?? throw new IOException("The other host sent nothing.");
        }
        catch (JsonException exception)
        {
            throw new IOException($"The other host's line cannot be read: {exception.Message}", exception);
        }
    }

    private static async Task<int> GuardAsync(ValueTask<int> transfer)
    {
        try
        {
            return await transfer.ConfigureAwait(false);
        }
        catch (SocketException exception)
        {
            throw new IOException($"The connection to the other host broke: {exception.Message}", exception);
        }
        catch (ObjectDisposedException exception)
        {
            throw new IOException("The connection to the other host was closed.", exception);
        }
    }
}
