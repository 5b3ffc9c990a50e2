namespace Pengx.Data;

internal sealed class StorlinkRow : Row
{
    public int Id { get; set; }
    public Guid Pm { get; set; }
    public required string Name { get; set; }
    public required string Link { get; set; }
    public required string Type { get; set; }
    public required string Level { get; set; }
    public bool Shared { get; set; }
    public string? Description { get; set; }

    public override object Key => Id;

    public override string Title => $"storlink {Name}";

    public override InvalidFieldException Taken() => new("name", Name, "it is already taken by another storlink of this physical machine; choose another.");

    public static StorlinkRow From(Storlink model) => new()
    {
        Id = model.Id.Value,
        Pm = model.Pm.Value,
        Name = model.Name,
        Link = model.Link,
        Type = Stored.StorlinkTypes[model.Type],
        Level = Stored.StorlinkLevels[model.Level],
        Shared = model.Shared,
        Description = model.Description,
        Revision = model.Revision,
    };

    public Storlink ToModel() => new()
    {
        Id = new(Id),
        Pm = new(Pm),
        Name = Name,
        Link = Link,
        Type = Stored.StorlinkTypes.Parse(Type),
        Level = Stored.StorlinkLevels.Parse(Level),
        Shared = Shared,
        Description = Description,
        Revision = Revision,
    };
}
