using System.Runtime.InteropServices;
using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>Shorter forms of common calls.</summary>
public static class QmpClientExtensions
{
    private static readonly QmpExecution s_outOfBand = new() { OutOfBand = true };
    private static readonly JsonElement s_noArguments = JsonElement.Parse("{}");

    /// <summary>Sends a command that takes no arguments; see <see cref="IQmpClient.ExecuteAsync"/>.</summary>
    /// <typeparam name="TResult">The result.</typeparam>
    /// <param name="client">The session.</param>
    /// <param name="command">The command.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public static Task<TResult> ExecuteAsync<TResult>(this IQmpClient client, QmpCommand<QmpEmpty, TResult> command, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client.ExecuteAsync(command, QmpEmpty.Instance, cancellationToken);
    }

    /// <summary>
    /// Sends a command out of band: QEMU carries it out at once, even while an ordinary command holds it up. Few commands allow it
    /// (<c>yank</c>, <c>query-yank</c>, <c>migrate-recover</c>, <c>migrate-pause</c>); QEMU refuses the others.
    /// </summary>
    /// <typeparam name="TArguments">The arguments.</typeparam>
    /// <typeparam name="TResult">The result.</typeparam>
    /// <param name="client">The session.</param>
    /// <param name="command">The command.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="InvalidOperationException">Out-of-band execution was not negotiated.</exception>
    public static Task<TResult> ExecuteOutOfBandAsync<TArguments, TResult>(
        this IQmpClient client, QmpCommand<TArguments, TResult> command, TArguments arguments, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client.ExecuteWithAsync(command, arguments, s_outOfBand, cancellationToken);
    }

    /// <summary>Sends any command out of band, as JSON.</summary>
    /// <param name="client">The session.</param>
    /// <param name="command">The command's name.</param>
    /// <param name="arguments">A JSON object, or null for none.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public static Task<JsonElement> ExecuteRawOutOfBandAsync(
        this IQmpClient client, string command, JsonElement? arguments = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client.ExecuteWithAsync(
            new QmpCommand<JsonElement, JsonElement>(command, QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.JsonElement),
            arguments ?? s_noArguments,
            s_outOfBand,
            cancellationToken);
    }

    /// <summary>Gives QEMU a copy of a file descriptor under a name, for a command that takes descriptors by name (<c>getfd</c>). A descriptor that had the name is closed.</summary>
    /// <param name="client">The session, over a unix socket.</param>
    /// <param name="name">The name; it does not begin with a digit.</param>
    /// <param name="descriptor">The descriptor; it stays the caller's, and may be closed afterwards.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="InvalidOperationException">The connection is not a unix socket.</exception>
    public static Task GetFdAsync(this IQmpClient client, string name, SafeHandle descriptor, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(descriptor);
        return client.ExecuteWithAsync(QmpCommands.GetFd, new QmpFdName { Fdname = name }, new QmpExecution { Descriptor = descriptor }, cancellationToken);
    }

    /// <summary>Adds a copy of a file descriptor to a set, to be opened as <c>/dev/fdset/N</c> (<c>add-fd</c>).</summary>
    /// <param name="client">The session, over a unix socket.</param>
    /// <param name="descriptor">The descriptor; it stays the caller's, and may be closed afterwards.</param>
    /// <param name="arguments">The set and a note; null for a new set.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="InvalidOperationException">The connection is not a unix socket.</exception>
    public static Task<QmpAddedFd> AddFdAsync(this IQmpClient client, SafeHandle descriptor, QmpFdset? arguments = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentNullException.ThrowIfNull(descriptor);
        return client.ExecuteWithAsync(QmpCommands.AddFd, arguments ?? new QmpFdset(), new QmpExecution { Descriptor = descriptor }, cancellationToken);
    }
}
