using System.Net.Sockets;

namespace Pengx.Qmp;

internal static class MonitorSocket
{
    private static readonly TimeSpan s_retryDelay = TimeSpan.FromMilliseconds(50);

    internal static async Task<Stream> ConnectAsync(string path, QmpClientOptions options, CancellationToken cancellationToken)
    {
        UnixDomainSocketEndPoint endPoint = new(path);
        using CancellationTokenSource timeout = new(options.ConnectTimeout, options.TimeProvider);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        while (true)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(endPoint, either.Token).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (SocketException exception) when (exception.SocketErrorCode is SocketError.WouldBlock or SocketError.TryAgain)
            {
                // The monitor's backlog is full of clients that wait for the one being served.
                socket.Dispose();
            }
            catch (SocketException exception)
            {
                socket.Dispose();
                bool isTransient = exception.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable or SocketError.ConnectionReset;
                throw new QmpConnectException($"Cannot connect to the QMP socket '{path}': {exception.Message}", isTransient, exception);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                socket.Dispose();
                throw TimedOut(path, options);
            }
            catch
            {
                socket.Dispose();
                throw;
            }

            try
            {
                await Task.Delay(s_retryDelay, options.TimeProvider, either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                throw TimedOut(path, options);
            }
        }
    }

    private static QmpConnectException TimedOut(string path, QmpClientOptions options) =>
        new($"The QMP socket '{path}' did not accept a connection within {options.ConnectTimeout.TotalSeconds:0.###} s; too many clients may be waiting for it.", isTransient: true);
}
