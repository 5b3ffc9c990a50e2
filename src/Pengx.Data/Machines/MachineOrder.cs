namespace Pengx.Data;

/// <summary>Rows in the order of the machines that they belong to, taken machine by machine. Rows of a machine that was not asked for, since it
/// came or went in between, are passed over; a machine without any is a row without one.</summary>
internal sealed class MachineOrder<T>(IAsyncEnumerator<(long CreatedAt, Guid Id, T? Row)> rows) : IAsyncDisposable
    where T : class
{
    private bool _begun;
    private bool _ended;

    /// <summary>The rows of the machine created then; machines are asked for in order.</summary>
    public async ValueTask<IReadOnlyList<T>> TakeAsync((long CreatedAt, Guid Id) machine)
    {
        if (!_begun)
        {
            _begun = true;
            await MoveAsync().ConfigureAwait(false);
        }

        List<T>? taken = null;
        while (!_ended && (rows.Current.CreatedAt, rows.Current.Id).CompareTo(machine) is <= 0 and var order)
        {
            if (order == 0 && rows.Current.Row is { } row)
            {
                (taken ??= []).Add(row);
            }

            await MoveAsync().ConfigureAwait(false);
        }

        return taken is null ? [] : taken;
    }

    public ValueTask DisposeAsync() => rows.DisposeAsync();

    private async ValueTask MoveAsync() => _ended = !await rows.MoveNextAsync().ConfigureAwait(false);
}
