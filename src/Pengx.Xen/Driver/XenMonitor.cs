using Pengx.Qmp;

namespace Pengx.Xen;

/// <summary>The monitor of a guest's QEMU. It serves one client at a time, so all who need it share one session, which ends with the last of them.</summary>
#pragma warning disable CA1001 // Its last user may leave after the domain was let go, and a semaphore that nobody asks for a handle has nothing to free.
internal sealed class XenMonitor(string socket, QmpClientOptions options)
#pragma warning restore CA1001
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private Session? _session;

    /// <summary>Whether the guest has a QEMU that listens for us.</summary>
    public bool IsThere => File.Exists(socket);

    /// <summary>Joins the session, or opens one.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpException">QEMU does not answer.</exception>
    public async Task<Lease> OpenAsync(CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            // A guest that has rebooted has another QEMU: the session of the old one is of no use.
            if (_session is not { Client.State: QmpConnectionState.Ready })
            {
                _session = new(await QmpClient.ConnectAsync(socket, options, cancellationToken).ConfigureAwait(false));
            }

            _session.Users++;
            return new(this, _session);
        }
        finally
        {
            _gate.Release();
        }
    }

    private async ValueTask LeaveAsync(Session session)
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            if (--session.Users == 0)
            {
                if (_session == session)
                {
                    _session = null;
                }

                await session.Client.DisposeAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>A use of the session.</summary>
    internal sealed class Lease : IAsyncDisposable
    {
        private readonly XenMonitor _monitor;
        private Session? _session;

        internal Lease(XenMonitor monitor, Session session)
        {
            _monitor = monitor;
            _session = session;
            Client = session.Client;
        }

        public IQmpClient Client { get; }

        public ValueTask DisposeAsync() => Interlocked.Exchange(ref _session, null) is { } session ? _monitor.LeaveAsync(session) : ValueTask.CompletedTask;
    }

    internal sealed class Session(QmpClient client)
    {
        public QmpClient Client { get; } = client;

        public int Users { get; set; }
    }
}
