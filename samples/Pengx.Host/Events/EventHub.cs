using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary>One event as <c>/events/</c> sends it.</summary>
/// <param name="Id">Its number; numbers increase, also over a restart of the service.</param>
/// <param name="Name"><c>vm</c> or <c>operation</c>.</param>
/// <param name="Data">One line of XML.</param>
internal sealed record ServedEvent(long Id, string Name, string Data);

/// <summary>Numbers what happens to machines and operations, keeps the newest for clients that come back, and hands it to those that listen.</summary>
internal sealed class EventHub(IHypervisorDriver driver, IOperations operations, IPengxStore store, TimeProvider time, ILogger<EventHub> logger) : BackgroundService
{
    private const int Kept = 4096;
    private const int QueueLength = 1024;

    private readonly Lock _gate = new();
    private readonly Queue<ServedEvent> _kept = new();
    private readonly List<Channel<ServedEvent>> _listeners = [];
    private readonly long _firstId = time.GetUtcNow().ToUnixTimeMilliseconds() * 1000;
    private long _lastId = time.GetUtcNow().ToUnixTimeMilliseconds() * 1000;

    /// <summary>Listens from now on, after what came since an earlier event.</summary>
    /// <param name="lastEventId">The newest event that the client has; a reset comes first when what followed it is not kept any more.</param>
    /// <param name="cancellationToken">Ends the listening.</param>
    /// <returns>Events; <see langword="null"/> stands for a reset: some were lost.</returns>
    public IAsyncEnumerable<ServedEvent?> ListenAsync(string? lastEventId, CancellationToken cancellationToken)
    {
        // A listener that cannot keep up is cut off: it comes back with its last id and gets what it missed, or a reset.
        var channel = Channel.CreateBounded<ServedEvent>(new BoundedChannelOptions(QueueLength) { FullMode = BoundedChannelFullMode.Wait, SingleReader = true });
        List<ServedEvent?> missed = [];
        lock (_gate)
        {
            if (lastEventId is not null)
            {
                var known = long.TryParse(lastEventId, out var last) && last <= _lastId && last >= _firstId
                    && (last == _lastId || (_kept.TryPeek(out var oldest) && oldest.Id <= last + 1));
                missed = known ? [.. _kept.Where(item => item.Id > last)] : [null];
            }

            _listeners.Add(channel);
        }

        return ReadAsync(missed, channel, cancellationToken);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var machines = driver.WatchAsync(stoppingToken);
        var work = operations.WatchAsync(stoppingToken);
        await Task.WhenAll(PublishMachinesAsync(machines, stoppingToken), PublishOperationsAsync(work, stoppingToken));
    }

    private async Task PublishMachinesAsync(IAsyncEnumerable<DomainEvent> events, CancellationToken cancellationToken)
    {
        await foreach (var item in events.WithCancellation(cancellationToken))
        {
            try
            {
                await using var session = await store.OpenAsync(cancellationToken);
                if (await session.VirtualMachines.FindAsync(new VmId(item.Domain.Value), cancellationToken) is { } machine)
                {
                    Publish("vm", PengxXml.WriteLine(PengxShapes.MachineStatus, new MachineStatusResource
                    {
                        Id = machine.Id.Value,
                        Name = machine.Name,
                        Status = WireNames.Of(item.State),
                    }));
                }
            }
            catch (PengxException exception)
            {
                // One event less is better than no more events.
                logger.EventLost(exception, item.Kind, item.Domain);
            }
        }
    }

    private async Task PublishOperationsAsync(IAsyncEnumerable<Operation> changes, CancellationToken cancellationToken)
    {
        await foreach (var operation in changes.WithCancellation(cancellationToken))
        {
            Publish("operation", PengxXml.WriteLine(PengxShapes.Operation, OperationEndpoints.ToResource(operation)));
        }
    }

    private void Publish(string name, string data)
    {
        lock (_gate)
        {
            var item = new ServedEvent(++_lastId, name, data);
            _kept.Enqueue(item);
            if (_kept.Count > Kept)
            {
                _kept.Dequeue();
            }

            for (var i = _listeners.Count - 1; i >= 0; i--)
            {
                if (!_listeners[i].Writer.TryWrite(item))
                {
                    _listeners[i].Writer.TryComplete();
                    _listeners.RemoveAt(i);
                }
            }
        }
    }

    private async IAsyncEnumerable<ServedEvent?> ReadAsync(List<ServedEvent?> missed, Channel<ServedEvent> channel, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        try
        {
            foreach (var item in missed)
            {
                yield return item;
            }

            await foreach (var item in channel.Reader.ReadAllAsync(cancellationToken))
            {
                yield return item;
            }
        }
        finally
        {
            lock (_gate)
            {
                _listeners.Remove(channel);
            }
        }
    }
}
