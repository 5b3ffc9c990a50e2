namespace Pengx.Data;

internal sealed class VirtualMachineRow : Row
{
    public Guid Id { get; set; }
    public Guid Pm { get; set; }
    public Guid? Template { get; set; }
    public required string Name { get; set; }
    public string? Description { get; set; }
    public required string Os { get; set; }
    public required string Architecture { get; set; }
    public int Cpus { get; set; }
    public long Memory { get; set; }
    public long MaxMemory { get; set; }
    public required string[] VirtualFunctions { get; set; }
    public int? VncPort { get; set; }
    public string? VncPassword { get; set; }
    public required string State { get; set; }
    public long CreatedAt { get; set; }
    public long? RecentBootedAt { get; set; }
    public long UpdatedAt { get; set; }

    public override object Key => Id;

    public override string Title => $"VM {Name}";

    public override InvalidFieldException Taken() => new("name", Name, "it is already taken by another VM of this physical machine; choose another.");

    public static VirtualMachineRow From(VirtualMachine model) => new()
    {
        Id = model.Id.Value,
        Pm = model.Pm.Value,
        Template = model.Template?.Value,
        Name = model.Name,
        Description = model.Description,
        Os = Stored.Systems[model.Os],
        Architecture = Stored.Architectures[model.Architecture],
        Cpus = model.Cpus,
        Memory = model.Memory.Bytes,
        MaxMemory = model.MaxMemory.Bytes,
        VirtualFunctions = [.. model.VirtualFunctions.Select(address => address.ToString())],
        VncPort = model.VncPort,
        VncPassword = model.VncPassword,
        State = Stored.States[model.State],
        CreatedAt = model.CreatedAt.UtcTicks,
        RecentBootedAt = model.RecentBootedAt?.UtcTicks,
        UpdatedAt = model.UpdatedAt.UtcTicks,
        Revision = model.Revision,
    };

    public VirtualMachine ToModel() => new()
    {
        Id = new(Id),
        Pm = new(Pm),
        Template = Template is { } template ? new TemplateId(template) : null,
        Name = Name,
        Description = Description,
        Os = Stored.Systems.Parse(Os),
        Architecture = Stored.Architectures.Parse(Architecture),
        Cpus = Cpus,
        Memory = new(Memory),
        MaxMemory = new(MaxMemory),
        VirtualFunctions = [.. VirtualFunctions.Select(ParseFunction)],
        VncPort = VncPort,
        VncPassword = VncPassword,
        State = Stored.States.Parse(State),
        CreatedAt = StoredTime.From(CreatedAt),
        RecentBootedAt = StoredTime.From(RecentBootedAt),
        UpdatedAt = StoredTime.From(UpdatedAt),
        Revision = Revision,
    };

    private static PciAddress ParseFunction(string text) => PciAddress.TryParse(text, out var address)
        ? address
        : throw new UnavailableException($"The database is damaged: it holds '{text}' as a PCI address. Restore the newest backup of the database.");
}
