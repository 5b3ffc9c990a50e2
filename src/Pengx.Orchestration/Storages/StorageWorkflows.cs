using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class StorageState
{
    /// <summary>The row as it is, and after the work as it was found.</summary>
    public required StorageLayer Layer { get; set; }

    public required StorageOrder Order { get; init; }

    /// <summary>Whether the layer was there before: then it is not taken away again.</summary>
    public bool Existed { get; init; }

    /// <summary>Whether what was on its device before is the layer's now: then it stays when the layer is taken away again.</summary>
    public bool Adopts { get; init; }

    /// <summary>Whether it was usable before.</summary>
    public bool WasAttached { get; init; }

    /// <summary>Whether it ran before, usable or not: then it is not taken down again. A mirror that waits as a secondary keeps its peer's data.</summary>
    public bool WasUp { get; init; }
}

/// <summary>The base of the workflows on one layer: the driver plans, guards, executes and reads back; then the row follows.</summary>
internal abstract class StorageWorkflow(Workplace place, StorageLayerDrivers drivers, string verb, string noun) : Workflow<StorageState>
{
    protected Workplace Place { get; } = place;

    protected StorageLayerDrivers Drivers { get; } = drivers;

    public override string Name => $"storage.{verb}";

    public override JsonTypeInfo<StorageState> StateType => JournalJson.Default.StorageState;

    public override string Target(StorageState state) => $"storage/{state.Layer.Id}";

    public override string Describe(StorageState state) => $"the {noun} of storage {state.Layer.Id}";

    // Layers lie on each other: one change at a time on a host. Hosts share the devices of OCFS2: the second finds what the first has made.
    public override IReadOnlyList<ResourceLock> Locks(StorageState state) => state.Layer.Category == StorageCategory.Ocfs2
        ? [ResourceLock.OnStorages(state.Layer.Pm), new("storages/ocfs2")]
        : [ResourceLock.OnStorages(state.Layer.Pm)];

    /// <summary>Carries the order out, and takes what was found into the state.</summary>
    protected async Task ExecuteAsync(StepContext<StorageState> context, StorageVerb verb, CancellationToken cancellationToken)
    {
        var order = context.State.Order with { Verb = verb, KeepsContent = context.State.Adopts };
        var found = await Drivers.Get(order.Layer.Category).ExecuteAsync(order, null, cancellationToken).ConfigureAwait(false);

        // Only DRBD is not attached by its creation: it waits as a secondary for its peers.
        var attaches = verb == StorageVerb.Attach || (verb == StorageVerb.Create && order.Layer.Category != StorageCategory.Drbd);
        if (attaches && found?.Attached != true)
        {
            throw new StorageException($"Storage {order.Layer.Id} ({found?.Name ?? "not there"}) is not attached{string.Concat((found?.Warnings ?? []).Select(warning => $": {warning}"))}");
        }

        if (found is not null)
        {
            context.State.Layer = found.Layer with { Id = context.State.Layer.Id, Pm = context.State.Layer.Pm, Name = found.Name, Revision = context.State.Layer.Revision };
        }
    }

    protected Step<StorageState> Record() => new("record", (context, cancellationToken) => Place.Store.ChangeAsync(
        async session =>
        {
            if (await session.StorageLayers.FindAsync(context.State.Layer.Id, cancellationToken).ConfigureAwait(false) is { } row)
            {
                session.StorageLayers.Update(context.State.Layer with { Revision = row.Revision });
            }
        },
        cancellationToken))
    {
        IsSwitch = true,
    };
}

internal sealed class CreateStorage(Workplace place, StorageLayerDrivers drivers) : StorageWorkflow(place, drivers, "create", "creation")
{
    public override IReadOnlyList<Step<StorageState>> Steps =>
    [
        new(
            "prepare",
            (context, cancellationToken) => ExecuteAsync(context, StorageVerb.Create, cancellationToken),
            async (context, cancellationToken) =>
            {
                var state = context.State;
                if (!state.Existed)
                {
                    await ExecuteAsync(context, StorageVerb.Delete, cancellationToken).ConfigureAwait(false);
                }
                else if (!state.WasUp)
                {
                    await ExecuteAsync(context, StorageVerb.Detach, cancellationToken).ConfigureAwait(false);
                }

                StorageSecrets.Forget(state.Order.ChapSecretFile);
            }),
        new("record", async (context, cancellationToken) =>
        {
            var state = context.State;
            await Place.Store.ChangeAsync(
                async session =>
                {
                    if (await session.StorageLayers.FindAsync(state.Layer.Id, cancellationToken).ConfigureAwait(false) is null)
                    {
                        session.StorageLayers.Add(state.Layer with { Revision = 0 });
                    }

                    foreach (var node in state.Order.Nodes)
                    {
                        if (await session.Ocfs2Nodes.FindAsync(node.Id, cancellationToken).ConfigureAwait(false) is null)
                        {
                            session.Ocfs2Nodes.Add(node with { Revision = 0 });
                        }
                    }
                },
                cancellationToken).ConfigureAwait(false);
        })
        {
            IsSwitch = true,
        },
        new("forget secret", (context, _) =>
        {
            // The initiator has it in its own file now.
            StorageSecrets.Forget(context.State.Order.ChapSecretFile);
            return Task.CompletedTask;
        }),
    ];

