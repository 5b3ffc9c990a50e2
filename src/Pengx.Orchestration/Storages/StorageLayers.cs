using System.Globalization;

namespace Pengx.Orchestration;

/// <summary>How layers of storage are prepared.</summary>
public sealed class StorageLayerOptions
{
    /// <summary>Where a secret waits, readable by its owner only, until the tool that is to know it has it.</summary>
    /// <value><c>/var/lib/pengx/secrets</c>.</value>
    public string SecretDirectory { get; set; } = "/var/lib/pengx/secrets";
}

/// <summary>The use cases of the layers of storage beneath the storage links. See <see cref="VirtualMachines"/> for how verbs work.</summary>
public sealed class StorageLayers
{
    // How long it takes at most from a secret's arrival to its operation in the journal.
    private static readonly TimeSpan s_admission = TimeSpan.FromMinutes(10);

    private readonly Workplace _place;
    private readonly HostWorkflows _workflows;
    private readonly IOperations _operations;
    private readonly StorageLayerDrivers _drivers;
    private readonly IOperationJournal _journal;
    private readonly StorageLayerOptions _options;

    internal StorageLayers(
        Workplace place, HostWorkflows workflows, IOperations operations, StorageLayerDrivers drivers, IOperationJournal journal, StorageLayerOptions options)
    {
        _journal = journal;
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _drivers = drivers;
        _options = options;
    }

