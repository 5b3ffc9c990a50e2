using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace Pengx.Qmp;

/// <summary>Where a monitor listens, or where we listen for one.</summary>
public sealed class QmpEndPoint
{
    private readonly string? _path;
    private readonly string _host;
    private readonly QmpTls? _tls;

    private QmpEndPoint(string? path, string host, int port, QmpTls? tls)
    {
        _path = path;
        _host = host;
        _tls = tls;
        Port = port;
    }

    /// <summary>The port; 0 for a unix socket, and for a listener that leaves the choice to the system.</summary>
    public int Port { get; }

    internal string? Path => _path;

    internal QmpTls? Tls => _tls;

    /// <summary>A unix socket.</summary>
    /// <param name="path">Its path, limited by the system to 107 bytes.</param>
    public static QmpEndPoint Unix(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new QmpEndPoint(path, string.Empty, 0, null);
    }

    /// <summary>A TCP port. Whoever reaches a monitor has full power over its machine, and over QEMU's files: use TLS, or a loopback address.</summary>
    /// <param name="host">A name or an address.</param>
    /// <param name="port">The port; 0 to listen on any.</param>
    /// <param name="tls">TLS; null for none.</param>
    public static QmpEndPoint Tcp(string host, int port, QmpTls? tls = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(host);
        ArgumentOutOfRangeException.ThrowIfNegative(port);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, IPEndPoint.MaxPort);
        return new QmpEndPoint(null, host, port, tls);
    }

    /// <inheritdoc/>
    public override string ToString() =>
        _path ?? string.Create(CultureInfo.InvariantCulture, $"{(_tls is null ? "tcp" : "tls")}://{_host}:{Port}");

    internal async Task<Stream> ConnectAsync(QmpClientOptions options, CancellationToken cancellationToken)
    {
        if (_path is not null)
        {
            return await MonitorSocket.ConnectAsync(_path, options, cancellationToken).ConfigureAwait(false);
        }

        using CancellationTokenSource timeout = new(options.ConnectTimeout, options.TimeProvider);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(_host, Port, either.Token).ConfigureAwait(false);
            NetworkStream plain = new(socket, ownsSocket: true);
            return _tls is null ? plain : await SecureAsClientAsync(plain, either.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            socket.Dispose();
            throw Translated(exception, "did not accept a connection", options, cancellationToken) ?? exception;
        }
    }

    /// <summary>Secures a connection that was accepted.</summary>
    internal async Task<Stream> SecureAsServerAsync(Stream plain, CancellationToken cancellationToken)
    {
        SslStream secure = new(plain, leaveInnerStreamOpen: false);
        await secure.AuthenticateAsServerAsync(_tls!.Server!, cancellationToken).ConfigureAwait(false);
        return secure;
    }

    internal async Task<Socket> ListenAsync(CancellationToken cancellationToken)
    {
        if (_tls is not null && _tls.Server is null)
        {
            throw new InvalidOperationException("Listening with TLS needs the server's side of it.");
        }

        EndPoint local = _path is not null
            ? new UnixDomainSocketEndPoint(_path)
            : new IPEndPoint(
                IPAddress.TryParse(_host, out IPAddress? address) ? address : (await Dns.GetHostAddressesAsync(_host, cancellationToken).ConfigureAwait(false))[0],
                Port);
        Socket listener = _path is not null
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            listener.Bind(local);
            listener.Listen();
            return listener;
        }
        catch (SocketException exception)
        {
            listener.Dispose();
            throw new QmpConnectException($"Cannot listen on '{this}': {exception.Message}", isTransient: false, exception);
        }
    }

    /// <summary>The library's error for a connection that could not be made; null for one that is its own.</summary>
    internal Exception? Translated(Exception exception, string what, QmpClientOptions options, CancellationToken cancellationToken) => exception switch
    {
        OperationCanceledException when !cancellationToken.IsCancellationRequested =>
            new QmpConnectException($"'{this}' {what} within {options.ConnectTimeout.TotalSeconds:0.###} s.", isTransient: true),
        AuthenticationException => new QmpConnectException($"No trust with '{this}': {exception.Message}", isTransient: false, exception),
        SocketException or IOException => new QmpConnectException($"Cannot connect to '{this}': {exception.Message}", isTransient: true, exception),
        _ => null,
    };

    private async Task<Stream> SecureAsClientAsync(NetworkStream plain, CancellationToken cancellationToken)
    {
        SslClientAuthenticationOptions given = _tls!.Client ?? new SslClientAuthenticationOptions();
        given.TargetHost ??= _host;
        SslStream secure = new(plain, leaveInnerStreamOpen: false);
        try
        {
            await secure.AuthenticateAsClientAsync(given, cancellationToken).ConfigureAwait(false);
            return secure;
        }
        catch
        {
            await secure.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}
