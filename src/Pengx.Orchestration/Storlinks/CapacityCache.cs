using System.Collections.Concurrent;

namespace Pengx.Orchestration;

/// <summary>Measures storage links at most once in a few seconds each, however many ask, and never lets a dead one hold a list up.</summary>
internal sealed class CapacityCache(Workplace place)
{
    private readonly ConcurrentDictionary<StorlinkId, Measurement> _measured = new();

    public async Task<StorlinkCapacity?> MeasureAsync(Storlink storlink, CancellationToken cancellationToken)
    {
        if (place.Storage.Find(storlink) is not { } backend)
        {
            return null;
        }

        var now = place.Now;
        var measurement = _measured.AddOrUpdate(
            storlink.Id,
            _ => Start(),
            (_, known) => known.Link == (storlink.Link, storlink.Level) && (!known.Result.Value.IsCompleted || now - known.At < place.Options.CapacityLifetime) ? known : Start());
        var left = measurement.At + place.Options.MeasureTimeout - now;
        try
        {
            return await measurement.Result.Value.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, place.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // It hangs in the kernel and heeds no token; nobody measures that link again before it is back.
            return null;
        }

        Measurement Start() => new((storlink.Link, storlink.Level), now, new(() => Task.Run(() => TryMeasureAsync(backend, storlink), CancellationToken.None)));
    }

    private async Task<StorlinkCapacity?> TryMeasureAsync(IStorageBackend backend, Storlink storlink)
    {
        using var patience = new CancellationTokenSource(place.Options.MeasureTimeout, place.TimeProvider);
        try
        {
            return await backend.MeasureAsync(storlink, patience.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (error is PengxException or OperationCanceledException or IOException)
        {
            // The list shows the link without figures; using it says what is wrong with it.
            return null;
        }
    }

    private sealed record Measurement((string Link, StorlinkLevel Level) Link, DateTimeOffset At, Lazy<Task<StorlinkCapacity?>> Result);
}
