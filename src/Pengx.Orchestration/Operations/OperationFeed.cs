using System.Collections.Immutable;
using System.Threading.Channels;

namespace Pengx.Orchestration;

/// <summary>Hands notices to watchers without ever waiting for one.</summary>
internal sealed class OperationFeed(int buffer)
{
    private ImmutableArray<Channel<Operation>> _watchers = [];
    private volatile bool _closed;

    public void Publish(Operation operation)
    {
        foreach (var watcher in _watchers)
        {
            watcher.Writer.TryWrite(operation);
        }
    }

    /// <summary>Ends all watching; what was published before can still be read.</summary>
    public void Close()
    {
        _closed = true;
        foreach (var watcher in ImmutableInterlocked.InterlockedExchange(ref _watchers, []))
        {
            watcher.Writer.TryComplete();
        }
    }

    public IAsyncEnumerable<Operation> Watch(CancellationToken cancellationToken)
    {
        var channel = Channel.CreateBounded<Operation>(
            new BoundedChannelOptions(buffer) { FullMode = BoundedChannelFullMode.DropOldest },
            static _ => OrchestrationDiagnostics.NoticesDropped.Add(1));
        ImmutableInterlocked.Update(ref _watchers, static (watchers, added) => watchers.Add(added), channel);
        if (_closed)
        {
            Remove(channel);
        }

        // A caller that never reads still gets rid of its place by cancelling.
        var registration = cancellationToken.UnsafeRegister(_ => Remove(channel), null);
        return ReadAsync(channel, registration, cancellationToken);
    }

    private async IAsyncEnumerable<Operation> ReadAsync(
        Channel<Operation> channel,
        CancellationTokenRegistration registration,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using (registration.ConfigureAwait(false))
        {
            try
            {
                await foreach (var operation in channel.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
                {
                    yield return operation;
                }
            }
            finally
            {
                Remove(channel);
            }
        }
    }

    private void Remove(Channel<Operation> channel)
    {
        ImmutableInterlocked.Update(ref _watchers, static (watchers, removed) => watchers.Remove(removed), channel);
        channel.Writer.TryComplete();
    }
}
