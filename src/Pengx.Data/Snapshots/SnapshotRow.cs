namespace Pengx.Data;

internal sealed class SnapshotRow : Row
{
    public Guid Id { get; set; }
    public Guid Vm { get; set; }
    public required string Kind { get; set; }
    public Guid? Parent { get; set; }
    public required string Name { get; set; }
    public string? Description { get; set; }
    public long CreatedAt { get; set; }

    public override object Key => Id;

    public override string Title => $"snapshot {Name}";

    public override InvalidFieldException Taken() => new("name", Name, "it is already taken by another snapshot of this VM; choose another.");

    public static SnapshotRow From(Snapshot model) => new()
    {
        Id = model.Id.Value,
        Vm = model.Vm.Value,
        Kind = Stored.SnapshotKinds[model.Kind],
        Parent = model.Parent?.Value,
        Name = model.Name,
        Description = model.Description,
        CreatedAt = model.CreatedAt.UtcTicks,
        Revision = model.Revision,
    };

    public Snapshot ToModel() => new()
    {
        Id = new(Id),
        Vm = new(Vm),
        Kind = Stored.SnapshotKinds.Parse(Kind),
        Parent = Parent is { } parent ? new SnapshotId(parent) : null,
        Name = Name,
        Description = Description,
        CreatedAt = StoredTime.From(CreatedAt),
        Revision = Revision,
    };
}
