namespace Pengx.Orchestration;

/// <summary>The use cases of storage links. See <see cref="VirtualMachines"/> for how verbs work.</summary>
public sealed class Storlinks
{
    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;
    private readonly CapacityCache _capacities;

    internal Storlinks(Workplace place, WorkflowCatalog workflows, IOperations operations)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _capacities = new(place);
    }

    /// <summary>This PM's own storage links and the shared ones of others, by number.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<StorlinkView>> ListAsync(CancellationToken cancellationToken = default) =>
        await ViewsAsync(storlink => storlink.Pm == _place.Host.Id || storlink.Shared, cancellationToken).ConfigureAwait(false);

    /// <summary>Every PM's storage links, by number.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<StorlinkView>> ListAllAsync(CancellationToken cancellationToken = default) =>
        await ViewsAsync(_ => true, cancellationToken).ConfigureAwait(false);

    /// <summary>One storage link.</summary>
    /// <param name="id">The storage link.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StorlinkView> GetAsync(StorlinkId id, CancellationToken cancellationToken = default) =>
        (await ViewsAsync(storlink => storlink.Id == id, cancellationToken).ConfigureAwait(false)) is [var view]
            ? view
            : throw new NotFoundException("storlink", id.ToString());

    /// <summary>Creates a storage link on this PM. What it names is looked at when it is used.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(CreateStorlink request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var (name, description) = (FieldRules.Name(request.Name), FieldRules.Description(request.Description));
        FieldRules.StorlinkKind(request.Type, request.Level);
        var link = FieldRules.Link(request.Link, request.Level);
        await RefuseTakenNameAsync(name, null, cancellationToken).ConfigureAwait(false);
        var storlink = new Storlink
        {
            Id = await _place.Store.ReadAsync(session => session.Storlinks.NextIdAsync(cancellationToken), cancellationToken).ConfigureAwait(false),
            Pm = _place.Host.Id,
            Name = name,
            Link = link,
            Type = request.Type,
            Level = request.Level,
            Shared = request.Shared,
            Description = description,
        };
        return await _operations.StartAsync(_workflows.CreateStorlink, new StorlinkState { Storlink = storlink }, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Changes a storage link; link, type and level stay while disks lie on it.</summary>
    /// <param name="id">The storage link.</param>
    /// <param name="request">The new fields.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> UpdateAsync(StorlinkId id, UpdateStorlink request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var update = request with { Name = request.Name is null ? null : FieldRules.Name(request.Name), Description = FieldRules.Description(request.Description) };
        if (update == new UpdateStorlink())
        {
            throw new InvalidFieldException("name", null, "at least one of name, link, desc, type, level and shared is given");
        }

        var row = await FindAsync(id, cancellationToken).ConfigureAwait(false);
        var changed = StorlinkRules.Apply(row, update);
        FieldRules.StorlinkKind(changed.Type, changed.Level);
        if (update.Link is not null || changed.Level == StorlinkLevel.Object != (row.Level == StorlinkLevel.Object))
        {
            changed = changed with { Link = FieldRules.Link(changed.Link, changed.Level) };
            update = update with { Link = changed.Link };
        }

        if (row.Pm != _place.Host.Id)
        {
            throw new WrongStateException($"Storlink '{row.Name}' belongs to PM {row.Pm}; ask that one.");
        }

        if (update.Name is { } name)
        {
            await RefuseTakenNameAsync(name, id, cancellationToken).ConfigureAwait(false);
        }

        await _place.Store.ReadAsync(
            async session =>
            {
                await StorlinkRules.RefuseChangeAsync(session, row, changed, cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken).ConfigureAwait(false);
        return await _operations.StartAsync(_workflows.UpdateStorlink, new StorlinkState { Storlink = row, Update = update }, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a storage link that nothing uses. What lies there is left alone.</summary>
    /// <param name="id">The storage link.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(StorlinkId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var row = await FindAsync(id, cancellationToken).ConfigureAwait(false);
        if (row.Pm != _place.Host.Id)
        {
            throw new WrongStateException($"Storlink '{row.Name}' belongs to PM {row.Pm}; ask that one.");
        }

        await _place.Store.ReadAsync(
            async session =>
            {
                await StorlinkRules.RefuseWhatIsNeededAsync(session, row, cancellationToken).ConfigureAwait(false);
                return true;
            },
            cancellationToken).ConfigureAwait(false);
        return await _operations.StartAsync(_workflows.DeleteStorlink, new StorlinkState { Storlink = row }, options, cancellationToken).ConfigureAwait(false);
    }

    private async Task<Storlink> FindAsync(StorlinkId id, CancellationToken cancellationToken) =>
        await _place.Store.ReadAsync(session => session.Storlinks.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("storlink", id.ToString());

    private async Task RefuseTakenNameAsync(string name, StorlinkId? except, CancellationToken cancellationToken)
    {
        var taken = await _place.Store.ReadAsync(session => session.Storlinks.FindByNameAsync(_place.Host.Id, name, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (taken is not null && taken.Id != except)
        {
            throw new InvalidFieldException("name", name, "it is already taken by another storlink of this PM");
        }
    }

    private async Task<IReadOnlyList<StorlinkView>> ViewsAsync(Func<Storlink, bool> filter, CancellationToken cancellationToken)
    {
        var (storlinks, names) = await _place.Store.ReadAsync(
            async session => (
                await session.Storlinks.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false),
                (await session.PhysicalMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(pm => pm.Id, pm => pm.Name)),
            cancellationToken).ConfigureAwait(false);
        return await Task.WhenAll(storlinks.Where(filter).Select(async storlink => new StorlinkView
        {
            Storlink = storlink,
            PmName = storlink.Pm == _place.Host.Id ? _place.Host.Name : names.GetValueOrDefault(storlink.Pm, string.Empty),
            Capacity = await _capacities.MeasureAsync(storlink, cancellationToken).ConfigureAwait(false),
        })).ConfigureAwait(false);
    }
}
