namespace Pengx.Data;

internal sealed class SriovRow : Row
{
    public int Id { get; set; }
    public Guid Pm { get; set; }
    public required string PhysicalFunction { get; set; }
    public required string[] VirtualFunctions { get; set; }

    public override object Key => Id;

    public override string Title => $"SR-IOV card {PhysicalFunction}";

    public override InvalidFieldException Taken() => new("pf", PhysicalFunction, "it is already taken: this card is recorded.");

    public static SriovRow From(SriovCard model) => new()
    {
        Id = model.Id,
        Pm = model.Pm.Value,
        PhysicalFunction = model.PhysicalFunction,
        VirtualFunctions = [.. model.VirtualFunctions.Select(address => address.ToString())],
        Revision = model.Revision,
    };

    public SriovCard ToModel() => new()
    {
        Id = Id,
        Pm = new(Pm),
        PhysicalFunction = PhysicalFunction,
        VirtualFunctions = [.. VirtualFunctions.Select(text => PciAddress.TryParse(text, out var address) ? address : throw new UnavailableException($"The database holds '{text}' as a PCI address."))],
        Revision = Revision,
    };
}
