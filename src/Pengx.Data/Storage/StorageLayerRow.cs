using System.Net;

namespace Pengx.Data;

internal sealed class StorageLayerRow : Row
{
    public int Id { get; set; }
    public Guid Pm { get; set; }
    public required string Category { get; set; }
    public long Size { get; set; }
    public long Free { get; set; }
    public string? Name { get; set; }
    public string? Uuid { get; set; }
    public string? MountPoint { get; set; }
    public string? FileSystem { get; set; }
    public string? MountOptions { get; set; }
    public int? TargetPort { get; set; }
    public string? Target { get; set; }
    public int? Lun { get; set; }
    public string? ChapUser { get; set; }
    public int? LogicalVolumeCount { get; set; }
    public string? VolumeGroupId { get; set; }
    public string? DeviceId { get; set; }
    public string? DrbdResourceName { get; set; }
    public string? DrbdDisk { get; set; }
    public int? DrbdMinor { get; set; }
    public int? DrbdPort { get; set; }
    public string? TargetIp { get; set; }
    public required string[] PhysicalVolumeIds { get; set; }
    public required string[] DrbdPeerIps { get; set; }
    public string? DrbdIp { get; set; }

    public override object Key => Id;

    public override string Title => $"storage {Id}";

    public override InvalidFieldException Taken() => new("mount_point", MountPoint, "it is already taken by another storage of this physical machine.");

    public static StorageLayerRow From(StorageLayer model) => new()
    {
        Id = model.Id,
        Pm = model.Pm.Value,
        Category = Stored.StorageCategories[model.Category],
        Size = model.Size.Bytes,
        Free = model.Free.Bytes,
        Name = model.Name,
        Uuid = model.Uuid,
        MountPoint = model.MountPoint,
        FileSystem = model.FileSystem,
        MountOptions = model.MountOptions,
        TargetPort = model.TargetPort,
        Target = model.Target,
        Lun = model.Lun,
        ChapUser = model.ChapUser,
        LogicalVolumeCount = model.LogicalVolumeCount,
        VolumeGroupId = model.VolumeGroupId,
        DeviceId = model.DeviceId,
        DrbdResourceName = model.DrbdResourceName,
        DrbdDisk = model.DrbdDisk,
        DrbdMinor = model.DrbdMinor,
        DrbdPort = model.DrbdPort,
        TargetIp = model.TargetIp?.ToString(),
        PhysicalVolumeIds = [.. model.PhysicalVolumeIds],
        DrbdPeerIps = [.. model.DrbdPeerIps.Select(address => address.ToString())],
        DrbdIp = model.DrbdIp?.ToString(),
        Revision = model.Revision,
    };

    public StorageLayer ToModel() => new()
    {
        Id = Id,
        Pm = new(Pm),
        Category = Stored.StorageCategories.Parse(Category),
        Size = new(Size),
        Free = new(Free),
        Name = Name,
        Uuid = Uuid,
        MountPoint = MountPoint,
        FileSystem = FileSystem,
        MountOptions = MountOptions,
        TargetPort = TargetPort,
        Target = Target,
        Lun = Lun,
        ChapUser = ChapUser,
        LogicalVolumeCount = LogicalVolumeCount,
        VolumeGroupId = VolumeGroupId,
        DeviceId = DeviceId,
        DrbdResourceName = DrbdResourceName,
        DrbdDisk = DrbdDisk,
        DrbdMinor = DrbdMinor,
        DrbdPort = DrbdPort,
        TargetIp = TargetIp is null ? null : IPAddress.Parse(TargetIp),
        PhysicalVolumeIds = PhysicalVolumeIds,
        DrbdPeerIps = [.. DrbdPeerIps.Select(IPAddress.Parse)],
        DrbdIp = DrbdIp is null ? null : IPAddress.Parse(DrbdIp),
        Revision = Revision,
    };
}
