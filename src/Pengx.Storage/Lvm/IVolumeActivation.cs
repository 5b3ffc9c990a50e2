namespace Pengx.Storage;

/// <summary>How a logical volume becomes a block device. The path is <c>/dev/VG/LV</c> either way.</summary>
internal interface IVolumeActivation
{
    /// <summary>The path of an active volume, verified to be that very volume; <see langword="null"/> when it is not active.</summary>
    string? FindPath(LvmVolumeGroup group, LvmLogicalVolume volume);

    /// <summary>Makes a volume a block device, and returns its path once it is there and is that very volume.</summary>
    Task<string> ActivateAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken);

    /// <summary>Takes the block device away, and returns once it is gone.</summary>
    Task DeactivateAsync(LvmVolumeGroup group, LvmLogicalVolume volume, CancellationToken cancellationToken);

    /// <summary>The act of making a volume a block device, as a plan shows it.</summary>
    string DescribeActivation(string group, string volume);

    /// <summary>The act of taking the block device away, as a plan shows it.</summary>
    string DescribeDeactivation(string group, string volume);

    /// <summary>The arguments of <c>lvcreate</c> that say where a volume shall lie; none where that does not matter.</summary>
    IReadOnlyList<string> Placement(LvmVolumeGroup group, long bytes);
}
