using Microsoft.Extensions.Time.Testing;

namespace Pengx.Client.Tests;

/// <summary>A clock that stands still, but jumps over every wait of one of the given lengths as soon as somebody begins it.</summary>
internal sealed class SkippingClock(params TimeSpan[] skipped) : FakeTimeProvider
{
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        if (skipped.Contains(dueTime))
        {
            ThreadPool.QueueUserWorkItem(_ => Advance(dueTime));
        }

        return timer;
    }
}
