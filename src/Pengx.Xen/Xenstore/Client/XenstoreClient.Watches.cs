using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace Pengx.Xen;

// Watches belong to the client, not to the connection: they outlive it.
public sealed partial class XenstoreClient
{
    private const string TokenPrefix = "pengx:";

    private readonly Lock _watchGate = new();
    private readonly ConcurrentDictionary<long, XenstoreWatch> _watches = new();
    private long _lastToken;
    private bool _watchesEnded;
    private Exception? _watchesEndedBy;

    /// <inheritdoc/>
    public async Task<XenstoreWatch> WatchAsync(XenstorePath path, XenstoreWatchOptions? options = null, CancellationToken cancellationToken = default)
    {
        var limits = (options ?? new XenstoreWatchOptions()).Validate();
        var number = Interlocked.Increment(ref _lastToken);
        XenstoreWatch watch = new(path, string.Create(CultureInfo.InvariantCulture, $"{TokenPrefix}{number}"), limits, EndWatchAsync);

        // Known before the daemon knows it, so that its first event meets it.
        _watches.TryAdd(number, watch);
        try
        {
            await _session.WatchAsync(watch, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            _watches.TryRemove(number, out _);
            throw;
        }

        // The client may have been closed just now, by a call that did not see this watch.
        lock (_watchGate)
        {
            if (_watchesEnded)
            {
                watch.Complete(_watchesEndedBy);
            }
        }

        return watch;
    }

    void IXenstoreEvents.OnEvent(ReadOnlySpan<byte> path, ReadOnlySpan<byte> token)
    {
        // One that was ended a moment ago may still have events on their way.
        if (token.Length > TokenPrefix.Length
            && Utf8Parser.TryParse(token[TokenPrefix.Length..], out long number, out _)
            && _watches.TryGetValue(number, out var watch))
        {
            watch.Publish(XenstorePath.Trusted(Encoding.UTF8.GetString(path)));
        }
    }

    private static long NumberOf(XenstoreWatch watch) => long.Parse(watch.Token.AsSpan(TokenPrefix.Length), CultureInfo.InvariantCulture);

    private async ValueTask EndWatchAsync(XenstoreWatch watch)
    {
        _watches.TryRemove(NumberOf(watch), out _);
        await UnwatchAsync(_session, watch).ConfigureAwait(false);
    }

    private static async ValueTask UnwatchAsync(XenstoreSession session, XenstoreWatch watch)
    {
        try
        {
            await session.UnwatchAsync(watch, CancellationToken.None).ConfigureAwait(false);
        }
        catch (XenstoreException)
        {
            // The connection is gone, and the watch with it; or the daemon answers nothing, and its events are dropped here.
        }
    }

    /// <summary>
    /// Each watch gets its gap before it is set up again: who reads the store on that sees all that changed until then, and what
    /// changes later is told by the watch, whose first event comes for sure.
    /// </summary>
    private async Task RestoreWatchesAsync(XenstoreSession session)
    {
        XenstoreWatch[] watches = [.. _watches.Values.Where(watch => watch.IsRegistered && !watch.IsDisposed)];
        XenstoreLog.Reconnected(_logger, _endPoint.Path, watches.Length);
        List<(XenstoreWatch Watch, Task Asked)> asked = new(watches.Length);
        foreach (var watch in watches)
        {
            watch.PublishGap();
            asked.Add((watch, session.WatchAsync(watch, CancellationToken.None).AsTask()));
        }

        foreach (var (watch, answer) in asked)
        {
            try
            {
                await answer.ConfigureAwait(false);
                if (watch.IsDisposed)
                {
                    await UnwatchAsync(session, watch).ConfigureAwait(false);
                }
            }
            catch (XenstoreDisconnectedException)
            {
                // Lost again: the next session sets it up.
            }
            catch (XenstoreException exception)
            {
                XenstoreLog.WatchLost(_logger, watch.Path.Value, exception.Message);
                _watches.TryRemove(NumberOf(watch), out _);
                watch.Complete(exception);
            }
        }
    }

    private void EndWatches(Exception? reason)
    {
        lock (_watchGate)
        {
            _watchesEnded = true;
            _watchesEndedBy = reason;
        }

        foreach (var watch in _watches.Values)
        {
            watch.Complete(reason);
        }

        _watches.Clear();
    }

    /// <summary>The daemon has forgotten all watches of this connection.</summary>
    private void ForgetWatches(IEnumerable<KeyValuePair<long, XenstoreWatch>> watches)
    {
        foreach (var (number, watch) in watches)
        {
            if (_watches.TryRemove(number, out _))
            {
                watch.Complete(null);
            }
        }
    }
}
