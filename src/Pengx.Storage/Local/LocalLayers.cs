using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>Local storage: a directory, or a device with a file system that is mounted at one.</summary>
/// <remarks>A directory is ordered by <see cref="StorageLayer.MountPoint"/> alone; one that is there already is used as it is, and is
/// deleted only when it is empty. With <see cref="StorageLayer.DeviceId"/> the device is formatted when the order names a
/// <see cref="StorageOrder.FileSystem"/>, behind the format guard, and mounted. Safe to use from many threads.</remarks>
public sealed class LocalLayers : IStorageLayerDriver
{
    private readonly FormatGuard _formats;
    private readonly DeviceGuard _devices = new();
    private readonly FileSystemSteps _fileSystems;
    private readonly PathProbe _paths;
    private readonly LayerExecution _execution;

    /// <summary>Makes a driver.</summary>
    /// <param name="runner">Runs the tools of file systems.</param>
    /// <param name="formatOptions">How closely devices are looked at before they are overwritten; the defaults when not given.</param>
    /// <param name="leaseDirectory">Where the locks between processes of this host lie.</param>
    /// <param name="timeProvider">The clock; the system's when not given.</param>
    /// <param name="logger">Told of every step.</param>
    public LocalLayers(IProcessRunner runner, FormatGuardOptions? formatOptions = null, string leaseDirectory = "/run/pengx/leases", TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(runner);
        _formats = new(runner, _devices, formatOptions);
        _fileSystems = new(_formats, _devices);
        _paths = new(runner);
        _execution = new(runner, leaseDirectory, timeProvider, logger);
    }

    /// <inheritdoc/>
    public bool Serves(StorageCategory category) => category == StorageCategory.Local;

    /// <inheritdoc/>
    public Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default) =>
        _execution.RunAsync(this, "local", order, shown, cancellationToken);

    /// <inheritdoc/>
    public Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(order);
        LayerExecution.DemandServed(this, order);
        var point = order.Layer.MountPoint ?? throw new InvalidFieldException("mount_point", null, "local storage has one.");
        return order.Layer.DeviceId is { } device ? PlanDeviceAsync(order, device, point, cancellationToken) : PlanDirectoryAsync(order, point, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layer);
        if (layer.MountPoint is not { } point)
        {
            return null;
        }

        if (layer.DeviceId is not { } device)
        {
            try
            {
                return await _paths.IsDirectoryAsync(point, cancellationToken).ConfigureAwait(false)
                    ? await _paths.MeasuredAsync(layer, point, point, cancellationToken).ConfigureAwait(false)
                    : null;
            }
            catch (UnavailableException error)
            {
                return new(layer, point, true) { Warnings = [error.Message] };
            }
        }

        if (_devices.Find(device) is not { } found)
        {
            return null;
        }

        return _fileSystems.IsAt(point, device)
            ? await _fileSystems.IdentifiedAsync(await _paths.MeasuredAsync(layer, device, point, cancellationToken).ConfigureAwait(false), device, layer.FileSystem, cancellationToken).ConfigureAwait(false)
            : new(layer with { Size = found.Size }, device, false);
    }

    private async Task<StoragePlan> PlanDirectoryAsync(StorageOrder order, string point, CancellationToken cancellationToken)
    {
        var isThere = await _paths.IsDirectoryAsync(point, cancellationToken).ConfigureAwait(false);
        switch (order.Verb)
        {
            case StorageVerb.Create or StorageVerb.Attach when !isThere:
                return LayerExecution.Plan($"{order.Verb} the directory {point}", FileSystemSteps.MakeDirectory(point));
            case StorageVerb.Delete when isThere:
                if (Directory.EnumerateFileSystemEntries(point).Any())
                {
                    throw new InUseException($"The directory {point} is not empty; what is in it is not deleted here.");
                }

                return LayerExecution.Plan($"Delete the directory {point}", FileSystemSteps.RemoveDirectory(point));
            default:
                return LayerExecution.Plan($"{order.Verb} the directory {point}");
        }
    }

    private async Task<StoragePlan> PlanDeviceAsync(StorageOrder order, string device, string point, CancellationToken cancellationToken)
    {
        var title = $"{order.Verb} {device} at {point}";
        var found = _devices.Find(device);
        var isMounted = found is not null && _fileSystems.IsAt(point, device);
        var type = order.Layer.FileSystem ?? order.FileSystem;

        // What is not made yet, or was wiped by an earlier run, is known by nothing.
        var isLeft = order.Verb == StorageVerb.Delete && found is not null && await HasSignatureAsync(found, cancellationToken).ConfigureAwait(false);
        if (found is not null && type is not null && (isLeft || isMounted || order.Verb is StorageVerb.Attach or StorageVerb.Resize) && order.Verb != StorageVerb.Detach)
        {
            await _fileSystems.DemandKnownAsync(device, order.Layer, type, cancellationToken).ConfigureAwait(false);
        }

        switch (order.Verb)
        {
            case StorageVerb.Create or StorageVerb.Attach when isMounted:
                return LayerExecution.Plan(title);
            case StorageVerb.Create or StorageVerb.Attach:
                var there = found ?? throw new StorageException($"There is no device {device}.");
                if (there.Users.Count > 0)
                {
                    throw new InUseException($"The device {device} is used by {string.Join(", ", there.Users)}.");
                }

                var format = order is { Verb: StorageVerb.Create, FileSystem: { } wanted }
                    ? await _fileSystems.WipeAndFormatAsync(there, wanted, order.Layer.Uuid, order.Consent, cancellationToken).ConfigureAwait(false)
                    : [];
                return LayerExecution.Plan(title, [.. _fileSystems.MakeAndMount(device, point, type, order.Layer.Uuid, format)]);
            case StorageVerb.Detach:
                return LayerExecution.Plan(title, _fileSystems.Leave(point, device, order.Layer.Name));
            case StorageVerb.Delete:
                List<StorageStep> last = [.. _fileSystems.Leave(point, device, order.Layer.Name)];
                if (isLeft && found is not null && order.Layer.FileSystem is { } signature)
                {
                    last.Add(new()
                    {
                        Description = $"Wipe the {signature} file system off {device}",
                        Action = ToolAction.Of("wipefs", "--all", device),
                        Risk = StorageRisk.Destructive,
                        NoReturn = true,
                        Before = [_devices.IsStill(found), _devices.IsUnused(found), _formats.Holds(device, signature, order.Layer.Uuid)],
                        After = _formats.HoldsNothing(found),
                    });
                }

                return LayerExecution.Plan(title, last);
            default:
                return LayerExecution.Plan(title);
        }
    }

    private async Task<bool> HasSignatureAsync(BlockDevice device, CancellationToken cancellationToken) =>
        await _formats.HoldsNothing(device).VerifyAsync(cancellationToken).ConfigureAwait(false) is not null;
}
