namespace Pengx.Storage;

/// <summary>Lets no more bytes through than a rate allows, with at most a quarter of a second's worth at once. Safe to use from
/// many threads.</summary>
internal sealed class RateLimiter
{
    private readonly double _rate;
    private readonly double _burst;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private double _tokens;
    private long _filledAt;

    /// <param name="bytesPerSecond">The rate.</param>
    /// <param name="time">The clock.</param>
    public RateLimiter(long bytesPerSecond, TimeProvider time)
    {
        _rate = bytesPerSecond;
        _burst = bytesPerSecond / 4.0;
        _time = time;
        _filledAt = time.GetTimestamp();
        _tokens = _burst;
    }

    /// <summary>The rate in bytes a second.</summary>
    public double Rate => _rate;

    /// <summary>Waits until bytes may pass.</summary>
    public Task TakeAsync(long bytes, CancellationToken cancellationToken)
    {
        double owed;
        lock (_gate)
        {
            var now = _time.GetTimestamp();
            _tokens = Math.Min(_burst, _tokens + (_time.GetElapsedTime(_filledAt, now).TotalSeconds * _rate));
            _filledAt = now;

            // Taken at once and paid afterwards: one unit may be larger than the burst.
            _tokens -= bytes;
            owed = -_tokens;
        }

        return owed <= 0 ? Task.CompletedTask : Task.Delay(TimeSpan.FromSeconds(owed / _rate), _time, cancellationToken);
    }
}
