using System.Globalization;

namespace Pengx.Storage;

/// <summary>Activation by loop devices, where the kernel has no device-mapper: a volume that lies in one piece on one device is
/// that device from an offset on.</summary>
internal sealed class LoopActivation(IProcessRunner runner, LvmOptions options, string sys = "/sys", string dev = "/dev") : IVolumeActivation
{
    private const int Looks = 40;

    private static readonly TimeSpan s_betweenLooks = TimeSpan.FromMilliseconds(50);

    public string? FindPath(LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        var extent = ExtentOf(group, volume);
        var link = LinkOf(group, volume);
        if (FindLoop(extent, exact: true) is not { } loop)
        {
            return null;
        }

        return Path.GetFileName(File.ResolveLinkTarget(link, returnFinalTarget: false)?.FullName) == loop ? link : null;
    }

    public async Task<string> ActivateAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        if (FindPath(group, volume) is { } active)
        {
            return active;
        }

        var extent = ExtentOf(group, volume);
        var loop = FindLoop(extent, exact: true);
        if (loop is null)
        {
            // The same bytes by a device of another length: a size that is no more.
            if (FindLoop(extent, exact: false) is { } stale)
            {
                await RunAsync(["--detach", $"{dev}/{stale}"], cancellationToken).ConfigureAwait(false);
            }

            var result = await RunAsync(
                ["--find", "--show", "--offset", Number(extent.Offset), "--sizelimit", Number(extent.Length), extent.Device], cancellationToken).ConfigureAwait(false);
            loop = Path.GetFileName(result.Output.Trim());
        }

        // Named as device-mapper would: by a link that a reader never sees missing.
        var link = LinkOf(group, volume);
        Directory.CreateDirectory(Path.GetDirectoryName(link)!);
        var fresh = $"{link}.new";
        File.Delete(fresh);
        File.CreateSymbolicLink(fresh, $"../{loop}");
        File.Move(fresh, link, overwrite: true);
        return FindPath(group, volume) ?? throw new StorageException($"{group.Name}/{volume.Name} was attached as {dev}/{loop}, but sysfs does not show it.");
    }

    public async Task DeactivateAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken)
    {
        var extent = ExtentOf(group, volume);
        if (FindLoop(extent, exact: false) is { } loop)
        {
            await RunAsync(["--detach", $"{dev}/{loop}"], cancellationToken).ConfigureAwait(false);

            // The kernel lets a loop device go when its last user does; a tool that looks through all devices is one for a moment.
            for (var look = 1; FindLoop(extent, exact: false) is not null; look++)
            {
                if (look == Looks)
                {
                    throw new InUseException($"The logical volume {group.Name}/{volume.Name} is in use: something has {dev}/{loop} open.");
                }

                await Task.Delay(s_betweenLooks, TimeProvider.System, cancellationToken).ConfigureAwait(false);
            }
        }

        var link = LinkOf(group, volume);
        File.Delete(link);
        var directory = Path.GetDirectoryName(link)!;
        if (Directory.Exists(directory) && !Directory.EnumerateFileSystemEntries(directory).Any())
        {
            Directory.Delete(directory);
        }
    }

    public string DescribeActivation(string group, string volume) => $"losetup --find at the extents of {group}/{volume}, linked as /dev/{group}/{volume}";

    public string DescribeDeactivation(string group, string volume) => $"losetup --detach the device of /dev/{group}/{volume}";

    /// <summary>Leaves room to grow in one piece: in the middle of the largest free piece, unless that is all there is.</summary>
    public IReadOnlyList<string> Placement(LvmVolumeGroup group, long bytes)
    {
        var needed = bytes / group.ExtentSize;
        var largest = group.Extents.Where(extents => extents.LogicalVolume is null).MaxBy(extents => extents.Count);
        if (largest is null || largest.Count < needed)
        {
            throw new InsufficientResourceException($"Volume group {group.Name} has no free piece of {new DataSize(bytes).MiBCeiling} MiB; its largest has {new DataSize((largest?.Count ?? 0) * group.ExtentSize).MiB} MiB. Without device-mapper a volume lies in one piece.");
        }

        var first = largest.First + Math.Min(largest.Count / 2, largest.Count - needed);
        var device = group.PhysicalVolumes.Single(volume => volume.Uuid == largest.PhysicalVolume).Name;
        return [string.Create(CultureInfo.InvariantCulture, $"{device}:{first}-{first + needed - 1}")];
    }

    private string LinkOf(LvmVolumeGroup group, LvmLogicalVolume volume) => Path.Combine(dev, group.Name, volume.Name);

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static (string Device, long Offset, long Length) ExtentOf(LvmVolumeGroup group, LvmLogicalVolume volume)
    {
        // "/dev/loop0:20-21"; several ranges, or pieces that do not follow each other, are more than one loop device can show.
        long? first = null;
        long next = 0;
        string? device = null;
        foreach (var segment in volume.Segments)
        {
            var colon = segment.Ranges.LastIndexOf(':');
            var dash = segment.Ranges.LastIndexOf('-');
            if (segment.Type != "linear" || colon < 0 || dash < colon || segment.Ranges.Contains(' ', StringComparison.Ordinal)
                || !long.TryParse(segment.Ranges.AsSpan(colon + 1, dash - colon - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var from)
                || !long.TryParse(segment.Ranges.AsSpan(dash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var to)
                || (device is not null && (device != segment.Ranges[..colon] || from != next)))
            {
                device = null;
                break;
            }

            device = segment.Ranges[..colon];
            first ??= from;
            next = to + 1;
        }

        if (device is null || group.PhysicalVolumes.FirstOrDefault(candidate => candidate.Name == device) is not { } physical)
        {
            throw new StorageException($"The logical volume {group.Name}/{volume.Name} does not lie in one piece on one device, and cannot be used without device-mapper.");
        }

        return (device, physical.Start + (first!.Value * group.ExtentSize), volume.Size);
    }

    private string? FindLoop((string Device, long Offset, long Length) extent, bool exact)
    {
        foreach (var directory in Directory.EnumerateDirectories(Path.Combine(sys, "block"), "loop*"))
        {
            if (Read(directory, "backing_file") == extent.Device && Read(directory, "offset") == Number(extent.Offset)
                && (!exact || Read(directory, "sizelimit") == Number(extent.Length)))
            {
                return Path.GetFileName(directory);
            }
        }

        return null;
    }

    private static string? Read(string directory, string attribute)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, "loop", attribute)).Trim();
        }
        catch (IOException)
        {
            // Not attached to anything, or detached just now.
            return null;
        }
    }

    private async Task<ProcessResult> RunAsync(IReadOnlyList<string> arguments, CancellationToken cancellationToken) =>
        (await runner.RunAsync(new() { FileName = "losetup", Arguments = arguments, Timeout = options.Timeout }, cancellationToken).ConfigureAwait(false)).EnsureSuccess();
}
