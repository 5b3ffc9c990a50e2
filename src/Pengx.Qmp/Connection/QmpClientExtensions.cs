namespace Pengx.Qmp;

/// <summary>Shorter forms of common calls.</summary>
public static class QmpClientExtensions
{
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
}