    /// <summary>This PM's layers, by number, with their state of now where it could be read within a few seconds.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<StorageView>> ListAsync(CancellationToken cancellationToken = default)
    {
        var rows = await _place.Store.ReadAsync(session => session.StorageLayers.ListByPmAsync(_place.Host.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        return await Task.WhenAll(rows.Select(row => ViewAsync(row, cancellationToken))).ConfigureAwait(false);
    }

    /// <summary>One layer.</summary>
    /// <param name="id">Its number.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StorageView> GetAsync(int id, CancellationToken cancellationToken = default) =>
        await ViewAsync(await FindAsync(id, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);

    /// <summary>Says what a creation would do now.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StoragePlan> PlanCreateAsync(StorageRequest request, CancellationToken cancellationToken = default)
    {
        var order = await OrderAsync(request, null, cancellationToken).ConfigureAwait(false);
        return await _drivers.Get(order.Layer.Category).PlanAsync(order, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Says what a verb would do now.</summary>
    /// <param name="id">The layer.</param>
    /// <param name="verb">The verb.</param>
    /// <param name="sizeMiB">The new size, for <see cref="StorageVerb.Resize"/>.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<StoragePlan> PlanAsync(int id, StorageVerb verb, long? sizeMiB = null, CancellationToken cancellationToken = default)
    {
        var order = await OrderAsync(await OwnAsync(id, cancellationToken).ConfigureAwait(false), verb, sizeMiB, cancellationToken).ConfigureAwait(false);
        return await _drivers.Get(order.Layer.Category).PlanAsync(order, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Creates a layer on this PM: really prepares it.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(StorageRequest request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var order = await OrderAsync(request, null, cancellationToken).ConfigureAwait(false);
        var driver = _drivers.Get(order.Layer.Category);

        // What cannot be done is refused before anything starts; what is there already is not taken away when it fails.
        var plan = await driver.PlanAsync(order, cancellationToken).ConfigureAwait(false);
        var found = await driver.InspectAsync(order.Layer, cancellationToken).ConfigureAwait(false);
        var rows = await _place.Store.ReadAsync(session => session.StorageLayers.ListByPmAsync(_place.Host.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (rows.FirstOrDefault(row => IsSame(row, found?.Layer ?? order.Layer)) is { } same)
        {
            throw new WrongStateException($"That is storage {same.Id} already.");
        }

        var id = await _place.Store.ReadAsync(session => session.StorageLayers.NextIdAsync(cancellationToken), cancellationToken).ConfigureAwait(false);
        List<Ocfs2Node> nodes = [];
        foreach (var node in order.Nodes)
        {
            nodes.Add(node with { Storage = id, Id = await _place.Store.ReadAsync(session => session.Ocfs2Nodes.NextIdAsync(cancellationToken), cancellationToken).ConfigureAwait(false) });
        }

        if (request.ChapSecret is not null)
        {
            await StorageSecrets.ForgetLeftAsync(_options.SecretDirectory, _journal, _place.Now - s_admission, cancellationToken).ConfigureAwait(false);
        }

        order = order with { Layer = order.Layer with { Id = id }, Nodes = nodes, ChapSecretFile = StorageSecrets.Keep(_options.SecretDirectory, request.ChapSecret) };
        try
        {
            return await StartAsync(_workflows.CreateStorage, order, found, plan.Adopts, options, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            StorageSecrets.Forget(order.ChapSecretFile);
            throw;
        }
    }

    /// <summary>Makes a layer usable on this host.</summary>
    /// <param name="id">The layer.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public Task<Operation> AttachAsync(int id, OperationRequest? options = null, CancellationToken cancellationToken = default) =>
        RunAsync(_workflows.AttachStorage, id, StorageVerb.Attach, null, options, cancellationToken);

    /// <summary>Takes a layer out of use on this host; nothing on it is lost.</summary>
    /// <param name="id">The layer.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public Task<Operation> DetachAsync(int id, OperationRequest? options = null, CancellationToken cancellationToken = default) =>
        RunAsync(_workflows.DetachStorage, id, StorageVerb.Detach, null, options, cancellationToken);

    /// <summary>Grows a layer, or takes over the size that what lies beneath has now.</summary>
    /// <param name="id">The layer.</param>
    /// <param name="sizeMiB">The new size. Field <c>size</c>.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public Task<Operation> ResizeAsync(int id, long? sizeMiB, OperationRequest? options = null, CancellationToken cancellationToken = default) =>
        RunAsync(_workflows.ResizeStorage, id, StorageVerb.Resize, sizeMiB, options, cancellationToken);

    /// <summary>Deletes a layer with what is on it.</summary>
    /// <param name="id">The layer.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public Task<Operation> DeleteAsync(int id, OperationRequest? options = null, CancellationToken cancellationToken = default) =>
        RunAsync(_workflows.DeleteStorage, id, StorageVerb.Delete, null, options, cancellationToken);

    /// <summary>Forgets the secrets that an earlier service left; called before operations are accepted.</summary>
    internal Task ForgetSecretsAsync(CancellationToken cancellationToken) =>
        StorageSecrets.ForgetLeftAsync(_options.SecretDirectory, _journal, DateTimeOffset.MaxValue, cancellationToken);

    private async Task<Operation> RunAsync(StorageWorkflow workflow, int id, StorageVerb verb, long? sizeMiB, OperationRequest? options, CancellationToken cancellationToken)
    {
        var row = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        if (verb is StorageVerb.Detach or StorageVerb.Delete)
        {
            await StorageUse.DemandUnusedAsync(_place, row, verb, cancellationToken).ConfigureAwait(false);
        }

        var order = await OrderAsync(row, verb, sizeMiB, cancellationToken).ConfigureAwait(false);
        var driver = _drivers.Get(row.Category);
        await driver.PlanAsync(order, cancellationToken).ConfigureAwait(false);
        return await StartAsync(workflow, order, await driver.InspectAsync(row, cancellationToken).ConfigureAwait(false), adopts: false, options, cancellationToken).ConfigureAwait(false);
    }

    private Task<Operation> StartAsync(StorageWorkflow workflow, StorageOrder order, StorageLayerState? found, bool adopts, OperationRequest? options, CancellationToken cancellationToken) => _operations.StartAsync(
        workflow,
        new StorageState { Layer = order.Layer, Order = order, Existed = found is not null, Adopts = adopts, WasAttached = found?.Attached == true, WasUp = found?.Up == true },
        options,
        cancellationToken);

    private async Task<StorageOrder> OrderAsync(StorageLayer row, StorageVerb verb, long? sizeMiB, CancellationToken cancellationToken)
    {
        if (sizeMiB is not null && (verb != StorageVerb.Resize || row.Category != StorageCategory.LogicalVolume))
        {
            throw new InvalidFieldException("size", sizeMiB.Value.ToString(CultureInfo.InvariantCulture), "only a logical volume is given a size; other layers take over the size of what lies beneath");
        }

        if (verb == StorageVerb.Resize && row.Category == StorageCategory.LogicalVolume)
        {
            row = row with { Size = StorageRules.Size(sizeMiB) };
        }

        // What the operator has taken into the group since is its own by now, and not let go again.
        if (verb == StorageVerb.Resize && row.Category == StorageCategory.VolumeGroup
            && await _drivers.Get(row.Category).InspectAsync(row, cancellationToken).ConfigureAwait(false) is { } found)
        {
            row = row with { PhysicalVolumeIds = found.Layer.PhysicalVolumeIds };
        }

        return new()
        {
            Verb = verb,
            Layer = row,
            Nodes = row.Category == StorageCategory.Ocfs2
                ? await _place.Store.ReadAsync(session => session.Ocfs2Nodes.ListByStorageAsync(row.Id, cancellationToken), cancellationToken).ConfigureAwait(false)
                : [],
        };
    }

    private async Task<StorageOrder> OrderAsync(StorageRequest request, string? secretFile, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        request = await ResolveAsync(request, cancellationToken).ConfigureAwait(false);
        var layer = StorageRules.Layer(request, _place.Host.Id);
        var rows = await _place.Store.ReadAsync(session => session.StorageLayers.ListByPmAsync(_place.Host.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (layer.MountPoint is { } point && rows.FirstOrDefault(row => row.MountPoint == point) is { } other)
        {
            throw new InvalidFieldException("mount_point", point, $"it is already taken by storage {other.Id}");
        }

        if (request.Format && layer is { Category: StorageCategory.Local or StorageCategory.Iscsi, FileSystem: not null })
        {
            // Chosen before the journal has the operation, so that one run anew knows the file system that it made.
            layer = layer with { Uuid = Guid.NewGuid().ToString() };
        }

        return new()
        {
            Verb = StorageVerb.Create,
            Layer = layer,
            Name = layer.Name,
            Kind = request.Kind,
            Pool = request.Pool,
            FileSystem = request.Format || request.Category == StorageCategory.LogicalVolume ? layer.FileSystem : null,
            Consent = request.Consent is { } consent ? new(consent) : null,
            Nodes = StorageRules.Nodes(request, _place.Host.Id),
            ChapSecretFile = secretFile,
        };
    }

    /// <summary>Numbers of other layers of this PM stand for what those are.</summary>
    private async Task<StorageRequest> ResolveAsync(StorageRequest request, CancellationToken cancellationToken)
    {
        if (request.PhysicalVolumeIds is { } ids)
        {
            List<string> found = [];
            foreach (var id in ids.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            {
                found.Add(await UuidAsync("pv_ids", id, StorageCategory.PhysicalVolume, cancellationToken).ConfigureAwait(false));
            }

            request = request with { PhysicalVolumeIds = string.Join(',', found) };
        }

        return request with
        {
            VolumeGroupId = request.VolumeGroupId is { } group ? await UuidAsync("vg_id", group, StorageCategory.VolumeGroup, cancellationToken).ConfigureAwait(false) : null,
            DeviceId = request.DeviceId is { } device ? await DeviceAsync("device_id", device, cancellationToken).ConfigureAwait(false) : null,
            DrbdDisk = request.DrbdDisk is { } disk ? await DeviceAsync("drbd_disk", disk, cancellationToken).ConfigureAwait(false) : null,
        };
    }

    private async Task<string> UuidAsync(string field, string text, StorageCategory category, CancellationToken cancellationToken) =>
        (await NumberedAsync(field, text, row => row.Category == category && row.Uuid is not null, cancellationToken).ConfigureAwait(false))?.Uuid ?? text;

    /// <summary>The device that a layer is now: the name that was recorded for it may be another disk's since a reboot.</summary>
    private async Task<string> DeviceAsync(string field, string text, CancellationToken cancellationToken)
    {
        if (await NumberedAsync(field, text, row => row.MountPoint is null && StorageUse.DevicesOf(row).Count > 0, cancellationToken).ConfigureAwait(false) is not { } row)
        {
            return text;
        }

        var found = await _drivers.Get(row.Category).InspectAsync(row, cancellationToken).ConfigureAwait(false);
        return found is { Attached: true }
            ? StorageUse.DevicesOf(row with { Name = found.Name })[0]
            : throw new InvalidFieldException(field, text, $"that storage is not attached now{string.Concat((found?.Warnings ?? []).Select(warning => $": {warning}"))}");
    }

    /// <summary>The layer of this PM that a number stands for; <see langword="null"/> for a text that is no number.</summary>
    private async Task<StorageLayer?> NumberedAsync(string field, string text, Predicate<StorageLayer> fits, CancellationToken cancellationToken)
    {
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var id))
        {
            return null;
        }

        var row = await _place.Store.ReadAsync(session => session.StorageLayers.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false);
        return row is not null && row.Pm == _place.Host.Id && fits(row) ? row : throw new InvalidFieldException(field, text, "it is the number of no such storage of this PM");
    }

    private static bool IsSame(StorageLayer row, StorageLayer layer) => row.Category == layer.Category && layer.Category switch
    {
        StorageCategory.PhysicalVolume => row.DeviceId == layer.DeviceId || (row.Uuid is not null && row.Uuid == layer.Uuid),
        StorageCategory.VolumeGroup or StorageCategory.LogicalVolume => row.Uuid is not null && row.Uuid == layer.Uuid,
        StorageCategory.Iscsi or StorageCategory.FibreChannel => row.Target == layer.Target && row.Lun == layer.Lun && Equals(row.TargetIp, layer.TargetIp),
        StorageCategory.Drbd => row.DrbdResourceName == layer.DrbdResourceName || row.DrbdMinor == layer.DrbdMinor,
        StorageCategory.Ocfs2 => row.DeviceId == layer.DeviceId,
        _ => row.MountPoint == layer.MountPoint,
    };

    private async Task<StorageView> ViewAsync(StorageLayer row, CancellationToken cancellationToken)
    {
        var nodes = row.Category == StorageCategory.Ocfs2
            ? await _place.Store.ReadAsync(session => session.Ocfs2Nodes.ListByStorageAsync(row.Id, cancellationToken), cancellationToken).ConfigureAwait(false)
            : [];
        if (row.Pm != _place.Host.Id || _drivers.Find(row.Category) is not { } driver)
        {
            return new(row, null, [], nodes);
        }

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_place.Options.MeasureTimeout);
        try
        {
            // What hangs in the kernel keeps its thread; the list does not wait for it.
            var found = await Task.Run(() => driver.InspectAsync(row, patience.Token), patience.Token).WaitAsync(patience.Token).ConfigureAwait(false);
            return found is null
                ? new(row, false, ["It is not there now."], nodes)
                : new(found.Layer with { Id = row.Id, Pm = row.Pm, Name = found.Name }, found.Attached, found.Warnings, nodes);
        }
        catch (Exception error) when (error is PengxException or IOException || (error is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return new(row, null, [error is OperationCanceledException ? "It did not answer in time." : error.Message], nodes);
        }
    }

    private async Task<StorageLayer> FindAsync(int id, CancellationToken cancellationToken) =>
        await _place.Store.ReadAsync(session => session.StorageLayers.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("storage", id.ToString(CultureInfo.InvariantCulture));

    private async Task<StorageLayer> OwnAsync(int id, CancellationToken cancellationToken) =>
        await FindAsync(id, cancellationToken).ConfigureAwait(false) is var row && row.Pm == _place.Host.Id
            ? row
            : throw new WrongStateException($"Storage {id} belongs to PM {row.Pm}; ask that one.");
}
