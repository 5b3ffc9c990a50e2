using System.Diagnostics;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>What becomes of calls when the cluster's daemons crash, or stop answering: a clear error within the bound, nothing
/// half made, and work again afterwards.</summary>
[Collection(CephFaults.Name)]
public sealed class CephFaultTests : IAsyncLifetime
{
    // One wait of a tool, and what starting it and ending it takes on a busy machine.
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(20);

    private readonly CephCluster _cluster;
    private readonly RbdBench _bench;
    private readonly ProcessRunner _runner = new();

    public CephFaultTests(CephCluster cluster)
    {
        _cluster = cluster;
        _bench = new(cluster, CephCluster.StoragePool);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private RbdStorage Storage => _bench.Storage;

    private Storlink Storlink => _bench.Storlink;

    public async ValueTask InitializeAsync() => await _cluster.RequireAsync();

    public ValueTask DisposeAsync() => _bench.DisposeAsync();

    [Fact]
    public async Task A_monitor_that_never_answers_is_an_error_within_the_bound()
    {
        var spec = Spec();
        _cluster.Monitor.Freeze();
        try
        {
            await Task.WhenAll(
                UnavailableAsync(() => Storage.CreateAsync(Storlink, spec, cancellationToken: Token)),
                UnavailableAsync(() => Storage.FindAsync(Storlink, spec.Disk, DiskFormat.Raw, Token)),
                UnavailableAsync(() => Storage.MeasureAsync(Storlink, Token)),
                UnavailableAsync(() => Storage.AttachAsync(Storlink, DiskId.New(), DiskFormat.Raw, Token)));
        }
        finally
        {
            _cluster.Monitor.Thaw();
        }

        await WorksAsync(spec);
    }

    [Fact]
    public async Task An_osd_that_crashes_under_a_copy_is_an_error_within_the_bound_and_nothing_half_made_stays()
    {
        var source = _bench.PathOf("source.raw");
        await RunAsync("qemu-img", "create", "-q", "-f", "raw", source, "256M");
        await RunAsync("qemu-io", "-f", "raw", "-c", "write -P 9 0 256M", source);
        var spec = Spec() with { Size = DataSize.FromMiB(256), Source = new(new FileLocation(source), DiskFormat.Raw) };
        TaskCompletionSource moving = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var copy = Storage.CreateAsync(Storlink, spec, new Trigger(() => moving.TrySetResult()), Token);
        await moving.Task.WaitAsync(s_bound, Token);
        await _cluster.Osd.CrashAsync();
        try
        {
            await UnavailableAsync(() => copy);
        }
        finally
        {
            _cluster.Osd.Restart();
        }

        await _cluster.ExpectUpAsync();

        // It could not be cleared away while there was no disk to clear, so it is told, and goes with the next call.
        Assert.All(await _bench.ListAsync(Token), entry => Assert.False(entry.Complete));
        Assert.Null(await Storage.FindAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
        await Storage.DeleteAsync(Storlink, spec.Disk, Token);
        Assert.Empty(await _bench.ListAsync(Token));
        await WorksAsync(Spec());
    }

    [Fact]
    public async Task An_osd_that_never_answers_is_an_error_within_the_bound_and_a_removal_is_finished_later()
    {
        var spec = Spec();
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        _cluster.Osd.Freeze();
        try
        {
            await Task.WhenAll(
                UnavailableAsync(() => Storage.DeleteAsync(Storlink, spec.Disk, Token)),
                UnavailableAsync(() => Storage.GrowAsync(Storlink, DiskId.New(), DiskFormat.Raw, DataSize.FromMiB(16), Token)),
                UnavailableAsync(() => Storage.CreateAsync(Storlink, Spec(), cancellationToken: Token)),
                UnavailableAsync(() => Storage.CheckAsync(Storlink, Token)));
        }
        finally
        {
            _cluster.Osd.Thaw();
        }

        await _cluster.ExpectUpAsync();
        await Storage.DeleteAsync(Storlink, spec.Disk, Token);
        Assert.Empty(await _bench.ListAsync(Token));
        await WorksAsync(spec);
    }

    [Fact]
    public async Task A_cluster_that_is_not_there_is_an_error_within_the_bound()
    {
        var options = _bench.Options;
        options.ConfigurationFile = _bench.PathOf("nowhere.conf");
        options.StateDirectory = _bench.PathOf("nowhere");
        var storage = RbdBench.Create(options);
        var absent = await Assert.ThrowsAsync<StorageException>(() => storage.FindAsync(Storlink, DiskId.New(), DiskFormat.Raw, Token));
        Assert.Contains(options.ConfigurationFile, absent.Message, StringComparison.Ordinal);

        // Nobody listens there.
        await File.WriteAllTextAsync(options.ConfigurationFile, "[global]\nmon host = 127.0.0.1:9\n", Token);
        await UnavailableAsync(() => storage.FindAsync(Storlink, DiskId.New(), DiskFormat.Raw, Token));
    }

    private static VolumeSpec Spec() => new() { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(8) };

    private static async Task UnavailableAsync(Func<Task> call)
    {
        var watch = Stopwatch.StartNew();
        var failure = await Assert.ThrowsAsync<UnavailableException>(() => call().WaitAsync(2 * s_bound, Token));
        Assert.True(failure.IsTransient);
        Assert.Contains("Ceph", failure.Message, StringComparison.Ordinal);
        Assert.InRange(watch.Elapsed, TimeSpan.Zero, s_bound);
    }

    private async Task WorksAsync(VolumeSpec spec)
    {
        await _cluster.ExpectUpAsync();
        Assert.Equal(spec.Size, (await Storage.CreateAsync(Storlink, spec, cancellationToken: Token)).Size);
        Assert.True(Assert.Single(await _bench.ListAsync(Token)).Complete);
    }

    private async Task RunAsync(string program, params string[] arguments)
    {
        Requires.Tool(program, "qemu");
        (await _runner.RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess();
    }

    private sealed class Trigger(Action action) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => action();
    }
}
