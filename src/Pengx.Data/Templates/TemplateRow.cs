namespace Pengx.Data;

internal sealed class TemplateRow : Row
{
    public Guid Id { get; set; }
    public Guid Pm { get; set; }
    public required string Name { get; set; }
    public string? Description { get; set; }
    public required string Os { get; set; }
    public required string Architecture { get; set; }
    public int? VncPort { get; set; }
    public string? VncPassword { get; set; }
    public required string State { get; set; }
    public long CreatedAt { get; set; }
    public long? RecentBootedAt { get; set; }
    public long UpdatedAt { get; set; }

    public override object Key => Id;

    public override string Title => $"template {Name}";

    public override InvalidFieldException Taken() => new("name", Name, "it is already taken by another template of this physical machine; choose another.");

    public static TemplateRow From(Template model) => new()
    {
        Id = model.Id.Value,
        Pm = model.Pm.Value,
        Name = model.Name,
        Description = model.Description,
        Os = Stored.Systems[model.Os],
        Architecture = Stored.Architectures[model.Architecture],
        VncPort = model.VncPort,
        VncPassword = model.VncPassword,
        State = Stored.States[model.State],
        CreatedAt = model.CreatedAt.UtcTicks,
        RecentBootedAt = model.RecentBootedAt?.UtcTicks,
        UpdatedAt = model.UpdatedAt.UtcTicks,
        Revision = model.Revision,
    };

    public Template ToModel() => new()
    {
        Id = new(Id),
        Pm = new(Pm),
        Name = Name,
        Description = Description,
        Os = Stored.Systems.Parse(Os),
        Architecture = Stored.Architectures.Parse(Architecture),
        VncPort = VncPort,
        VncPassword = VncPassword,
        State = Stored.States.Parse(State),
        CreatedAt = StoredTime.From(CreatedAt),
        RecentBootedAt = StoredTime.From(RecentBootedAt),
        UpdatedAt = StoredTime.From(UpdatedAt),
        Revision = Revision,
    };
}
