using Microsoft.Extensions.Time.Testing;

namespace Pengx.Storage.Tests;

public sealed class RateLimiterTests
{
    private readonly FakeTimeProvider _time = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Bytes_wait_until_the_rate_allows_them()
    {
        RateLimiter limiter = new(1000, _time);

        // A quarter of a second's worth passes at once.
        Assert.True(limiter.TakeAsync(250, Token).IsCompletedSuccessfully);
        var waiting = limiter.TakeAsync(500, Token);
        _time.Advance(TimeSpan.FromMilliseconds(499));
        Assert.False(waiting.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(2));
        await waiting.WaitAsync(TimeSpan.FromSeconds(10), Token);

        // A pause is not saved up.
        _time.Advance(TimeSpan.FromHours(1));
        Assert.True(limiter.TakeAsync(250, Token).IsCompletedSuccessfully);
        Assert.False(limiter.TakeAsync(1, Token).IsCompleted);
    }

    [Fact]
    public async Task Many_that_take_at_once_share_the_rate()
    {
        RateLimiter limiter = new(1000, _time);
        Task[] waiting = [.. Enumerable.Range(0, 10).Select(_ => limiter.TakeAsync(225, Token))];
        Assert.Equal(1, waiting.Count(task => task.IsCompleted));

        // 2250 bytes less the 250 of the beginning.
        _time.Advance(TimeSpan.FromMilliseconds(1999));
        Assert.False(waiting[^1].IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(2));
        await Task.WhenAll(waiting).WaitAsync(TimeSpan.FromSeconds(10), Token);
    }

    [Fact]
    public async Task Waiting_can_be_cancelled()
    {
        RateLimiter limiter = new(1000, _time);
        using CancellationTokenSource cancel = new();
        var waiting = limiter.TakeAsync(100_000, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }
}