    public override string Succeeded(StorageState state) => $"Storage {state.Layer.Id} ({state.Layer.Name}) was created.";

    public override string? Created(StorageState state) => $"storage/{state.Layer.Id}";
}

internal sealed class AttachStorage(Workplace place, StorageLayerDrivers drivers) : StorageWorkflow(place, drivers, "attach", "attachment")
{
    public override IReadOnlyList<Step<StorageState>> Steps =>
    [
        new(
            "attach",
            (context, cancellationToken) => ExecuteAsync(context, StorageVerb.Attach, cancellationToken),
            (context, cancellationToken) => context.State.WasUp ? Task.CompletedTask : ExecuteAsync(context, StorageVerb.Detach, cancellationToken)),
        Record(),
    ];

    public override string Succeeded(StorageState state) => $"Storage {state.Layer.Id} ({state.Layer.Name}) is attached.";
}

internal sealed class DetachStorage(Workplace place, StorageLayerDrivers drivers) : StorageWorkflow(place, drivers, "detach", "detachment")
{
    public override IReadOnlyList<Step<StorageState>> Steps =>
    [
        new("check use", (context, cancellationToken) => StorageUse.DemandUnusedAsync(Place, context.State.Layer, StorageVerb.Detach, cancellationToken)),
        new(
            "detach",
            (context, cancellationToken) => ExecuteAsync(context, StorageVerb.Detach, cancellationToken),
            (context, cancellationToken) => context.State.WasAttached ? ExecuteAsync(context, StorageVerb.Attach, cancellationToken) : Task.CompletedTask),
        Record(),
    ];

    public override string Succeeded(StorageState state) => $"Storage {state.Layer.Id} ({state.Layer.Name}) is detached; nothing on it was lost.";
}

internal sealed class ResizeStorage(Workplace place, StorageLayerDrivers drivers) : StorageWorkflow(place, drivers, "resize", "resize")
{
    // What has grown is not made smaller again; ordered again, it goes on.
    public override IReadOnlyList<Step<StorageState>> Steps => [new("resize", (context, cancellationToken) => ExecuteAsync(context, StorageVerb.Resize, cancellationToken)), Record()];

    public override string Succeeded(StorageState state) => $"Storage {state.Layer.Id} ({state.Layer.Name}) has {state.Layer.Size.MiB} MiB.";
}

internal sealed class DeleteStorage(Workplace place, StorageLayerDrivers drivers) : StorageWorkflow(place, drivers, "delete", "deletion")
{
    public override IReadOnlyList<Step<StorageState>> Steps =>
    [
        new("check use", (context, cancellationToken) => StorageUse.DemandUnusedAsync(Place, context.State.Layer, StorageVerb.Delete, cancellationToken)),
        new("delete", (context, cancellationToken) => ExecuteAsync(context, StorageVerb.Delete, cancellationToken)),
        new("remove row", (context, cancellationToken) => Place.Store.ChangeAsync(
            async session =>
            {
                foreach (var node in await session.Ocfs2Nodes.ListByStorageAsync(context.State.Layer.Id, cancellationToken).ConfigureAwait(false))
                {
                    session.Ocfs2Nodes.Delete(node);
                }

                if (await session.StorageLayers.FindAsync(context.State.Layer.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.StorageLayers.Delete(row);
                }
            },
            cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Succeeded(StorageState state) => $"Storage {state.Layer.Id} ({state.Layer.Name}) was deleted.";
}

/// <summary>Finds the driver of a layer's category.</summary>
internal sealed class StorageLayerDrivers(IEnumerable<IStorageLayerDriver> drivers)
{
    private readonly IReadOnlyList<IStorageLayerDriver> _drivers = [.. drivers];

    public IStorageLayerDriver? Find(StorageCategory category) => _drivers.FirstOrDefault(driver => driver.Serves(category));

    /// <exception cref="StorageException">Nothing here works on that category.</exception>
    public IStorageLayerDriver Get(StorageCategory category) => Find(category) ?? throw new StorageException($"Storage of the category {StorageRules.Text(category)} cannot be prepared on this PM: no driver for it is configured.");
}
