using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>A session with one QEMU monitor. Safe for concurrent use; a session that ended stays ended.</summary>
public interface IQmpClient : IAsyncDisposable
{
    /// <summary>What QEMU said first: its version and its optional abilities.</summary>
    QmpGreeting Greeting { get; }

    /// <summary>Whether commands can be sent out of band (<see cref="QmpExecution.OutOfBand"/>): QEMU offered it and it was negotiated.</summary>
    bool IsOutOfBandEnabled { get; }

    /// <summary>Where the session stands.</summary>
    QmpConnectionState State { get; }

    /// <summary>
    /// Completes when the session ends cleanly (closed here, or by QEMU after it acknowledged <c>quit</c>), and faults with the
    /// reason otherwise: <see cref="QmpDisconnectedException"/> or <see cref="QmpProtocolException"/>.
    /// </summary>
    Task Completion { get; }

    /// <summary>
    /// Sends a command and waits for its reply. Commands reach QEMU in the order of the calls. Cancelling gives up the wait, not
    /// the work: a command that was sent may still be carried out, and its late reply is dropped.
    /// </summary>
    /// <typeparam name="TArguments">The arguments.</typeparam>
    /// <typeparam name="TResult">The result.</typeparam>
    /// <param name="command">The command.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="ArgumentException">The arguments cannot be written as JSON that QEMU accepts; nothing was sent.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpDisconnectedException">The session is over.</exception>
    /// <exception cref="QmpProtocolException">The reply does not fit <typeparamref name="TResult"/>.</exception>
    Task<TResult> ExecuteAsync<TArguments, TResult>(QmpCommand<TArguments, TResult> command, TArguments arguments, CancellationToken cancellationToken = default);

    /// <summary>Sends a command in another way than the usual: out of band, with a file descriptor, or with a time limit of its own.</summary>
    /// <typeparam name="TArguments">The arguments.</typeparam>
    /// <typeparam name="TResult">The result.</typeparam>
    /// <param name="command">The command.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="execution">How it is sent.</param>
    /// <param name="cancellationToken">Gives up the wait; see <see cref="ExecuteAsync"/> for the rules.</param>
    /// <exception cref="InvalidOperationException">Out-of-band execution was not negotiated, or descriptors cannot be passed over this connection; nothing was sent.</exception>
    Task<TResult> ExecuteWithAsync<TArguments, TResult>(
        QmpCommand<TArguments, TResult> command, TArguments arguments, QmpExecution execution, CancellationToken cancellationToken = default);

    /// <summary>Sends any command, as JSON; see <see cref="ExecuteAsync"/> for the rules.</summary>
    /// <param name="command">The command's name, as QEMU spells it.</param>
    /// <param name="arguments">A JSON object, or null for none.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    Task<JsonElement> ExecuteRawAsync(string command, JsonElement? arguments = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Subscribes to events; live when the call returns. The first subscription of a session also gets the events that
    /// arrived before it, from the greeting on, so that connecting leaves no gap.
    /// </summary>
    /// <param name="filter">Which events; null for all.</param>
    QmpEventSubscription Subscribe(QmpEventFilter? filter = null);
}
