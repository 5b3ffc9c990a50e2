namespace Pengx.Xen;

/// <summary>How busy the host's processors are: what all domains used between two readings.</summary>
internal sealed class XenProcessorLoad(TimeProvider time)
{
    private readonly Lock _gate = new();
    private Dictionary<int, TimeSpan> _before = [];
    private long _at;

    /// <summary>Takes a reading.</summary>
    /// <param name="rows">All domains, the control domain included.</param>
    /// <param name="cpus">The host's processors.</param>
    /// <returns>Percent of all processors since the previous reading; 0 the first time.</returns>
    public double Take(IReadOnlyList<XlListEntry> rows, int cpus)
    {
        lock (_gate)
        {
            var now = time.GetTimestamp();
            var elapsed = _at == 0 ? TimeSpan.Zero : time.GetElapsedTime(_at, now);

            // A domain that is new has used all its time since; one that is gone is not counted any more.
            var used = rows.Sum(row => (row.CpuTime - _before.GetValueOrDefault(row.Domain)).TotalSeconds);
            _before = rows.ToDictionary(row => row.Domain, row => row.CpuTime);
            _at = now;
            return elapsed > TimeSpan.Zero ? Math.Clamp(100.0 * used / (elapsed.TotalSeconds * Math.Max(1, cpus)), 0, 100) : 0;
        }
    }
}
