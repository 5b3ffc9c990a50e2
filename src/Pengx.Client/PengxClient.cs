using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx.Client;

/// <summary>
/// The client of a pengx3 server, this project's or an original one. Safe to share between threads; make one and keep it. It owns
/// nothing that needs disposal: the <see cref="HttpClient"/> stays its giver's.
/// </summary>
public sealed class PengxClient : IPengxClient
{
    /// <summary>Makes a client on an <see cref="HttpClient"/>, whose own base address and default headers are not used.</summary>
    /// <param name="httpClient">
    /// Sends the requests, best over <see cref="CreateHandler"/>. Its own timeout applies besides the options'.
    /// </param>
    /// <param name="options">Where the server is; copied, later changes have no effect.</param>
    /// <param name="timeProvider">The clock; null means the system's.</param>
    /// <param name="logger">Where failures are told; null means nowhere.</param>
    /// <exception cref="ArgumentException">An option breaks its rule.</exception>
    public PengxClient(
        HttpClient httpClient, PengxClientOptions options, TimeProvider? timeProvider = null, ILogger<PengxClient>? logger = null)
        : this(() => httpClient, options, timeProvider ?? TimeProvider.System, logger ?? NullLogger<PengxClient>.Instance) =>
        ArgumentNullException.ThrowIfNull(httpClient);

    internal PengxClient(Func<HttpClient> http, PengxClientOptions options, TimeProvider timeProvider, ILogger<PengxClient> logger)
    {
        ArgumentNullException.ThrowIfNull(options);
        var transport = new PengxTransport(http, options, timeProvider, logger);
        Machines = new MachineClient(transport);
        Disks = new DiskClient(transport);
        Backups = new BackupClient(transport);
        Snapshots = new SnapshotClient(transport);
        Interfaces = new InterfaceClient(transport);
        Storlinks = new StorlinkClient(transport);
        Templates = new TemplateClient(transport);
        Hosts = new HostClient(transport);
        Storages = new StorageClient(transport);
        Networks = new NetworkClient(transport);
        Dns = new DnsClient(transport);
        Isos = new IsoClient(transport);
        SriovCards = new SriovClient(transport);
        Operations = new OperationClient(transport);
        Consistency = new ConsistencyClient(transport);
        Events = new EventClient(transport);
    }

    /// <summary>
    /// Makes the handler that suits this API: redirects are not followed, cookies not kept, and a connection on which a server could send
    /// a body after a 204, as an original one may, is not used again.
    /// </summary>
    /// <param name="configure">
    /// Sets what else a connection needs: <see cref="SocketsHttpHandler.SslOptions"/> with a client certificate or a private authority, a proxy,
    /// a Unix socket. Called for each of two handlers. Null sets nothing.
    /// </param>
    /// <returns>The handler, its owner's to dispose.</returns>
    public static HttpMessageHandler CreateHandler(Action<SocketsHttpHandler>? configure = null) => new ConnectionHandler(configure);

    /// <inheritdoc/>
    public IMachineClient Machines { get; }

    /// <inheritdoc/>
    public IDiskClient Disks { get; }

    /// <inheritdoc/>
    public IBackupClient Backups { get; }

    /// <inheritdoc/>
    public ISnapshotClient Snapshots { get; }

    /// <inheritdoc/>
    public IInterfaceClient Interfaces { get; }

    /// <inheritdoc/>
    public IStorlinkClient Storlinks { get; }

    /// <inheritdoc/>
    public ITemplateClient Templates { get; }

    /// <inheritdoc/>
    public IHostClient Hosts { get; }

    /// <inheritdoc/>
    public IStorageClient Storages { get; }

    /// <inheritdoc/>
    public INetworkClient Networks { get; }

    /// <inheritdoc/>
    public IDnsClient Dns { get; }

    /// <inheritdoc/>
    public IIsoClient Isos { get; }

    /// <inheritdoc/>
    public ISriovClient SriovCards { get; }

    /// <inheritdoc/>
    public IOperationClient Operations { get; }

    /// <inheritdoc/>
    public IConsistencyClient Consistency { get; }

    /// <inheritdoc/>
    public IEventClient Events { get; }
}
