namespace Pengx.Xen.Tests;

/// <summary>A clock that runs faster than the world's: what waits a minute by it waits a second. Waits stay waits, so nothing is decided by who comes first.</summary>
/// <param name="speed">How many times as fast.</param>
internal sealed class FastClock(double speed) : TimeProvider
{
    private readonly long _start = System.GetTimestamp();
    private readonly DateTimeOffset _startedAt = System.GetUtcNow();

    /// <summary>How many times as fast it goes; a test that waits for hours raises it when nothing else is timed.</summary>
    public double Speed { get; set; } = speed;

    public override long TimestampFrequency => System.TimestampFrequency;

    public override long GetTimestamp() => _start + (long)((System.GetTimestamp() - _start) * Speed);

    public override DateTimeOffset GetUtcNow() => _startedAt + (System.GetElapsedTime(_start) * Speed);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        new Timer(System.CreateTimer(callback, state, Scale(dueTime), Scale(period)), this);

    private TimeSpan Scale(TimeSpan time) => time <= TimeSpan.Zero ? time : TimeSpan.FromTicks(Math.Max(TimeSpan.TicksPerMillisecond, (long)(time.Ticks / Speed)));

    private sealed class Timer(ITimer timer, FastClock clock) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => timer.Change(clock.Scale(dueTime), clock.Scale(period));

        public void Dispose() => timer.Dispose();

        public ValueTask DisposeAsync() => timer.DisposeAsync();
    }
}
