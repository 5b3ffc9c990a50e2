namespace Pengx.Xen;

/// <summary>
/// Reading and changing nodes, alike outside and inside a transaction. Requests may be many at once: each waits for its own answer.
/// Cancelling gives up the wait, not the work; a late answer is dropped. All of them throw <see cref="ArgumentException"/> for what breaks
/// the protocol's limits (nothing is sent then), <see cref="XenstoreRefusedException"/> when the daemon refuses,
/// <see cref="XenstoreTimeoutException"/> when it does not answer, <see cref="XenstoreDisconnectedException"/> when the connection is lost.
/// A <see cref="ValueTask"/> is awaited once.
/// </summary>
public interface IXenstoreOperations
{
    /// <summary>What a node holds; null if there is no such node.</summary>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<XenstoreValue?> FindAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>What a node holds; <c>ENOENT</c> if there is no such node.</summary>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<XenstoreValue> ReadAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>Makes a node hold a value; it and missing nodes above it are made.</summary>
    /// <param name="path">The node.</param>
    /// <param name="value">The value; with the path and one more byte it takes at most 4096 bytes.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask WriteAsync(XenstorePath path, XenstoreValue value, CancellationToken cancellationToken = default);

    /// <summary>Makes a node with an empty value if it is missing, and missing nodes above it; one that exists stays as it is.</summary>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask MakeDirectoryAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>Removes a node and all below it; a missing one is no error.</summary>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask RemoveAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>The names right below a node, however many; null if there is no such node.</summary>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<IReadOnlyList<string>?> FindChildrenAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>The names right below a node, however many; <c>ENOENT</c> if there is no such node.</summary>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<IReadOnlyList<string>> ListChildrenAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>
    /// A node with all below it, read with many requests at once; null if there is no such node. Outside a transaction it shows each
    /// node at its own moment, and leaves out what vanished meanwhile; inside one, a commit that succeeds proves it to be one moment.
    /// </summary>
    /// <param name="path">The node.</param>
    /// <param name="cancellationToken">Gives up.</param>
    Task<XenstoreNode?> FindTreeAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>Who may do what with a node.</summary>
    /// <param name="path">The node, or a special name.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask<XenstorePermissions> GetPermissionsAsync(XenstorePath path, CancellationToken cancellationToken = default);

    /// <summary>Says who may do what with a node.</summary>
    /// <param name="path">The node, or a special name.</param>
    /// <param name="permissions">The permissions, all of them.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    ValueTask SetPermissionsAsync(XenstorePath path, XenstorePermissions permissions, CancellationToken cancellationToken = default);
}

/// <summary>
/// An open transaction: its changes are seen by others all at once or not at all. It belongs to one attempt of
/// <see cref="IXenstoreClient.TransactAsync{TResult}"/> and is of no use afterwards.
/// </summary>
public interface IXenstoreTransaction : IXenstoreOperations
{
    /// <summary>Which attempt this is, from 1.</summary>
    int Attempt { get; }
}
