using BenchmarkDotNet.Attributes;
using Pengx.Xen;

namespace Pengx.Benchmarks.Xenstore;

/// <summary>
/// Reads at Debian's C xenstored. Watch the allocations, which are stable; times on a shared machine are not: for those there is
/// <see cref="RealXenstoredComparison"/>.
/// </summary>
[MemoryDiagnoser]
#pragma warning disable CA1001 // The runner calls StopAsync, which disposes them.
public class ReadBenchmarks
#pragma warning restore CA1001
{
    private const string NodePath = "/local/domain/1/name";

    private readonly ValueTask<XenstoreValue>[] _reads = new ValueTask<XenstoreValue>[16];
    private RealXenstored _daemon = null!;
    private XenstoreClient _client = null!;

    [GlobalSetup]
    public async Task StartAsync()
    {
        _daemon = new RealXenstored();
        (await _daemon.ConnectBareAsync()).Dispose();
        _client = await XenstoreClient.ConnectAsync(XenstoreEndPoint.At(_daemon.SocketPath));
        await _client.WriteAsync(NodePath, "a guest's name");
        for (var i = 0; i < 200; i++)
        {
            await _client.WriteAsync($"/tree/{i / 10}/{i}", "value");
        }
    }

    [GlobalCleanup]
    public async Task StopAsync()
    {
        await _client.DisposeAsync();
        await _daemon.DisposeAsync();
    }

    [Benchmark(Baseline = true)]
    public ValueTask<XenstoreValue> Read() => _client.ReadAsync(NodePath);

    [Benchmark]
    public ValueTask<XenstoreValue?> FindMissing() => _client.FindAsync("/missing");

    [Benchmark]
    public ValueTask Write() => _client.WriteAsync(NodePath, XenstoreValue.Empty);

    [Benchmark(OperationsPerInvoke = 16)]
    public async Task SixteenReadsAtOnce()
    {
        for (var i = 0; i < _reads.Length; i++)
        {
#pragma warning disable CA2012 // Each is awaited once, below.
            _reads[i] = _client.ReadAsync(NodePath);
#pragma warning restore CA2012
        }

        foreach (var read in _reads)
        {
            await read;
        }
    }

    [Benchmark(OperationsPerInvoke = 221)]
    public Task<XenstoreNode?> Tree() => _client.FindTreeAsync("/tree");
}
