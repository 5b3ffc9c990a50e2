using System.Threading.Channels;

namespace Pengx;

/// <summary>What every driver needs for <see cref="IHypervisorDriver.WatchAsync"/>: hands events to whoever subscribed; a slow reader loses the oldest and holds nobody up.</summary>
internal sealed class DomainEventHub
{
    private const int Capacity = 1024;

    private readonly Lock _gate = new();
    private readonly HashSet<Channel<DomainEvent>> _subscribers = [];
    private bool _isClosed;

    public IAsyncEnumerable<DomainEvent> Subscribe(CancellationToken cancellationToken)
    {
        var channel = Channel.CreateBounded<DomainEvent>(new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.DropOldest });
        lock (_gate)
        {
            if (_isClosed)
            {
                channel.Writer.TryComplete();
            }
            else
            {
                _subscribers.Add(channel);
            }
        }

        return new Subscription(this, channel, cancellationToken);
    }

    public void Publish(DomainEvent domainEvent)
    {
        lock (_gate)
        {
            foreach (var subscriber in _subscribers)
            {
                subscriber.Writer.TryWrite(domainEvent);
            }
        }
    }

    public void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
            foreach (var subscriber in _subscribers)
            {
                subscriber.Writer.TryComplete();
            }

            _subscribers.Clear();
        }
    }

    private void Remove(Channel<DomainEvent> channel)
    {
        lock (_gate)
        {
            _subscribers.Remove(channel);
        }

        channel.Writer.TryComplete();
    }

    private sealed class Subscription : IAsyncEnumerable<DomainEvent>
    {
        private readonly DomainEventHub _owner;
        private readonly Channel<DomainEvent> _channel;
        private readonly CancellationToken _lifetime;

        public Subscription(DomainEventHub owner, Channel<DomainEvent> channel, CancellationToken lifetime)
        {
            _owner = owner;
            _channel = channel;
            _lifetime = lifetime;
            lifetime.UnsafeRegister(static state => ((Subscription)state!).End(), this);
        }

        public async IAsyncEnumerator<DomainEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default)
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(_lifetime, cancellationToken);
            try
            {
                await foreach (var domainEvent in _channel.Reader.ReadAllAsync(either.Token).ConfigureAwait(false))
                {
                    yield return domainEvent;
                }
            }
            finally
            {
                End();
            }
        }

        private void End() => _owner.Remove(_channel);
    }
}
