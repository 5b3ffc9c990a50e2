namespace Pengx.Storage;

/// <summary>Native snapshots and clones.</summary>
public sealed partial class RbdStorage
{
    private const string SnapshotPrefix = "pengx-";

    /// <inheritdoc/>
    public async Task<bool> CanCloneAsync(Storlink storlink, DiskId source, CancellationToken cancellationToken = default)
    {
        var (pool, what) = Enter(storlink);
        return await NotedFormatAsync(what, pool, RbdName.Final(source), cancellationToken).ConfigureAwait(false) == DiskFormat.Raw;
    }

    /// <inheritdoc/>
    /// <remarks>As long as the clone lives, <see cref="DeleteAsync"/> refuses to remove the source.</remarks>
    /// <exception cref="InUseException">Something has the source open for writing.</exception>
    public Task<Volume> CloneAsync(Storlink storlink, DiskId source, VolumeSpec spec, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(spec);
        if (spec is not { Source: null, Backing: null })
        {
            throw new ArgumentException("What a clone is made from is told beside its specification.", nameof(spec));
        }

        if (spec.Format != DiskFormat.Raw)
        {
            throw new InvalidFieldException("format", spec.Format.Name, "only a raw image is cloned; copy it.");
        }

        return CreateAsync(storlink, spec with { Backing = new(LocationOf(RbdName.PoolOf(storlink), source), DiskFormat.Raw) }, null, cancellationToken);
    }

    /// <inheritdoc/>
    async Task IVolumeSnapshots.SnapshotAsync(Storlink storlink, DiskId disk, SnapshotId snapshot, CancellationToken cancellationToken)
    {
        var (pool, what) = Enter(storlink);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        var result = await _tools.TryRbdAsync(["snap", "create", "--no-progress", "--pool", pool, "--image", RbdName.Final(disk), "--snap", $"{SnapshotPrefix}{snapshot}"], cancellationToken).ConfigureAwait(false);
        if (result.ExitCode is not (0 or CephTools.Exists))
        {
            throw CephTools.FailureOf(what, result);
        }
    }

    /// <inheritdoc/>
    async Task<IReadOnlyList<SnapshotId>> IVolumeSnapshots.ListSnapshotsAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken)
    {
        var (pool, what) = Enter(storlink);
        var snapshots = await _tools.RbdAsync(what, ["snap", "ls", "--pool", pool, "--image", RbdName.Final(disk)], CephJson.Default.IReadOnlyListRbdSnapshot, cancellationToken).ConfigureAwait(false);
        List<SnapshotId> ids = [];
        foreach (var snapshot in snapshots)
        {
            if (snapshot.Name.StartsWith(SnapshotPrefix, StringComparison.Ordinal) && SnapshotId.TryParse(snapshot.Name[SnapshotPrefix.Length..], out var id))
            {
                ids.Add(id);
            }
        }

        return ids;
    }

    /// <inheritdoc/>
    async Task IVolumeSnapshots.RevertAsync(Storlink storlink, DiskId disk, SnapshotId snapshot, CancellationToken cancellationToken)
    {
        var (pool, what) = Enter(storlink);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        await DemandUnusedAsync(what, pool, disk, RbdName.Final(disk), wait: false, cancellationToken).ConfigureAwait(false);
        await _tools.RbdAsync(
            what,
            ["snap", "rollback", "--no-progress", "--pool", pool, "--image", RbdName.Final(disk), "--snap", $"{SnapshotPrefix}{snapshot}"],
            cancellationToken,
            _options.RemoveTimeout).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    async Task IVolumeSnapshots.DeleteSnapshotAsync(Storlink storlink, DiskId disk, SnapshotId snapshot, CancellationToken cancellationToken)
    {
        var (pool, what) = Enter(storlink);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        await DropSnapshotAsync(what, pool, RbdName.Final(disk), $"{SnapshotPrefix}{snapshot}", cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    async Task IVolumeSnapshots.FlattenAsync(Storlink storlink, DiskId disk, CancellationToken cancellationToken)
    {
        var (pool, what) = Enter(storlink);
        using var held = await HoldAsync(disk, cancellationToken).ConfigureAwait(false);
        if ((await InfoAsync(what, pool, disk, cancellationToken).ConfigureAwait(false)).Parent is null)
        {
            return;
        }

        await _tools.RbdAsync(what, ["flatten", "--no-progress", "--pool", pool, "--image", RbdName.Final(disk)], cancellationToken, _options.RemoveTimeout).ConfigureAwait(false);
        if ((await InfoAsync(what, pool, disk, cancellationToken).ConfigureAwait(false)).Parent is { } parent)
        {
            throw new StorageException($"{what}: rbd says that disk {disk} stands alone, and it is still a clone of {parent.Pool}/{parent.Image}.");
        }
    }

    /// <summary>Clones an image of the same cluster as it is now.</summary>
    /// <remarks>The clone keeps the snapshot it is made from: removed at once, the snapshot loses its name only, and goes with
    /// its last clone. So there is nothing to keep account of.</remarks>
    private async Task CloneAsync(string what, DiskLayer parent, string pool, string part, DiskId child, CancellationToken cancellationToken)
    {
        if (parent.Location is not RbdLocation rbd)
        {
            throw new StorageException($"{what}: only an RBD image can lie beneath an RBD image, and {parent.Location} is none; copy it.");
        }

        if (await NotedFormatAsync(what, rbd.Pool, rbd.Image, cancellationToken).ConfigureAwait(false) is not DiskFormat.Raw)
        {
            throw new StorageException($"{what}: the image {rbd} does not hold a raw disk, and is not cloned; copy it.");
        }

        var snapshot = RbdName.CloneSnapshot(child);
        await DropSnapshotAsync(what, rbd.Pool, rbd.Image, snapshot, cancellationToken).ConfigureAwait(false);
        await _tools.RbdAsync(what, ["snap", "create", "--no-progress", "--pool", rbd.Pool, "--image", rbd.Image, "--snap", snapshot], cancellationToken).ConfigureAwait(false);
        try
        {
            await _tools.RbdAsync(
                what,
                [
                    "clone", "--rbd-default-clone-format", "2", "--image-feature", Features,
                    "--pool", rbd.Pool, "--image", rbd.Image, "--snap", snapshot, "--dest-pool", pool, "--dest", part,
                ],
                cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await DropSnapshotAsync(what, rbd.Pool, rbd.Image, snapshot, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private async Task DropSnapshotAsync(string what, string pool, string image, string snapshot, CancellationToken cancellationToken)
    {
        var result = await _tools.TryRbdAsync(["snap", "rm", "--no-progress", "--pool", pool, "--image", image, "--snap", snapshot], cancellationToken).ConfigureAwait(false);
        if (result.ExitCode is not (0 or CephTools.NoEntry))
        {
            throw CephTools.FailureOf(what, result);
        }
    }
}
