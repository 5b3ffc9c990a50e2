using System.Text.Json;
using System.Threading.Channels;

namespace Pengx.Qmp;

/// <summary>
/// A client that connects again by itself when the connection breaks. It hides nothing: commands in flight fail at once, as do new ones
/// until it is connected again; <see cref="Changes"/> tells each loss and each new session with its gap; nothing is ever sent twice.
/// After a <c>quit</c> that QEMU acknowledged it ends instead. Subscriptions go on over all sessions, with the gaps counted in
/// <see cref="QmpEventSubscription.Gaps"/>. What answers after a loss may be another QEMU at the same place: whoever has to know asks
/// for its name or its uuid.
/// </summary>
public sealed class ReconnectingQmpClient : IQmpClient
{
    private const int KeptChanges = 256;

    private readonly Lock _gate = new();
    private readonly QmpEndPoint _endPoint;
    private readonly QmpReconnectOptions _options;
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<QmpConnectionChange> _changes = Channel.CreateBounded<QmpConnectionChange>(
        new BoundedChannelOptions(KeptChanges) { FullMode = BoundedChannelFullMode.DropOldest });

    private QmpEventSubscription[] _subscriptions = [];
    private volatile QmpClient _session;
    private volatile QmpConnectionState _state = QmpConnectionState.Ready;
    private Exception? _reason;
    private Task _keeping = Task.CompletedTask;
    private int _number = 1;

