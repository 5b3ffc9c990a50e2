namespace Pengx.Core.Tests;

/// <summary>Objects of the domain with nothing in them but what a test asks for.</summary>
internal static class Make
{
    public static readonly DateTimeOffset Then = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static Disk Disk(DiskId id, DiskOwner owner, int order, DiskFormat format = DiskFormat.Qcow2) => new()
    {
        Id = id,
        Owner = owner,
        Order = order,
        Format = format,
        Size = DataSize.FromGiB(1),
        Storlink = new(1),
        CreatedAt = Then,
    };

    public static Storlink Storlink(int id, string link, StorlinkLevel level = StorlinkLevel.File) =>
        new() { Id = new(id), Pm = PmId.New(), Name = "link", Link = link, Type = StorlinkType.Local, Level = level };

    public static Snapshot Snapshot(VmId vm, SnapshotKind kind, SnapshotId? parent = null) =>
        new() { Id = SnapshotId.New(), Vm = vm, Kind = kind, Name = "s", Parent = parent, CreatedAt = Then };
}
