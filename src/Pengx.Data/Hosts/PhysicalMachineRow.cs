namespace Pengx.Data;

internal sealed class PhysicalMachineRow : Row
{
    public Guid Id { get; set; }
    public required string Name { get; set; }
    public int Cpus { get; set; }
    public long Memory { get; set; }
    public string? SshPublicKey { get; set; }
    public long CreatedAt { get; set; }
    public long UpdatedAt { get; set; }

    public override object Key => Id;

    public override string Title => $"PM {Name}";

    public static PhysicalMachineRow From(PhysicalMachine model) => new()
    {
        Id = model.Id.Value,
        Name = model.Name,
        Cpus = model.Cpus,
        Memory = model.Memory.Bytes,
        SshPublicKey = model.SshPublicKey,
        CreatedAt = model.CreatedAt.UtcTicks,
        UpdatedAt = model.UpdatedAt.UtcTicks,
        Revision = model.Revision,
    };

    public PhysicalMachine ToModel() => new()
    {
        Id = new(Id),
        Name = Name,
        Cpus = Cpus,
        Memory = new(Memory),
        SshPublicKey = SshPublicKey,
        CreatedAt = StoredTime.From(CreatedAt),
        UpdatedAt = StoredTime.From(UpdatedAt),
        Revision = Revision,
    };
}
