namespace Pengx.Xen;

/// <summary>One attempt of a transaction, on the session where it was started: another session does not know it.</summary>
internal sealed class XenstoreTransaction(XenstoreSession session, uint id, int attempt) : IXenstoreTransaction
{
    private volatile bool _isOver;

    public int Attempt { get; } = attempt;

    private uint Id => _isOver
        ? throw new InvalidOperationException("The transaction is over: it belongs to one run of its body.")
        : id;

    public ValueTask<XenstoreValue?> FindAsync(XenstorePath path, CancellationToken cancellationToken = default) => session.FindAsync(Id, path, cancellationToken);

    public ValueTask<XenstoreValue> ReadAsync(XenstorePath path, CancellationToken cancellationToken = default) => session.ReadAsync(Id, path, cancellationToken);

    public ValueTask WriteAsync(XenstorePath path, XenstoreValue value, CancellationToken cancellationToken = default) => session.WriteAsync(Id, path, value, cancellationToken);

    public ValueTask MakeDirectoryAsync(XenstorePath path, CancellationToken cancellationToken = default) => session.MakeDirectoryAsync(Id, path, cancellationToken);

    public ValueTask RemoveAsync(XenstorePath path, CancellationToken cancellationToken = default) => session.RemoveAsync(Id, path, cancellationToken);

    public ValueTask<IReadOnlyList<string>?> FindChildrenAsync(XenstorePath path, CancellationToken cancellationToken = default) =>
        session.FindChildrenAsync(Id, path, isMissingFine: true, cancellationToken);

    public ValueTask<IReadOnlyList<string>> ListChildrenAsync(XenstorePath path, CancellationToken cancellationToken = default) =>
        session.FindChildrenAsync(Id, path, isMissingFine: false, cancellationToken)!;

    public Task<XenstoreNode?> FindTreeAsync(XenstorePath path, CancellationToken cancellationToken = default) => XenstoreTreeWalk.RunAsync(session, Id, path, cancellationToken);

    public ValueTask<XenstorePermissions> GetPermissionsAsync(XenstorePath path, CancellationToken cancellationToken = default) => session.GetPermissionsAsync(Id, path, cancellationToken);

    public ValueTask SetPermissionsAsync(XenstorePath path, XenstorePermissions permissions, CancellationToken cancellationToken = default) =>
        session.SetPermissionsAsync(Id, path, permissions, cancellationToken);

    internal void Finish() => _isOver = true;
}
