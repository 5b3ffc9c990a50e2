namespace Pengx.Storage;

/// <summary>Activation by device-mapper. That <c>lvchange</c> succeeded proves nothing; the node in sysfs does.</summary>
internal sealed class DeviceMapperActivation(LvmTool lvm, DeviceGuard devices) : IVolumeActivation
{
    // udev makes the node a moment later, and removes it a moment later.
    private const int Attempts = 100;
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);

    public string? FindPath(LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        var path = PathOf(group, volume);
        return devices.Find(path) is { } device ? DemandIdentity(device, group, volume).Path : null;
    }

    public async Task<string> ActivateAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        // Where locks are shared through the cluster, exclusive activation is what keeps a second host off.
        await lvm.RunAsync("lvchange", [group.LockType.Length > 0 ? "-aey" : "-ay", "-K", $"{group.Name}/{volume.Name}"], cancellationToken).ConfigureAwait(false);
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            if (FindPath(group, volume) is { } path)
            {
                return path;
            }

            await Task.Delay(s_pause, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        }

        throw new StorageException($"LVM activated {group.Name}/{volume.Name}, but {PathOf(group, volume)} did not appear.");
    }

    public async Task DeactivateAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        await lvm.RunAsync("lvchange", ["-an", $"{group.Name}/{volume.Name}"], cancellationToken).ConfigureAwait(false);
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            if (devices.Find(PathOf(group, volume)) is null)
            {
                return;
            }

            await Task.Delay(s_pause, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        }

        throw new StorageException($"LVM deactivated {group.Name}/{volume.Name}, but {PathOf(group, volume)} is still there.");
    }

    public string DescribeActivation(string group, string volume) => $"lvchange -ay -K {group}/{volume}";

    public string DescribeDeactivation(string group, string volume) => $"lvchange -an {group}/{volume}";

    public IReadOnlyList<string> Placement(LvmVolumeGroup group, long bytes) => [];

    private static string PathOf(LvmVolumeGroup group, LvmLogicalVolume volume) => $"/dev/{group.Name}/{volume.Name}";

    // The device-mapper UUID of a logical volume is "LVM-", the group's UUID and the volume's, both without dashes.
    private static BlockDevice DemandIdentity(BlockDevice device, LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        var expected = $"LVM-{group.Uuid}{volume.Uuid}".Replace("-", "", StringComparison.Ordinal);
        return device.Identity.Kind == "dm" && device.Identity.Value.Replace("-", "", StringComparison.Ordinal) == expected
            ? device
            : throw new StorageException($"{device.Path} is {device.Identity}, not the logical volume {volume.Uuid} of volume group {group.Uuid}; it is not used.");
    }
}