    private ReconnectingQmpClient(QmpEndPoint endPoint, QmpReconnectOptions options, QmpClient first)
    {
        _endPoint = endPoint;
        _options = options;
        _session = first;
        _ = _completion.Task.ContinueWith(
            static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>What the present QEMU, or the last, said first.</summary>
    public QmpGreeting Greeting => _session.Greeting;

    /// <inheritdoc/>
    public bool IsOutOfBandEnabled => _session.IsOutOfBandEnabled;

    /// <summary><see cref="QmpConnectionState.Ready"/> while connected, <see cref="QmpConnectionState.Connecting"/> between two sessions, <see cref="QmpConnectionState.Closed"/> in the end.</summary>
    public QmpConnectionState State => _state == QmpConnectionState.Ready && _session.State != QmpConnectionState.Ready ? QmpConnectionState.Connecting : _state;

    /// <summary>Completes when the client was closed or QEMU quit when told to, and faults with the last error when it was given up.</summary>
    public Task Completion => _completion.Task;

    /// <summary>Every loss and every new session, the latest 256 kept for a reader that is late; ends with the client. Meant for one reader.</summary>
    public IAsyncEnumerable<QmpConnectionChange> Changes => _changes.Reader.ReadAllAsync();

    /// <summary>Connects for the first time; this is not repeated. See <see cref="QmpClient.ConnectAsync(QmpEndPoint, QmpClientOptions?, CancellationToken)"/> for the errors.</summary>
    /// <param name="endPoint">Where the monitor listens.</param>
    /// <param name="options">The policy; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static async Task<ReconnectingQmpClient> ConnectAsync(QmpEndPoint endPoint, QmpReconnectOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        QmpReconnectOptions policy = (options ?? new QmpReconnectOptions()).Validate();
        QmpClient first = await QmpClient.ConnectAsync(endPoint, policy.Session, cancellationToken).ConfigureAwait(false);
        ReconnectingQmpClient client = new(endPoint, policy, first);
        QmpEventSubscription events = first.Subscribe();
        client._keeping = Task.Run(() => client.KeepAsync(first, events), CancellationToken.None);
        return client;
    }

    /// <inheritdoc/>
    public Task<TResult> ExecuteAsync<TArguments, TResult>(QmpCommand<TArguments, TResult> command, TArguments arguments, CancellationToken cancellationToken = default) =>
        _session.ExecuteAsync(command, arguments, cancellationToken);

    /// <inheritdoc/>
    public Task<TResult> ExecuteWithAsync<TArguments, TResult>(
        QmpCommand<TArguments, TResult> command, TArguments arguments, QmpExecution execution, CancellationToken cancellationToken = default) =>
        _session.ExecuteWithAsync(command, arguments, execution, cancellationToken);

    /// <inheritdoc/>
    public Task<JsonElement> ExecuteRawAsync(string command, JsonElement? arguments = null, CancellationToken cancellationToken = default) =>
        _session.ExecuteRawAsync(command, arguments, cancellationToken);

    /// <summary>Subscribes to the events of this and all later sessions; live when the call returns.</summary>
    /// <param name="filter">Which events; null for all.</param>
    public QmpEventSubscription Subscribe(QmpEventFilter? filter = null)
    {
        QmpEventSubscription subscription = new(filter ?? QmpEventFilter.All, _options.Session.EventQueueLength, Unsubscribe);
        lock (_gate)
        {
            if (_state == QmpConnectionState.Closed)
            {
                subscription.Complete(_reason);
            }
            else
            {
                _subscriptions = [.. _subscriptions, subscription];
            }
        }

        return subscription;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _keeping.ConfigureAwait(false);
        await _session.DisposeAsync().ConfigureAwait(false);
    }

    private async Task KeepAsync(QmpClient session, QmpEventSubscription events)
    {
        Exception? reason = null;
        while (true)
        {
            Exception? loss = await PassOnAsync(session, events).ConfigureAwait(false);
            await session.DisposeAsync().ConfigureAwait(false);
            if (loss is null || _stopping.IsCancellationRequested)
            {
                break;
            }

            DateTimeOffset since = _options.Session.TimeProvider.GetUtcNow();
            _state = QmpConnectionState.Connecting;
            _changes.Writer.TryWrite(new QmpConnectionChange { State = QmpConnectionState.Connecting, Session = _number, Reason = loss });
            try
            {
                session = await ReconnectAsync().ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                break;
            }
            catch (QmpException exception)
            {
                reason = exception;
                break;
            }

            events = session.Subscribe();
            _session = session;
            _number++;
            foreach (QmpEventSubscription subscription in _subscriptions)
            {
                subscription.CountGap();
            }

            IReadOnlyList<QmpJobInfo> jobs = await JobsAsync(session).ConfigureAwait(false);
            _state = QmpConnectionState.Ready;
            _changes.Writer.TryWrite(new QmpConnectionChange { State = QmpConnectionState.Ready, Session = _number, BlindSince = since, Jobs = jobs });
        }

        End(reason);
    }

    /// <summary>Passes a session's events on until it ends; returns why, or null for a clean end.</summary>
    private async Task<Exception?> PassOnAsync(QmpClient session, QmpEventSubscription events)
    {
        try
        {
            await foreach (QmpEvent qmpEvent in events.WithCancellation(_stopping.Token).ConfigureAwait(false))
            {
                foreach (QmpEventSubscription subscription in _subscriptions)
                {
                    if (subscription.Wants(qmpEvent.Name))
                    {
                        subscription.Publish(qmpEvent);
                    }
                }
            }

            await session.Completion.ConfigureAwait(false);
            return null;
        }
        catch (QmpException exception)
        {
            return exception;
        }
        catch (OperationCanceledException)
        {
            return null;
        }
        finally
        {
            events.Dispose();
        }
    }

    private async Task<QmpClient> ReconnectAsync()
    {
        TimeSpan delay = _options.FirstDelay;
        for (int attempt = 1; ; attempt++)
        {
            await Task.Delay(delay, _options.Session.TimeProvider, _stopping.Token).ConfigureAwait(false);
            try
            {
                return await QmpClient.ConnectAsync(_endPoint, _options.Session, _stopping.Token).ConfigureAwait(false);
            }
            catch (QmpException) when (attempt < (_options.MaxAttempts ?? int.MaxValue))
            {
                delay = delay * 2 < _options.LongestDelay ? delay * 2 : _options.LongestDelay;
            }
        }
    }

    private static async Task<IReadOnlyList<QmpJobInfo>> JobsAsync(QmpClient session)
    {
        try
        {
            return await new QmpJobEngine(session).ListAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (QmpException)
        {
            // Lost again, which is noticed next, or a QEMU without jobs.
            return [];
        }
    }

    private void End(Exception? reason)
    {
        lock (_gate)
        {
            _reason = reason;
            _state = QmpConnectionState.Closed;
            foreach (QmpEventSubscription subscription in _subscriptions)
            {
                subscription.Complete(reason);
            }

            _subscriptions = [];
        }

        _changes.Writer.TryWrite(new QmpConnectionChange { State = QmpConnectionState.Closed, Session = _number, Reason = reason });
        _changes.Writer.TryComplete();
        if (reason is null)
        {
            _completion.TrySetResult();
        }
        else
        {
            _completion.TrySetException(reason);
        }
    }

    private void Unsubscribe(QmpEventSubscription subscription)
    {
        lock (_gate)
        {
            _subscriptions = [.. _subscriptions.Where(other => other != subscription)];
        }
    }
}
