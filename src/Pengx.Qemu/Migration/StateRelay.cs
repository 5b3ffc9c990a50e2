using System.Buffers;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Pengx.Qemu;

/// <summary>Carries a guest's state between a QEMU and the other host through this process, so that a service that dies takes the
/// connection with it: QEMU then gives the move up by itself, on either side.</summary>
internal sealed class StateRelay : IAsyncDisposable
{
    private const int BufferBytes = 256 * 1024;
    private const int UnixFamily = 1;
    private const int StreamType = 1;

    private readonly Socket _ours;
    private readonly Socket _other;
    private readonly Task _work;

    private StateRelay(Socket ours, Socket other, bool isOutgoing)
    {
        _ours = ours;
        _other = other;
        _work = isOutgoing ? RunAsync(ours, other) : RunAsync(other, ours);
    }

    /// <summary>Makes a pair of sockets; one end is for QEMU, the other is relayed.</summary>
    /// <param name="other">The connection to the other host.</param>
    /// <param name="isOutgoing">Whether the state goes from QEMU to the other host.</param>
    /// <param name="forQemu">QEMU's end, to be closed when QEMU has it.</param>
    /// <exception cref="HypervisorException">The system refused.</exception>
    public static unsafe StateRelay Start(Socket other, bool isOutgoing, out SafeSocketHandle forQemu)
    {
        var pair = stackalloc int[2];
        if (NativeMethods.SocketPair(UnixFamily, StreamType | NativeMethods.CloseOnExec, 0, pair) < 0)
        {
            throw new HypervisorException($"A pair of sockets cannot be made: {NativeMethods.LastError()}");
        }

        forQemu = new((nint)pair[1], ownsHandle: true);
        return new(new Socket(new SafeSocketHandle((nint)pair[0], ownsHandle: true)), other, isOutgoing);
    }

    public async ValueTask DisposeAsync()
    {
        _ours.Dispose();
        _other.Dispose();
        await _work.ConfigureAwait(false);
    }

    private static async Task RunAsync(Socket from, Socket to)
    {
        // The end of either is the end of both. Nothing ever comes the other way, so a read there returns when it is over.
        using CancellationTokenSource over = new();
        var end = WatchAsync(to, over);
        var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            int count;
            while ((count = await from.ReceiveAsync(buffer.AsMemory(), over.Token).ConfigureAwait(false)) > 0)
            {
                for (var sent = 0; sent < count;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, count - sent), over.Token).ConfigureAwait(false);
                }
            }

            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            Close(from);
            Close(to);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        await end.ConfigureAwait(false);
    }

    private static async Task WatchAsync(Socket to, CancellationTokenSource over)
    {
        var buffer = new byte[1];
        try
        {
            _ = await to.ReceiveAsync(buffer.AsMemory(), CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // It is over.
        }

        await over.CancelAsync().ConfigureAwait(false);
    }

    private static void Close(Socket socket)
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // It is closed already.
        }
    }
}
