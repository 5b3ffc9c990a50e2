using Microsoft.Extensions.Logging;
using Pengx.Qmp;

namespace Pengx.Qemu;

/// <summary>A guest's file systems, frozen by the agent in it until this is disposed. Whether an agent is there is found out in
/// bounded time, and what may have been frozen is always thawed.</summary>
internal sealed class GuestFreeze : IAsyncDisposable
{
    private const int ThawAttempts = 3;

    private static readonly TimeSpan s_syncTimeout = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_commandTimeout = TimeSpan.FromSeconds(10);

    private readonly DomainId _domain;
    private readonly string _socket;
    private readonly QemuGuestAgentOptions _options;
    private readonly ILogger _logger;
    private QemuGuestAgentClient? _client;

    private GuestFreeze(DomainId domain, string socket, QemuGuestAgentOptions options, ILogger logger, QemuGuestAgentClient client)
    {
        _domain = domain;
        _socket = socket;
        _options = options;
        _logger = logger;
        _client = client;
    }

    /// <summary>Whether file systems are frozen.</summary>
    public bool IsFrozen { get; private set; }

    /// <summary>Freezes; <see langword="null"/> where no agent answers.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="socket">The host's end of the agent's channel.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Where it is told why nothing was frozen.</param>
    /// <param name="cancellationToken">Gives up; what was frozen by then is thawed.</param>
    public static async Task<GuestFreeze?> TryAsync(DomainId domain, string socket, TimeProvider time, ILogger logger, CancellationToken cancellationToken)
    {
        QemuGuestAgentOptions options = new() { ConnectTimeout = s_syncTimeout, SyncTimeout = s_syncTimeout, CommandTimeout = s_commandTimeout, TimeProvider = time };
        QemuGuestAgentClient client;
        try
        {
            client = await QemuGuestAgentClient.ConnectAsync(socket, options, cancellationToken).ConfigureAwait(false);
        }
        catch (QmpException exception)
        {
            Log.NotFrozen(logger, domain, exception.Message);
            return null;
        }

        GuestFreeze freeze = new(domain, socket, options, logger, client);
        try
        {
            freeze.IsFrozen = await client.ExecuteAsync(QgaCommands.Freeze, cancellationToken).ConfigureAwait(false) > 0;
            return freeze;
        }
        catch (QmpException exception)
        {
            // Refused, half done or unanswered: the guest goes on unfrozen in any case.
            Log.NotFrozen(logger, domain, exception.Message);
            await freeze.DisposeAsync().ConfigureAwait(false);
            return null;
        }
        catch
        {
            await freeze.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Thaws.</summary>
    public async ValueTask DisposeAsync()
    {
        for (var attempt = 1; attempt <= ThawAttempts; attempt++)
        {
            try
            {
                _client ??= await QemuGuestAgentClient.ConnectAsync(_socket, _options, CancellationToken.None).ConfigureAwait(false);
                await _client.ExecuteAsync(QgaCommands.Thaw, CancellationToken.None).ConfigureAwait(false);
                break;
            }
            catch (QmpException exception)
            {
                if (attempt == ThawAttempts)
                {
                    Log.ThawFailed(_logger, _domain, exception.Message);
                }

                await HangUpAsync().ConfigureAwait(false);
            }
        }

        IsFrozen = false;
        await HangUpAsync().ConfigureAwait(false);
    }

    private async ValueTask HangUpAsync()
    {
        if (_client is { } client)
        {
            _client = null;
            await client.DisposeAsync().ConfigureAwait(false);
        }
    }
}
