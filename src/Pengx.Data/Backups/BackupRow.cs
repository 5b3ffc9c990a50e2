namespace Pengx.Data;

internal sealed class BackupRow : Row
{
    public Guid Id { get; set; }
    public Guid Vm { get; set; }
    public required string Name { get; set; }
    public string? Description { get; set; }
    public int Storlink { get; set; }
    public long Size { get; set; }
    public long CreatedAt { get; set; }

    public override object Key => Id;

    public override string Title => $"backup {Name}";

    public static BackupRow From(Backup model) => new()
    {
        Id = model.Id.Value,
        Vm = model.Vm.Value,
        Name = model.Name,
        Description = model.Description,
        Storlink = model.Storlink.Value,
        Size = model.Size.Bytes,
        CreatedAt = model.CreatedAt.UtcTicks,
        Revision = model.Revision,
    };

    public Backup ToModel() => new()
    {
        Id = new(Id),
        Vm = new(Vm),
        Name = Name,
        Description = Description,
        Storlink = new(Storlink),
        Size = new(Size),
        CreatedAt = StoredTime.From(CreatedAt),
        Revision = Revision,
    };
}
