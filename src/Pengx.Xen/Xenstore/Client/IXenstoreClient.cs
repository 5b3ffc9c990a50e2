namespace Pengx.Xen;

/// <summary>A client of one xenstore daemon. Safe for concurrent use.</summary>
public interface IXenstoreClient : IXenstoreOperations, IAsyncDisposable
{
    /// <summary>Where the connection stands.</summary>
    XenstoreConnectionState State { get; }

    /// <summary>Completes when the client was closed by its owner, and faults with the reason when the connection was lost for good.</summary>
    Task Completion { get; }

    /// <summary>What the toolstack of a host tells the daemon about domains.</summary>
    IXenstoreDomains Domains { get; }

    /// <summary>The daemon itself: control commands, features, quotas.</summary>
    IXenstoreDaemon Daemon { get; }

    /// <summary>
    /// Carries out changes that are seen all at once or not at all. The body runs again from the start when the commit meets a
    /// conflicting change, up to <see cref="XenstoreClientOptions.TransactionAttempts"/> times, so it must have no other effects. It uses the
    /// transaction it is given, not the client. When it throws, nothing is carried out. What it reads may be of different moments when others
    /// change it meanwhile; the commit fails then.
    /// </summary>
    /// <typeparam name="TResult">What the body returns.</typeparam>
    /// <param name="body">The changes.</param>
    /// <param name="cancellationToken">Gives up, and then nothing is carried out; handed to the body. A commit on its way is waited for.</param>
    /// <exception cref="XenstoreConflictException">Every attempt met a conflict.</exception>
    Task<TResult> TransactAsync<TResult>(Func<IXenstoreTransaction, CancellationToken, Task<TResult>> body, CancellationToken cancellationToken = default);

    /// <summary>
    /// Watches a path and all below it. The watch is set up when the call returns: whatever changes afterwards is told. The daemon tells
    /// the path itself once at the start. Dispose the watch to end it.
    /// </summary>
    /// <param name="path">The path, or a special name.</param>
    /// <param name="options">Depth and queue; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up setting it up.</param>
    Task<XenstoreWatch> WatchAsync(XenstorePath path, XenstoreWatchOptions? options = null, CancellationToken cancellationToken = default);
}

/// <summary>What the toolstack of a host tells the daemon about domains. Only domain 0 may do most of it.</summary>
public interface IXenstoreDomains
{
    /// <summary>Makes the daemon talk to a domain.</summary>
    /// <param name="domainId">The domain.</param>
    /// <param name="frame">The domain's frame that holds its ring page; signed, as the protocol has it.</param>
    /// <param name="eventChannel">The domain's unbound event channel.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask IntroduceAsync(int domainId, long frame, uint eventChannel, CancellationToken cancellationToken = default);

    /// <summary>Makes the daemon let go of a domain.</summary>
    /// <param name="domainId">The domain.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask ReleaseAsync(int domainId, CancellationToken cancellationToken = default);

    /// <summary>Whether the daemon talks to a domain.</summary>
    /// <param name="domainId">The domain.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<bool> IsIntroducedAsync(int domainId, CancellationToken cancellationToken = default);

    /// <summary>Where a domain's relative paths start.</summary>
    /// <param name="domainId">The domain.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<XenstorePath> GetPathAsync(int domainId, CancellationToken cancellationToken = default);

    /// <summary>Makes the daemon tell <c>@releaseDomain</c> again for a domain that shut down and was resumed.</summary>
    /// <param name="domainId">The domain.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask ResumeAsync(int domainId, CancellationToken cancellationToken = default);

    /// <summary>Lets one domain (a device model's) do what another may.</summary>
    /// <param name="domainId">The domain that gets the rights.</param>
    /// <param name="targetId">The domain whose rights they are.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask SetTargetAsync(int domainId, int targetId, CancellationToken cancellationToken = default);
}

/// <summary>The daemon itself. What a daemon does not know it refuses with <c>ENOSYS</c>.</summary>
public interface IXenstoreDaemon
{
    /// <summary>Sends a control command, such as <c>check</c>, <c>log</c> or <c>help</c>; they differ between daemons and versions.</summary>
    /// <param name="command">The command.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <returns>What the daemon answers, without the NUL byte at its end.</returns>
    ValueTask<string> ControlAsync(string command, IReadOnlyList<string>? arguments = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Makes the daemon forget all watches and open transactions of this connection. Every <see cref="XenstoreWatch"/> of the client
    /// ends then.
    /// </summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="InvalidOperationException">The client is connected through the kernel's device: the connection is the
    /// kernel's own, and its drivers' watches would end, too.</exception>
    ValueTask ResetWatchesAsync(CancellationToken cancellationToken = default);

    /// <summary>The features that the daemon offers to this connection.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<XenstoreFeatures> GetFeaturesAsync(CancellationToken cancellationToken = default);

    /// <summary>The features that the daemon offers to a domain.</summary>
    /// <param name="domainId">The domain.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<XenstoreFeatures> GetFeaturesAsync(int domainId, CancellationToken cancellationToken = default);

    /// <summary>Says which features the daemon offers to a domain that is not introduced yet.</summary>
    /// <param name="domainId">The domain.</param>
    /// <param name="features">The features.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask SetFeaturesAsync(int domainId, XenstoreFeatures features, CancellationToken cancellationToken = default);

    /// <summary>The names of the quotas that the daemon knows.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<IReadOnlyList<string>> ListQuotasAsync(CancellationToken cancellationToken = default);

    /// <summary>A quota; 0 for no limit.</summary>
    /// <param name="quota">Its name.</param>
    /// <param name="domainId">The domain; null for the default of new domains.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<long> GetQuotaAsync(string quota, int? domainId = null, CancellationToken cancellationToken = default);

    /// <summary>Sets a quota.</summary>
    /// <param name="quota">Its name.</param>
    /// <param name="value">The limit; 0 for none.</param>
    /// <param name="domainId">The domain; null for the default of new domains.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask SetQuotaAsync(string quota, long value, int? domainId = null, CancellationToken cancellationToken = default);
}

/// <summary>What a daemon offers beyond the basic protocol (Xen's <c>io/xs_wire.h</c>).</summary>
[Flags]
public enum XenstoreFeatures
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>A guest can reset its connection.</summary>
    Reconnection = 1,

    /// <summary>Errors of the connection are shown in the ring page.</summary>
    Error = 2,

    /// <summary>Watches can be limited in depth, and <c>@releaseDomain</c> to one domain.</summary>
    WatchDepth = 4,

    /// <summary>Permissions can be given to any domain.</summary>
    AnyDomain = 8,
}
