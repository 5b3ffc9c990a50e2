namespace Pengx.Xen;

/// <summary>Shorter forms of the client's calls.</summary>
public static class XenstoreClientExtensions
{
    /// <summary>A transaction that returns nothing; see <see cref="IXenstoreClient.TransactAsync{TResult}"/>.</summary>
    /// <param name="client">The client.</param>
    /// <param name="body">The changes.</param>
    /// <param name="cancellationToken">Gives up; handed to the body.</param>
    public static Task TransactAsync(this IXenstoreClient client, Func<IXenstoreTransaction, CancellationToken, Task> body, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentNullException.ThrowIfNull(body);
        return client.TransactAsync(
            async (transaction, token) =>
            {
                await body(transaction, token).ConfigureAwait(false);
                return true;
            },
            cancellationToken);
    }

    /// <summary>What a node holds as UTF-8 text; null if there is no such node.</summary>
    /// <param name="store">The client or a transaction.</param>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public static async ValueTask<string?> FindTextAsync(this IXenstoreOperations store, XenstorePath path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        return (await store.FindAsync(path, cancellationToken).ConfigureAwait(false))?.ToString();
    }
}
