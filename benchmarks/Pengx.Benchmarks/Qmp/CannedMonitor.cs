using System.Net.Sockets;

namespace Pengx.Benchmarks.Qmp;

/// <summary>Answers each line with the same status under the line's own id, on a thread of its own and without allocating.</summary>
internal sealed class CannedMonitor : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Thread _thread;
    private Socket? _connection;

    internal CannedMonitor(string socketPath)
    {
        SocketPath = socketPath;
        _listener.Bind(new UnixDomainSocketEndPoint(socketPath));
        _listener.Listen(1);
        _thread = new Thread(Serve) { IsBackground = true };
        _thread.Start();
    }

    internal string SocketPath { get; }

    public void Dispose()
    {
        _connection?.Dispose();
        _listener.Dispose();
        _thread.Join();
    }

    private void Serve()
    {
        byte[] input = new byte[64 * 1024];
        byte[] output = new byte[64 * 1024];
        try
        {
            using Socket connection = _connection = _listener.Accept();
            connection.Send("{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n"u8);
            int held = 0;
            while (true)
            {
                int received = connection.Receive(input.AsSpan(held));
                if (received == 0)
                {
                    return;
                }

                held += received;
                Span<byte> rest = input.AsSpan(0, held);
                int written = 0;
                while (rest.IndexOf((byte)'\n') is >= 0 and int end)
                {
                    Span<byte> line = rest[..end];
                    ReadOnlySpan<byte> id = line[(line.LastIndexOf((byte)':') + 1)..^1];
                    written += Append("{\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}, \"id\": "u8, output.AsSpan(written));
                    written += Append(id, output.AsSpan(written));
                    written += Append("}\r\n"u8, output.AsSpan(written));
                    rest = rest[(end + 1)..];
                }

                held = rest.Length;
                rest.CopyTo(input);
                connection.Send(output.AsSpan(0, written));
            }
        }
        catch (SocketException)
        {
            // The benchmark is over.
        }
    }

    private static int Append(ReadOnlySpan<byte> text, Span<byte> output)
    {
        text.CopyTo(output);
        return text.Length;
    }
}
