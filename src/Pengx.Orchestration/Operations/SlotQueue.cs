namespace Pengx.Orchestration;

/// <summary>Bounds how many operations work at once; who came first gets the next free place.</summary>
internal sealed class SlotQueue(int size)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<TaskCompletionSource> _waiting = new();
    private int _free = size;

    /// <summary>How many wait for a place.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Whether a place can be had at once, as far as can be said.</summary>
    /// <param name="urgent">Takes one beyond the bound rather than wait.</param>
    public bool HasRoom(bool urgent)
    {
        lock (_gate)
        {
            return urgent || _free > 0;
        }
    }

    /// <summary>Waits for a place.</summary>
    /// <param name="urgent">Takes one beyond the bound rather than wait.</param>
    /// <param name="cancellationToken">Gives the wait up.</param>
    public async Task AcquireAsync(bool urgent, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        LinkedListNode<TaskCompletionSource> turn;
        lock (_gate)
        {
            if (urgent || _free > 0)
            {
                _free--;
                return;
            }

            turn = _waiting.AddLast(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        var registration = cancellationToken.UnsafeRegister(_ => GiveUp(turn, cancellationToken), null);
        await using (registration.ConfigureAwait(false))
        {
            await turn.Value.Task.ConfigureAwait(false);
        }
    }

    /// <summary>Gives a place back.</summary>
    public void Release()
    {
        TaskCompletionSource? next = null;
        lock (_gate)
        {
            _free++;
            if (_free > 0 && _waiting.First is { } first)
            {
                _waiting.RemoveFirst();
                _free--;
                next = first.Value;
            }
        }

        next?.SetResult();
    }

    private void GiveUp(LinkedListNode<TaskCompletionSource> turn, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (turn.List is null)
            {
                // The place was granted in this very moment: its holder gives it back.
                return;
            }

            _waiting.Remove(turn);
        }

        turn.Value.SetCanceled(cancellationToken);
    }
}
