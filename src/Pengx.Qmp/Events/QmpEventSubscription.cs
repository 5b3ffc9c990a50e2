using System.Threading.Channels;

namespace Pengx.Qmp;

/// <summary>
/// A stream of events, live from the moment it was made. It holds a bounded number of events: a slow reader loses the oldest,
/// counted in <see cref="Dropped"/>, and never holds up the connection. It ends when disposed or when the session ends cleanly,
/// and throws the session's error after the last event otherwise. Meant for one reader.
/// </summary>
public sealed class QmpEventSubscription : IAsyncEnumerable<QmpEvent>, IDisposable
{
    private readonly Channel<QmpEvent> _events;
    private readonly QmpEventFilter _filter;
    private Action<QmpEventSubscription>? _onDispose;
    private long _dropped;
    private long _gaps;

    internal QmpEventSubscription(QmpEventFilter filter, int capacity, Action<QmpEventSubscription> onDispose)
    {
        _filter = filter;
        _onDispose = onDispose;
        _events = Channel.CreateBounded<QmpEvent>(
            new BoundedChannelOptions(capacity) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = false, SingleWriter = false },
            _ =>
            {
                Interlocked.Increment(ref _dropped);
                QmpDiagnostics.EventsDropped.Add(1);
            });
    }

    /// <summary>How many events this subscription lost because its reader was too slow.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>How often the connection was lost and made again under this subscription (<see cref="ReconnectingQmpClient"/>): events of those times are missing, uncounted.</summary>
    public long Gaps => Interlocked.Read(ref _gaps);

    /// <inheritdoc/>
    public IAsyncEnumerator<QmpEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        _events.Reader.ReadAllAsync(cancellationToken).GetAsyncEnumerator(cancellationToken);

    /// <summary>Takes an event that has already arrived, without waiting.</summary>
    /// <param name="qmpEvent">The event, if there is one.</param>
    public bool TryRead([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out QmpEvent? qmpEvent) => _events.Reader.TryRead(out qmpEvent);

    /// <summary>Waits until an event can be read; false once the stream has ended.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpException">The session ended otherwise than cleanly.</exception>
    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default) => _events.Reader.WaitToReadAsync(cancellationToken);

    /// <summary>Ends the stream: its reader gets what had arrived, and then the end.</summary>
    public void Dispose()
    {
        Interlocked.Exchange(ref _onDispose, null)?.Invoke(this);
        _events.Writer.TryComplete();
    }

    internal bool Wants(string name) => _filter.Matches(name);

    internal void Publish(QmpEvent qmpEvent) => _events.Writer.TryWrite(qmpEvent);

    internal void CountGap() => Interlocked.Increment(ref _gaps);

    internal void CountDropped(long count) => Interlocked.Add(ref _dropped, count);

    internal void Complete(Exception? reason) => _events.Writer.TryComplete(reason);
}
