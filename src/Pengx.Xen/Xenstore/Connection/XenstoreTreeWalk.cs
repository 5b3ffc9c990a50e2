namespace Pengx.Xen;

/// <summary>
/// Reads a node with all below it. What each node holds and what lies below it are asked at the same time, of many nodes at once, and the
/// answers are taken on the thread that reads, which sends the next requests of a whole batch with one call.
/// </summary>
internal sealed class XenstoreTreeWalk : TaskCompletionSource<XenstoreNode?>
{
    /// <summary>How many requests are at the daemon at once: enough that it never waits for us, few enough that others get their turn.</summary>
    private const int Window = 64;

    private readonly Lock _gate = new();
    private readonly XenstoreSession _session;
    private readonly uint _transaction;
    private readonly CancellationToken _cancellationToken;
    private readonly XenstoreNode _root;
    private readonly Stack<XenstoreNode> _todo = new();
    private readonly Stack<Step> _spare = new();
    private readonly HashSet<XenstoreNode> _vanished = [];
    private CancellationTokenRegistration _cancellation;
    private int _open;

    private XenstoreTreeWalk(XenstoreSession session, uint transaction, XenstorePath path, CancellationToken cancellationToken)
        : base(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        _session = session;
        _transaction = transaction;
        _cancellationToken = cancellationToken;
        _root = new XenstoreNode(path, path.Name);
        _todo.Push(_root);
    }

    internal static Task<XenstoreNode?> RunAsync(XenstoreSession session, uint transaction, XenstorePath path, CancellationToken cancellationToken)
    {
        if (path.IsSpecial)
        {
            throw new ArgumentException($"'{path}' is a name to be watched, not a node.", nameof(path));
        }

        if (cancellationToken.IsCancellationRequested)
        {
            return System.Threading.Tasks.Task.FromCanceled<XenstoreNode?>(cancellationToken);
        }

        XenstoreTreeWalk walk = new(session, transaction, path, cancellationToken);
        walk._cancellation = cancellationToken.UnsafeRegister(
            static (state, token) => ((XenstoreTreeWalk)state!).TrySetCanceled(token), walk);
        walk.Pump();
        return walk.Task;
    }

    /// <summary>Sends as much as the window allows.</summary>
    private void Pump()
    {
        try
        {
            lock (_gate)
            {
                while (_open < Window && !Task.IsCompleted && _todo.TryPop(out var node))
                {
                    _open += 2;
                    if (!TryAsk(node, XenstoreOperation.Read) || !TryAsk(node, XenstoreOperation.Directory))
                    {
                        Abort(new XenstoreDisconnectedException("The connection to xenstored is lost."));
                        return;
                    }
                }
            }
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException)
        {
            // A daemon that names a child which makes the path too long, or more requests than a connection takes: not the reading thread's matter.
            Abort(exception);
        }
    }

    private bool TryAsk(XenstoreNode node, XenstoreOperation operation)
    {
        var step = _spare.TryPop(out var spare) ? spare : new Step(this);
        step.Node = node;
        step.Subject = node.Path.Value;
        return _session.TrySend(step, operation, _transaction, node.Path.Value, default);
    }

    private void Add(XenstoreNode node, IReadOnlyList<string> names)
    {
        if (names.Count == 0)
        {
            return;
        }

        List<XenstoreNode> children = new(names.Count);
        var prefix = node.Path.Value == "/" ? string.Empty : node.Path.Value;
        foreach (var name in names)
        {
            XenstoreNode child = new(XenstorePath.Trusted($"{prefix}/{name}"), name);
            children.Add(child);
        }

        node.SetChildren(children);
        lock (_gate)
        {
            for (var i = children.Count - 1; i >= 0; i--)
            {
                _todo.Push(children[i]);
            }
        }
    }

    private void Refuse(XenstoreNode node, XenstoreOperation operation, string error)
    {
        switch (error)
        {
            case XenstoreError.ENOENT:
                lock (_gate)
                {
                    _vanished.Add(node);
                }

                break;
            case XenstoreError.EACCES:
                // It stays in the tree, without a value or without children.
                break;
            case XenstoreError.E2BIG when operation == XenstoreOperation.Directory:
                lock (_gate)
                {
                    _open++;
                }

                _ = TakePartsAsync(node, new XenstoreRefusedException(operation.Name(), node.Path.Value, error));
                break;
            default:
                Abort(new XenstoreRefusedException(operation.Name(), node.Path.Value, error));
                break;
        }
    }

    private async Task TakePartsAsync(XenstoreNode node, XenstoreRefusedException tooBig)
    {
        try
        {
            if (await _session.FindChildrenByPartsAsync(_transaction, node.Path, isMissingFine: true, tooBig, _cancellationToken).ConfigureAwait(false) is { } names)
            {
                Add(node, names);
            }
            else
            {
                lock (_gate)
                {
                    _vanished.Add(node);
                }
            }

            Leave();
        }
        catch (Exception exception) when (exception is XenstoreException or OperationCanceledException)
        {
            Abort(exception);
        }
    }

    /// <summary>One request less is open.</summary>
    private void Leave()
    {
        bool isDone;
        lock (_gate)
        {
            isDone = --_open == 0 && _todo.Count == 0;
        }

        if (!isDone)
        {
            Pump();
            return;
        }

        _cancellation.Unregister();
        TrySetResult(_vanished.Contains(_root) ? null : Pruned());
    }

    private void Abort(Exception reason)
    {
        _cancellation.Unregister();
        if (reason is OperationCanceledException)
        {
            TrySetCanceled(_cancellationToken);
        }
        else
        {
            TrySetException(reason);
        }
    }

    private XenstoreNode Pruned()
    {
        if (_vanished.Count > 0)
        {
            foreach (var node in _root.DescendantsAndSelf())
            {
                if (node.Children.Any(_vanished.Contains))
                {
                    node.SetChildren([.. node.Children.Where(child => !_vanished.Contains(child))]);
                }
            }
        }

        return _root;
    }

    private sealed class Step(XenstoreTreeWalk walk) : XenstorePending
    {
        internal XenstoreNode Node { get; set; } = walk._root;

        internal override bool Accept(ReadOnlySpan<byte> payload)
        {
            walk._session.BeginBatch();
            if (Operation == XenstoreOperation.Read)
            {
                Node.Value = new XenstoreValue(payload.ToArray());
            }
            else
            {
                walk.Add(Node, XenstorePayload.ReadNames(payload));
            }

            Leave(null);
            return false;
        }

        internal override bool Refuse(string error)
        {
            walk._session.BeginBatch();
            walk.Refuse(Node, Operation, error);
            Leave(error == XenstoreError.ENOENT ? null : new XenstoreRefusedException(Operation.Name(), Subject, error));
            return false;
        }

        internal override void Signal(bool onThisThread)
        {
            // Nothing is left to be told.
        }

        internal override void Fail(Exception reason)
        {
            walk._session.Finish(this, reason);
            walk.Abort(reason);
        }

        private void Leave(Exception? failure)
        {
            walk._session.Finish(this, failure);
            lock (walk._gate)
            {
                walk._spare.Push(this);
            }

            walk.Leave();
        }
    }
}
