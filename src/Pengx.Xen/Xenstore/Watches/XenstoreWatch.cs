using System.Threading.Channels;

namespace Pengx.Xen;

/// <summary>
/// A watch, live from the moment it was made until it is disposed. It holds a bounded number of events: a slow reader loses the oldest, told
/// by a <see cref="XenstoreWatchEventKind.Gap"/> in their place, and never holds up the connection. After a reconnect it is set up again by
/// itself, told by a gap too. It ends when it or the client is disposed, and throws the reason after the last event when the connection
/// is lost for good. Leaving an <c>await foreach</c> does not end it: dispose it. Meant for one reader.
/// </summary>
public sealed class XenstoreWatch : IAsyncEnumerable<XenstoreWatchEvent>, IAsyncDisposable
{
    private readonly Channel<XenstoreWatchEvent> _events;
    private readonly Func<XenstoreWatch, ValueTask> _end;
    private int _isGapDue;
    private int _isDisposed;
    private long _dropped;
    private long _gaps;

    internal XenstoreWatch(XenstorePath path, string token, XenstoreWatchOptions options, Func<XenstoreWatch, ValueTask> end)
    {
        Path = path;
        Token = token;
        Depth = options.Depth;
        _end = end;
        _events = Channel.CreateBounded<XenstoreWatchEvent>(
            new BoundedChannelOptions(options.QueueLength) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = false, SingleWriter = false },
            OnDropped);
    }

    /// <summary>What is watched.</summary>
    public XenstorePath Path { get; }

    /// <summary>How many events this watch lost because its reader was too slow.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>How often the connection was lost and made again under this watch: changes of those times are missing, uncounted.</summary>
    public long Gaps => Interlocked.Read(ref _gaps);

    /// <summary>What tells this watch's events from others' on the same connection.</summary>
    internal string Token { get; }

    internal int? Depth { get; }

    /// <summary>Whether the daemon has it: only such a watch is set up again after a reconnect. Set where answers are read, so that no reconnect can come between.</summary>
    internal bool IsRegistered { get; set; }

    internal bool IsDisposed => Volatile.Read(ref _isDisposed) != 0;

    /// <inheritdoc/>
    public async IAsyncEnumerator<XenstoreWatchEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        while (await WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            while (TryRead(out var change))
            {
                yield return change;
            }
        }
    }

    /// <summary>Takes an event that has already arrived, without waiting.</summary>
    /// <param name="change">The event, if there is one.</param>
    public bool TryRead(out XenstoreWatchEvent change)
    {
        if (Interlocked.Exchange(ref _isGapDue, 0) != 0)
        {
            change = new XenstoreWatchEvent(XenstoreWatchEventKind.Gap, Path);
            return true;
        }

        return _events.Reader.TryRead(out change);
    }

    /// <summary>Waits until an event can be read; false once the watch has ended.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="XenstoreException">The watch ended otherwise than by being disposed.</exception>
    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default) =>
        Volatile.Read(ref _isGapDue) != 0 ? new ValueTask<bool>(true) : _events.Reader.WaitToReadAsync(cancellationToken);

    /// <summary>Ends the watch: its reader gets what had arrived, and then the end.</summary>
    public ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
        {
            return ValueTask.CompletedTask;
        }

        _events.Writer.TryComplete();
        return _end(this);
    }

    /// <summary>Never waits: the thread that reads the connection calls it.</summary>
    internal void Publish(XenstorePath path) => _events.Writer.TryWrite(new XenstoreWatchEvent(XenstoreWatchEventKind.Changed, path));

    internal void PublishGap()
    {
        Interlocked.Increment(ref _gaps);
        _events.Writer.TryWrite(new XenstoreWatchEvent(XenstoreWatchEventKind.Gap, Path));
    }

    internal void Complete(Exception? reason) => _events.Writer.TryComplete(reason);

    private void OnDropped(XenstoreWatchEvent change)
    {
        Volatile.Write(ref _isGapDue, 1);
        if (change.Kind == XenstoreWatchEventKind.Changed)
        {
            Interlocked.Increment(ref _dropped);
            XenstoreDiagnostics.EventsDropped.Add(1);
        }
    }
}
