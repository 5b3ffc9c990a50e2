namespace Pengx.Qmp;

public sealed partial class QmpClient
{
    private readonly Lock _eventGate = new();
    private Queue<QmpEvent>? _earlyEvents;
    private long _earlyDropped;
    private QmpEventSubscription[] _subscriptions = [];
    private bool _eventsEnded;
    private Exception? _eventsEndedBy;

    /// <inheritdoc/>
    public QmpEventSubscription Subscribe(QmpEventFilter? filter = null)
    {
        QmpEventSubscription subscription = new(filter ?? QmpEventFilter.All, _options.EventQueueLength, Unsubscribe);
        lock (_eventGate)
        {
            if (_earlyEvents is { } early)
            {
                _earlyEvents = null;
                subscription.CountDropped(_earlyDropped);
                foreach (QmpEvent qmpEvent in early.Where(qmpEvent => subscription.Wants(qmpEvent.Name)))
                {
                    subscription.Publish(qmpEvent);
                }
            }

            if (_eventsEnded)
            {
                subscription.Complete(_eventsEndedBy);
            }
            else
            {
                _subscriptions = [.. _subscriptions, subscription];
            }
        }

        return subscription;
    }

    /// <summary>For the library's own use: what arrived before stays for the application's first subscription.</summary>
    internal QmpEventSubscription SubscribeFromNow(QmpEventFilter filter)
    {
        QmpEventSubscription subscription = new(filter, _options.EventQueueLength, Unsubscribe);
        lock (_eventGate)
        {
            if (_eventsEnded)
            {
                subscription.Complete(_eventsEndedBy);
            }
            else
            {
                _subscriptions = [.. _subscriptions, subscription];
            }
        }

        return subscription;
    }

    private void Unsubscribe(QmpEventSubscription subscription)
    {
        lock (_eventGate)
        {
            _subscriptions = [.. _subscriptions.Where(other => other != subscription)];
        }
    }

    private void Publish(scoped in QmpMessage message)
    {
        // Read even if nobody wants it, so that a malformed event never passes unnoticed.
        QmpEvent qmpEvent = message.ReadEvent(_options.TimeProvider);
        lock (_eventGate)
        {
            if (_earlyEvents is { } early)
            {
                if (early.Count == _options.EventQueueLength)
                {
                    early.Dequeue();
                    _earlyDropped++;
                    QmpDiagnostics.EventsDropped.Add(1);
                }

                early.Enqueue(qmpEvent);
            }

            foreach (QmpEventSubscription subscription in _subscriptions)
            {
                if (subscription.Wants(qmpEvent.Name))
                {
                    subscription.Publish(qmpEvent);
                }
            }
        }
    }

    private void EndSubscriptions(Exception? reason)
    {
        lock (_eventGate)
        {
            _eventsEnded = true;
            _eventsEndedBy = reason;
            foreach (QmpEventSubscription subscription in _subscriptions)
            {
                subscription.Complete(reason);
            }

            _subscriptions = [];
        }
    }
}
