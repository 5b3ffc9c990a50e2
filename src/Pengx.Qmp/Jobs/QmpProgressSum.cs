namespace Pengx.Qmp;

/// <summary>Several jobs' progress as one.</summary>
internal sealed class QmpProgressSum(IProgress<QmpJobProgress>? whole, int count)
{
    private readonly Lock _gate = new();
    private readonly QmpJobProgress[] _parts = new QmpJobProgress[count];

    internal IProgress<QmpJobProgress>? Part(int index) => whole is null ? null : new One(this, index);

    /// <summary>Waits for all; the first that fails ends the wait for the others.</summary>
    internal static async Task AllOrFirstErrorAsync(IEnumerable<Func<CancellationToken, Task>> waits, CancellationTokenSource stop)
    {
        List<Task> running = [.. waits.Select(wait => wait(stop.Token))];
        Task? failed = null;
        while (running.Count > 0)
        {
            Task ended = await Task.WhenAny(running).ConfigureAwait(false);
            running.Remove(ended);
            if (!ended.IsCompletedSuccessfully && failed is null)
            {
                failed = ended;
                await stop.CancelAsync().ConfigureAwait(false);
            }
        }

        if (failed is not null)
        {
            await failed.ConfigureAwait(false);
        }
    }

    private void Report(int index, QmpJobProgress value)
    {
        QmpJobProgress sum;
        lock (_gate)
        {
            _parts[index] = value;
            sum = new QmpJobProgress(_parts.Sum(part => part.Offset), _parts.Sum(part => part.Length), _parts.All(part => part.IsReady));
        }

        whole!.Report(sum);
    }

    private sealed class One(QmpProgressSum owner, int index) : IProgress<QmpJobProgress>
    {
        public void Report(QmpJobProgress value) => owner.Report(index, value);
    }
}
