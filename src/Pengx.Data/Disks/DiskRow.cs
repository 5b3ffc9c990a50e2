namespace Pengx.Data;

internal sealed class DiskRow : Row
{
    public Guid Id { get; set; }
    public required string OwnerKind { get; set; }
    public Guid OwnerId { get; set; }
    public int Order { get; set; }
    public long Size { get; set; }
    public required string Format { get; set; }
    public int Storlink { get; set; }
    public Guid? Backing { get; set; }
    public string? Type { get; set; }
    public string? Description { get; set; }
    public long CreatedAt { get; set; }

    public override object Key => Id;

    public override string Title => $"disk {Id:D}";

    public static DiskRow From(Disk model) => new()
    {
        Id = model.Id.Value,
        OwnerKind = Stored.DiskOwners[model.Owner.Kind],
        OwnerId = model.Owner.Id,
        Order = model.Order,
        Size = model.Size.Bytes,
        Format = Stored.DiskFormats[model.Format],
        Storlink = model.Storlink.Value,
        Backing = model.Backing?.Value,
        Type = model.Type,
        Description = model.Description,
        CreatedAt = model.CreatedAt.UtcTicks,
        Revision = model.Revision,
    };

    public Disk ToModel() => new()
    {
        Id = new(Id),
        Owner = new(Stored.DiskOwners.Parse(OwnerKind), OwnerId),
        Order = Order,
        Size = new(Size),
        Format = Stored.DiskFormats.Parse(Format),
        Storlink = new(Storlink),
        Backing = Backing is { } backing ? new DiskId(backing) : null,
        Type = Type,
        Description = Description,
        CreatedAt = StoredTime.From(CreatedAt),
        Revision = Revision,
    };
}
