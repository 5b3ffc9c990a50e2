using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Pengx.Benchmarks.LiveDisks;

/// <summary>A monitor spoken to line by line, as a script would.</summary>
internal sealed class BareMonitor : IDisposable
{
    private readonly Socket _socket;
    private readonly StreamReader _reader;
    private readonly Queue<string> _events = new();

    private BareMonitor(Socket socket)
    {
        _socket = socket;
        _reader = new(new NetworkStream(socket), Encoding.UTF8);
        _ = _reader.ReadLine();
        Run("""{"execute":"qmp_capabilities"}""");
    }

    public static async Task<BareMonitor> ConnectAsync(string path)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
                return new(socket);
            }
            catch (SocketException) when (Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(30))
            {
                socket.Dispose();
                await Task.Yield();
            }
        }
    }

    public void Run(string command)
    {
        _socket.Send(Encoding.UTF8.GetBytes(command + "\n"));
        while (true)
        {
            string line = _reader.ReadLine() ?? throw new IOException("QEMU has ended.");
            using JsonDocument message = JsonDocument.Parse(line);
            if (message.RootElement.TryGetProperty("error", out JsonElement error))
            {
                throw new InvalidOperationException($"{command}: {error.GetRawText()}");
            }

            if (message.RootElement.TryGetProperty("return", out _))
            {
                return;
            }

            _events.Enqueue(line);
        }
    }

    public void WaitFor(string part)
    {
        while (true)
        {
            string line = _events.TryDequeue(out string? seen) ? seen : _reader.ReadLine() ?? throw new IOException("QEMU has ended.");
            if (line.Contains(part, StringComparison.Ordinal))
            {
                return;
            }
        }
    }

    public void Dispose()
    {
        _reader.Dispose();
        _socket.Dispose();
    }
}
