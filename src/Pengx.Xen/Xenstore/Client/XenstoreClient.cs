using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx.Xen;

/// <summary>
/// A native client of a xenstore daemon, over its unix socket or the kernel's device. Requests of all callers share one connection and
/// wait for nothing but their own answers.
/// </summary>
public sealed partial class XenstoreClient : IXenstoreClient, IXenstoreEvents
{
    private readonly XenstoreEndPoint _endPoint;
    private readonly XenstoreClientOptions _options;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile XenstoreSession _session;
    private volatile XenstoreConnectionState _state = XenstoreConnectionState.Connected;
    private Task _keeping = Task.CompletedTask;

    private XenstoreClient(XenstoreEndPoint endPoint, XenstoreClientOptions options, XenstoreTransport transport)
    {
        _endPoint = endPoint;
        _options = options;
        _logger = options.Logger ?? NullLogger.Instance;
        Domains = new DomainRequests(this);
        Daemon = new DaemonRequests(this);

        // A connection may end with nobody asking how: that is no unobserved error.
        _ = _completion.Task.ContinueWith(
            static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _session = new XenstoreSession(transport, endPoint, options, _logger, this);
    }

    /// <inheritdoc/>
    public XenstoreConnectionState State => _state == XenstoreConnectionState.Connected && _session.IsClosed
        ? _options.Reconnect is null ? XenstoreConnectionState.Closed : XenstoreConnectionState.Reconnecting
        : _state;

    /// <inheritdoc/>
    public Task Completion => _completion.Task;

    /// <inheritdoc/>
    public IXenstoreDomains Domains { get; }

    /// <inheritdoc/>
    public IXenstoreDaemon Daemon { get; }

    /// <summary>Connects to a daemon. A failed attempt leaves nothing behind.</summary>
    /// <param name="endPoint">Where it is; null for <see cref="XenstoreEndPoint.Default"/>.</param>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="XenstoreConnectException">Nothing is there, nobody listens, nobody accepts in time, or it is not allowed.</exception>
    public static async Task<XenstoreClient> ConnectAsync(XenstoreEndPoint? endPoint = null, XenstoreClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        var place = endPoint ?? XenstoreEndPoint.Default;
        var limits = (options ?? new XenstoreClientOptions()).Validate();
        var transport = await XenstoreTransport.ConnectAsync(place, limits, cancellationToken).ConfigureAwait(false);
        XenstoreClient client = new(place, limits, transport);

        // It outlives this call, and logs or traces nothing as a part of it.
        using (XenstoreSession.Detached())
        {
            client._keeping = Task.Run(client.KeepAsync, CancellationToken.None);
        }

        return client;
    }

    /// <inheritdoc/>
    public ValueTask<XenstoreValue?> FindAsync(XenstorePath path, CancellationToken cancellationToken = default) => _session.FindAsync(0, path, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<XenstoreValue> ReadAsync(XenstorePath path, CancellationToken cancellationToken = default) => _session.ReadAsync(0, path, cancellationToken);

    /// <inheritdoc/>
    public ValueTask WriteAsync(XenstorePath path, XenstoreValue value, CancellationToken cancellationToken = default) => _session.WriteAsync(0, path, value, cancellationToken);

    /// <inheritdoc/>
    public ValueTask MakeDirectoryAsync(XenstorePath path, CancellationToken cancellationToken = default) => _session.MakeDirectoryAsync(0, path, cancellationToken);

    /// <inheritdoc/>
    public ValueTask RemoveAsync(XenstorePath path, CancellationToken cancellationToken = default) => _session.RemoveAsync(0, path, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>?> FindChildrenAsync(XenstorePath path, CancellationToken cancellationToken = default) =>
        _session.FindChildrenAsync(0, path, isMissingFine: true, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>> ListChildrenAsync(XenstorePath path, CancellationToken cancellationToken = default) =>
        _session.FindChildrenAsync(0, path, isMissingFine: false, cancellationToken)!;

    /// <inheritdoc/>
    public Task<XenstoreNode?> FindTreeAsync(XenstorePath path, CancellationToken cancellationToken = default) => XenstoreTreeWalk.RunAsync(_session, 0, path, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<XenstorePermissions> GetPermissionsAsync(XenstorePath path, CancellationToken cancellationToken = default) => _session.GetPermissionsAsync(0, path, cancellationToken);

    /// <inheritdoc/>
    public ValueTask SetPermissionsAsync(XenstorePath path, XenstorePermissions permissions, CancellationToken cancellationToken = default) =>
        _session.SetPermissionsAsync(0, path, permissions, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        _session.Close();
        await _keeping.ConfigureAwait(false);
    }

    /// <summary>Waits for the session's end and, if it was not ours, makes the next one.</summary>
    private async Task KeepAsync()
    {
        Exception? reason;
        while (true)
        {
            reason = await _session.Ended.ConfigureAwait(false);
            if (_stopping.IsCancellationRequested || reason is null)
            {
                reason = null;
                break;
            }

            if (_options.Reconnect is not { } policy)
            {
                break;
            }

            _state = XenstoreConnectionState.Reconnecting;
            try
            {
                var transport = await ReconnectAsync(policy).ConfigureAwait(false);
                XenstoreSession session = new(transport, _endPoint, _options, _logger, this);
                _session = session;
                if (_stopping.IsCancellationRequested)
                {
                    session.Close();
                    continue;
                }

                _state = XenstoreConnectionState.Connected;
                await RestoreWatchesAsync(session).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                reason = null;
                break;
            }
            catch (XenstoreException exception)
            {
                reason = exception;
                break;
            }
        }

        _state = XenstoreConnectionState.Closed;
        EndWatches(reason);
        if (reason is null)
        {
            _completion.TrySetResult();
        }
        else
        {
            _completion.TrySetException(reason);
        }
    }

    private async Task<XenstoreTransport> ReconnectAsync(XenstoreReconnectOptions policy)
    {
        var delay = policy.FirstDelay;
        for (var attempt = 1; ; attempt++)
        {
            await Task.Delay(delay, _options.TimeProvider, _stopping.Token).ConfigureAwait(false);
            try
            {
                return await XenstoreTransport.ConnectAsync(_endPoint, _options, _stopping.Token).ConfigureAwait(false);
            }
            catch (XenstoreConnectException exception) when (attempt < (policy.MaxAttempts ?? int.MaxValue))
            {
                XenstoreLog.StillAway(_logger, exception.Message);
                delay = delay * 2 < policy.LongestDelay ? delay * 2 : policy.LongestDelay;
            }
        }
    }
}
