namespace Pengx;

/// <summary>A golden machine whose disks virtual machines are made from, and which can be booted itself to install it
/// (reference, chapter 9: <c>GVM</c>).</summary>
public sealed record Template
{
    /// <summary>The template's UUID; also its domain's.</summary>
    public required TemplateId Id { get; init; }

    /// <summary>The physical machine it lives on.</summary>
    public required PmId Pm { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>What it is for, in the operator's words.</summary>
    public string? Description { get; init; }

    /// <summary>The operating system.</summary>
    public GuestOs Os { get; init; }

    /// <summary>The operating system's architecture.</summary>
    public OsArchitecture Architecture { get; init; }

    /// <summary>The VNC port last seen; ask the hypervisor for the real one of a running domain.</summary>
    public int? VncPort { get; init; }

    /// <summary>The password of the VNC console, at most 8 characters.</summary>
    public string? VncPassword { get; init; }

    /// <summary>The state last seen.</summary>
    public VmState State { get; init; }

    /// <summary>When it was made.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it was last started.</summary>
    public DateTimeOffset? RecentBootedAt { get; init; }

    /// <summary>When the row last changed.</summary>
    public DateTimeOffset UpdatedAt { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }

    /// <summary>Whether the guest is Windows (reference: <c>is_windows</c>).</summary>
    public bool IsWindows => Os == GuestOs.Windows;

    /// <summary>The template's disks as xl's configuration names them, in boot order (reference: <c>GVM.disks4xencfg</c>).</summary>
    /// <param name="disks">The template's disks.</param>
    /// <param name="storlinks">The storage links that they lie on.</param>
    /// <param name="isoPath">The path of an ISO image to add as the CD-ROM <c>hdc</c>.</param>
    /// <exception cref="KeyNotFoundException">A disk's storage link is not among <paramref name="storlinks"/>.</exception>
    public IReadOnlyList<XenDisk> XenDisks(IEnumerable<Disk> disks, IReadOnlyDictionary<StorlinkId, Storlink> storlinks, string? isoPath = null)
    {
        var owner = DiskOwner.Of(Id);
        List<XenDisk> result = [.. disks.Where(disk => disk.Owner == owner).OrderBy(disk => disk.Order)
            .Select((disk, index) => disk.ToXenDisk(storlinks[disk.Storlink], index))];
        if (isoPath is not null)
        {
            result.Add(new("raw", "hdc", "r", isoPath, result.Count, IsCdrom: true));
        }

        return result;
    }
}
