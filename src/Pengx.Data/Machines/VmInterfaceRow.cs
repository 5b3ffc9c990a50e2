using System.Net;

namespace Pengx.Data;

internal sealed class VmInterfaceRow : Row
{
    public int Id { get; set; }
    public Guid Vm { get; set; }
    public required string Name { get; set; }
    public required string Switch { get; set; }
    public required string Mac { get; set; }
    public string? IpAddress { get; set; }
    public required string Method { get; set; }
    public bool Retired { get; set; }

    public override object Key => Id;

    public override string Title => $"interface {Id} ({Mac})";

    public override InvalidFieldException Taken() => new("mac", Mac, "it is already taken by another interface; choose another.");

    public static VmInterfaceRow From(VmInterface model) => new()
    {
        Id = model.Id.Value,
        Vm = model.Vm.Value,
        Name = model.Name,
        Switch = model.Switch,
        Mac = model.Mac.ToString(),
        IpAddress = model.IpAddress?.ToString(),
        Method = Stored.AddressMethods[model.Method],
        Retired = model.Retired,
        Revision = model.Revision,
    };

    public VmInterface ToModel() => new()
    {
        Id = new(Id),
        Vm = new(Vm),
        Name = Name,
        Switch = Switch,
        Mac = MacAddress.Parse(Mac),
        IpAddress = IpAddress is null ? null : IPAddress.Parse(IpAddress),
        Method = Stored.AddressMethods.Parse(Method),
        Retired = Retired,
        Revision = Revision,
    };
}
