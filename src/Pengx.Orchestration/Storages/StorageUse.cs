namespace Pengx.Orchestration;

/// <summary>What lies on a layer of storage: other layers, and storage links.</summary>
internal static class StorageUse
{
    // Names that tell what is on a device, or when it came, and not which one it is.
    private static readonly string[] s_passing = ["/dev/disk/by-uuid/", "/dev/disk/by-label/", "/dev/disk/by-partuuid/", "/dev/disk/by-partlabel/", "/dev/dm-"];

    /// <summary>Demands that nothing is lost or left hanging by a verb. A storage link keeps all layers that it lies on; one that another PM shares does where
    /// this one has disks on it. A layer keeps the one beneath it from being deleted, whether it is attached or not.</summary>
    /// <exception cref="InUseException">Something lies on the layer, or it cannot be told.</exception>
    public static Task DemandUnusedAsync(Workplace place, StorageLayer layer, StorageVerb verb, CancellationToken cancellationToken) => place.Store.ReadAsync(
        async session =>
        {
            var others = (await session.StorageLayers.ListByPmAsync(layer.Pm, cancellationToken).ConfigureAwait(false)).Where(row => row.Id != layer.Id).ToList();
            if (verb == StorageVerb.Delete)
            {
                DemandBare(layer, others);
            }

            // The layers that lie on this one, from the bottom up.
            List<StorageLayer> stack = [layer];
            for (var i = 0; i < stack.Count; i++)
            {
                stack.AddRange(others.FindAll(row => !stack.Contains(row) && LiesOn(row, stack[i])));
            }

            await foreach (var storlink in session.Storlinks.ListAsync(cancellationToken).ConfigureAwait(false))
            {
                if (!stack.Exists(row => LiesOn(storlink, row)))
                {
                    continue;
                }

                if (storlink.Pm == layer.Pm)
                {
                    throw new InUseException($"Storage {layer.Id} is what storlink '{storlink.Name}' ({storlink.Link}) lies on; delete that first.");
                }

                if (storlink.Shared && await StorlinkRules.FindUserAsync(session, storlink.Id, pm => pm == layer.Pm, cancellationToken).ConfigureAwait(false) is { } user)
                {
                    throw new InUseException($"Storage {layer.Id} is what {user.Name} of this PM has disks on, by storlink '{storlink.Name}' ({storlink.Link}) of PM {storlink.Pm}; move or delete them first.");
                }
            }

            return true;
        },
        cancellationToken);

    /// <summary>By what names other layers call a layer that is a device; none where it is no device. The first is the one that is recorded for its number.</summary>
    public static IReadOnlyList<string> DevicesOf(StorageLayer layer) => layer switch
    {
        { Category: StorageCategory.LogicalVolume, Name: { } name } =>
        [
            $"/dev/{name}", $"/dev/mapper/{Mapped(name)}", $"/dev/disk/by-id/dm-name-{Mapped(name)}",
            $"/dev/disk/by-id/dm-uuid-LVM-{$"{layer.VolumeGroupId}{layer.Uuid}".Replace("-", "", StringComparison.Ordinal)}",
        ],
        { Category: StorageCategory.Drbd, Name: { } name } =>
            [name, $"/dev/drbd/by-res/{layer.DrbdResourceName}", $"/dev/drbd/by-res/{layer.DrbdResourceName}/0", $"/dev/drbd/by-disk/{layer.DrbdDisk?.Replace("/dev/", "", StringComparison.Ordinal)}"],
        { Category: StorageCategory.FibreChannel or StorageCategory.Iscsi, Name: { } name } => [name, .. UnitNames(layer.Uuid)],
        _ => [],
    };

    /// <exception cref="InUseException">Another layer lies on this one, or nobody can tell.</exception>
    private static void DemandBare(StorageLayer layer, List<StorageLayer> others)
    {
        if (others.Find(row => LiesOn(row, layer)) is { } above)
        {
            throw new InUseException($"Storage {layer.Id} is what storage {above.Id} ({StorageRules.Text(above.Category)} {above.MountPoint ?? above.Name}) lies on; delete that first.");
        }

        if (DevicesOf(layer) is { Count: > 0 } devices && !devices.Any(IsThere)
            && others.Find(row => Beneath(row) is { } device && s_passing.Any(name => device.StartsWith(name, StringComparison.Ordinal)) && !IsThere(device)) is { } hidden)
        {
            throw new InUseException($"Whether storage {hidden.Id} ({Beneath(hidden)}) lies on storage {layer.Id} cannot be told while neither is there; attach storage {layer.Id} first.");
        }
    }

    private static bool LiesOn(StorageLayer row, StorageLayer layer) =>
        (Beneath(row) is { } device && AreSame(device, DevicesOf(layer)))
        || (layer.Category == StorageCategory.PhysicalVolume && layer.Uuid is { } volume && row.PhysicalVolumeIds.Contains(volume))
        || (layer.Category == StorageCategory.VolumeGroup && row.VolumeGroupId is { } group && (group == layer.Uuid || group == layer.Name))
        || (layer.MountPoint is { } point && row.MountPoint is { } inner && IsWithin(inner, point));

    private static bool LiesOn(Storlink storlink, StorageLayer layer) =>
        (layer is { Category: StorageCategory.VolumeGroup, Name: { } name } && storlink.Link == $"/dev/{name}")
        || (layer.MountPoint is { } point && (storlink.Link == point || IsWithin(storlink.Link, point)));

    private static string? Beneath(StorageLayer row) => row.Category == StorageCategory.Drbd ? row.DrbdDisk : row.DeviceId;

    // A device that is not there now has the name alone; of one that is, all its names lead to the kernel's.
    private static bool AreSame(string device, IReadOnlyList<string> names) => names.Contains(device) || names.Any(name => Final(name) == Final(device));

    private static string Final(string device)
    {
        try
        {
            return File.ResolveLinkTarget(device, returnFinalTarget: true)?.FullName ?? device;
        }
        catch (IOException)
        {
            return device;
        }
    }

    private static bool IsThere(string device) => File.Exists(Final(device));

    private static bool IsWithin(string path, string point) => path.StartsWith($"{point}/", StringComparison.Ordinal);

    /// <summary>The name that device-mapper gives a volume: hyphens are doubled, so that the one between group and volume is told from them.</summary>
    private static string Mapped(string name) => name.Replace("-", "--", StringComparison.Ordinal).Replace('/', '-');

    /// <summary>The lasting names that udev gives a unit by its WWID, such as naa.6001405….</summary>
    private static string[] UnitNames(string? wwid) => wwid?.Split('.', 2) switch
    {
        ["naa", var number] => [$"/dev/disk/by-id/wwn-0x{number}", $"/dev/disk/by-id/scsi-3{number}", $"/dev/disk/by-id/dm-uuid-mpath-3{number}", $"/dev/mapper/3{number}"],
        ["eui", var number] => [$"/dev/disk/by-id/wwn-0x{number}", $"/dev/disk/by-id/scsi-2{number}", $"/dev/disk/by-id/dm-uuid-mpath-2{number}", $"/dev/mapper/2{number}"],
        _ => [],
    };
}
