using System.Net;
using System.Net.Sockets;

namespace Pengx.Qmp;

/// <summary>
/// Waits for QEMUs that connect to us (a chardev with <c>server=off</c>). It accepts one at a time, each call of
/// <see cref="AcceptAsync"/> the next.
/// </summary>
public sealed class QmpListener : IAsyncDisposable
{
    private readonly Socket _socket;
    private readonly QmpEndPoint _endPoint;
    private readonly QmpClientOptions _options;

    private QmpListener(Socket socket, QmpEndPoint endPoint, QmpClientOptions options)
    {
        _socket = socket;
        _endPoint = endPoint;
        _options = options;
        Port = socket.LocalEndPoint is IPEndPoint local ? local.Port : 0;
    }

    /// <summary>The TCP port, also where the system chose it; 0 for a unix socket.</summary>
    public int Port { get; }

    /// <summary>Begins to listen. A unix socket's file must not exist, and is removed in the end.</summary>
    /// <param name="endPoint">Where.</param>
    /// <param name="options">The limits of the sessions; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpConnectException">The place is taken or cannot be used.</exception>
    public static async Task<QmpListener> ListenAsync(QmpEndPoint endPoint, QmpClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        QmpClientOptions limits = (options ?? new QmpClientOptions()).Validate();
        return new QmpListener(await endPoint.ListenAsync(cancellationToken).ConfigureAwait(false), endPoint, limits);
    }

    /// <summary>Waits for the next QEMU and negotiates with it. A peer that fails to negotiate ends this call, not the listener.</summary>
    /// <param name="cancellationToken">Gives up; there is no other limit on the wait for a connection.</param>
    /// <exception cref="QmpConnectException">The two sides do not trust each other (TLS), or the listener was closed.</exception>
    /// <exception cref="QmpTimeoutException">Who connected does not greet.</exception>
    /// <exception cref="QmpProtocolException">Who connected is not a QEMU.</exception>
    /// <exception cref="QmpDisconnectedException">The peer hung up.</exception>
    public async Task<QmpClient> AcceptAsync(CancellationToken cancellationToken = default)
    {
        Socket socket;
        try
        {
            socket = await _socket.AcceptAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            throw new QmpConnectException($"Nobody can be accepted on '{_endPoint}' any more: {exception.Message}", isTransient: false, exception);
        }

        if (_endPoint.Path is null)
        {
            socket.NoDelay = true;
        }

        Stream stream = new NetworkStream(socket, ownsSocket: true);
        if (_endPoint.Tls is not null)
        {
            using CancellationTokenSource timeout = new(_options.ConnectTimeout, _options.TimeProvider);
            using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
            try
            {
                stream = await _endPoint.SecureAsServerAsync(stream, either.Token).ConfigureAwait(false);
            }
            catch (Exception exception)
            {
                socket.Dispose();
                throw _endPoint.Translated(exception, "did not agree on TLS with who connected", _options, cancellationToken) ?? exception;
            }
        }

        return await QmpClient.StartAsync(stream, _options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops listening. Sessions that were accepted go on.</summary>
    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        if (_endPoint.Path is { } path)
        {
            File.Delete(path);
        }

        return ValueTask.CompletedTask;
    }
}
