namespace Pengx.Orchestration;

/// <summary>Changes of rows that others may change at the same time: read, decide, save, and anew when someone was faster.</summary>
internal static class StoreChanges
{
    private const int Attempts = 20;

    public static async Task ChangeAsync(this IPengxStore store, Func<IStoreSession, Task> change, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            var session = await store.OpenAsync(cancellationToken).ConfigureAwait(false);
            await using (session.ConfigureAwait(false))
            {
                await change(session).ConfigureAwait(false);
                try
                {
                    await session.SaveAsync(cancellationToken).ConfigureAwait(false);
                    return;
                }
                catch (ConcurrencyException) when (attempt < Attempts)
                {
                    // Decided anew on the rows as they are now.
                }
            }
        }
    }

    public static async Task<T> ReadAsync<T>(this IPengxStore store, Func<IStoreSession, Task<T>> read, CancellationToken cancellationToken)
    {
        var session = await store.OpenAsync(cancellationToken).ConfigureAwait(false);
        await using (session.ConfigureAwait(false))
        {
            return await read(session).ConfigureAwait(false);
        }
    }

    /// <summary>Changes a machine's row; does nothing when it is gone or already as it shall be.</summary>
    public static Task ChangeMachineAsync(this IPengxStore store, VmId id, Func<VirtualMachine, VirtualMachine> change, CancellationToken cancellationToken) =>
        store.ChangeAsync(
            async session =>
            {
                if (await session.VirtualMachines.FindAsync(id, cancellationToken).ConfigureAwait(false) is { } row && change(row) is var changed && changed != row)
                {
                    session.VirtualMachines.Update(changed);
                }
            },
            cancellationToken);

    /// <summary>Changes a template's row; does nothing when it is gone or already as it shall be.</summary>
    public static Task ChangeTemplateAsync(this IPengxStore store, TemplateId id, Func<Template, Template> change, CancellationToken cancellationToken) =>
        store.ChangeAsync(
            async session =>
            {
                if (await session.Templates.FindAsync(id, cancellationToken).ConfigureAwait(false) is { } row && change(row) is var changed && changed != row)
                {
                    session.Templates.Update(changed);
                }
            },
            cancellationToken);

    /// <summary>Changes a snapshot's row; does nothing when it is gone or already as it shall be.</summary>
    public static Task ChangeSnapshotAsync(this IPengxStore store, SnapshotId id, Func<Snapshot, Snapshot> change, CancellationToken cancellationToken) =>
        store.ChangeAsync(
            async session =>
            {
                if (await session.Snapshots.FindAsync(id, cancellationToken).ConfigureAwait(false) is { } row && change(row) is var changed && changed != row)
                {
                    session.Snapshots.Update(changed);
                }
            },
            cancellationToken);

    public static async Task<List<T>> ToListAsync<T>(this IAsyncEnumerable<T> source, CancellationToken cancellationToken)
    {
        List<T> all = [];
        await foreach (var item in source.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            all.Add(item);
        }

        return all;
    }
}
