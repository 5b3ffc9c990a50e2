using Microsoft.Extensions.Time.Testing;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>A client of a fake daemon that misbehaves as the test says, on a clock that only the test moves.</summary>
public abstract class FakeDaemonTest : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly TemporaryFolder _folder = new();

    protected FakeDaemonTest()
    {
        _stop.CancelAfter(TimeSpan.FromMinutes(3));
        Server = FakeXenstoreServer.Listen(SocketPath);
    }

    protected static TimeSpan Limit { get; } = TimeSpan.FromSeconds(60);

    /// <summary>No call of a test waits for ever.</summary>
    protected CancellationToken Stop => _stop.Token;

    protected FakeTimeProvider Clock { get; } = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    protected FakeXenstoreServer Server { get; }

    protected string SocketPath => _folder.At("socket");

    public virtual async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _folder.Dispose();
        _stop.Dispose();
        GC.SuppressFinalize(this);
    }

    protected Task<XenstoreClient> ConnectAsync(Action<XenstoreClientOptions>? configure = null)
    {
        XenstoreClientOptions options = new() { TimeProvider = Clock };
        configure?.Invoke(options);
        return XenstoreClient.ConnectAsync(XenstoreEndPoint.At(SocketPath), options, Stop);
    }

    protected Task<TException> FailsAsync<TException>(Task task)
        where TException : Exception =>
        Assert.ThrowsAsync<TException>(() => task.WaitAsync(Limit, Stop));

    /// <summary>Waits for what another thread brings about; bounded.</summary>
    protected static async Task EventuallyAsync(Func<bool> condition, string what)
    {
        using CancellationTokenSource limit = new(Limit);
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        while (!condition())
        {
            try
            {
                await timer.WaitForNextTickAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Not in time: {what}");
            }
        }
    }

    protected async Task<XenstoreWatchEvent> NextAsync(XenstoreWatch watch)
    {
        Assert.True(await watch.WaitToReadAsync(Stop).AsTask().WaitAsync(Limit, Stop));
        Assert.True(watch.TryRead(out var change));
        return change;
    }
}
