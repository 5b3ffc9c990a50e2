namespace Pengx.Client;

/// <summary>What happens at the server: <c>/events/</c>, an addition to the reference.</summary>
public interface IEventClient
{
    /// <summary>
    /// Watches the server until it is cancelled. The stream is opened by the first move of the enumeration, whose
    /// <see cref="PengxEventsOpened"/> says that it is live; an interruption (a restart of the server, a dead connection) is bridged by
    /// resuming after the last event given out, at growing intervals of 1 to 30 s. Nothing is buffered here: a slow reader slows the
    /// connection, and the server decides what it then drops.
    /// </summary>
    /// <param name="lastEventId">The event after which to go on; null starts now.</param>
    /// <param name="cancellationToken">Ends the watch.</param>
    /// <returns>The events.</returns>
    /// <exception cref="PengxApiException">The stream could not be opened at first, or is refused later.</exception>
    IAsyncEnumerable<PengxEvent> WatchAsync(string? lastEventId = null, CancellationToken cancellationToken = default);
}
