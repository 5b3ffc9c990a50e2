using System.Net.Sockets;
using BenchmarkDotNet.Attributes;
using Pengx.Qmp;

namespace Pengx.Benchmarks.Qmp;

/// <summary>
/// One command and its reply over a unix socket, against the same bytes over bare sockets. The peer is a thread that answers from
/// prepared bytes, so the difference is the client. Watch the allocations, which are stable; times on a shared machine are not.
/// </summary>
[MemoryDiagnoser]
#pragma warning disable CA1001 // The runner calls DisconnectAsync, which disposes them.
public class RoundTripBenchmarks
#pragma warning restore CA1001
{
    private readonly byte[] _buffer = new byte[4096];
    private readonly byte[] _command = [.. "{\"execute\":\"query-status\",\"id\":1}\n"u8];
    private string _directory = string.Empty;
    private CannedMonitor _monitor = null!;
    private CannedMonitor _rawMonitor = null!;
    private QmpClient _client = null!;
    private Socket _raw = null!;

    [GlobalSetup]
    public async Task ConnectAsync()
    {
        _directory = Directory.CreateTempSubdirectory("pengx-bench-").FullName;
        _monitor = new CannedMonitor(Path.Combine(_directory, "qmp"));
        _client = await QmpClient.ConnectAsync(_monitor.SocketPath);
        _rawMonitor = new CannedMonitor(Path.Combine(_directory, "raw"));
        _raw = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await _raw.ConnectAsync(new UnixDomainSocketEndPoint(_rawMonitor.SocketPath));
        _raw.Receive(_buffer);
    }

    [GlobalCleanup]
    public async Task DisconnectAsync()
    {
        await _client.DisposeAsync();
        _raw.Dispose();
        _monitor.Dispose();
        _rawMonitor.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Benchmark(Baseline = true)]
    public int BareSocket()
    {
        _raw.Send(_command);
        return _raw.Receive(_buffer);
    }

    [Benchmark]
    public async Task<int> BareSocketAsync()
    {
        await _raw.SendAsync(_command);
        return await _raw.ReceiveAsync(_buffer);
    }

    [Benchmark]
    public Task<QmpStatus> QueryStatus() => _client.ExecuteAsync(QmpCommands.QueryStatus);

    [Benchmark]
    public Task<QmpEmpty> Cont() => _client.ExecuteAsync(QmpCommands.Cont);

    [Benchmark(OperationsPerInvoke = 8)]
    public async Task EightAtOnce()
    {
        Task<QmpStatus>[] commands = new Task<QmpStatus>[8];
        for (int i = 0; i < commands.Length; i++)
        {
            commands[i] = _client.ExecuteAsync(QmpCommands.QueryStatus);
        }

        await Task.WhenAll(commands);
    }
}
