using System.Net;

namespace Pengx.Data;

internal sealed class NetworkRow : Row
{
    public int Id { get; set; }
    public Guid Pm { get; set; }
    public required string Name { get; set; }
    public required string Category { get; set; }
    public required string Method { get; set; }
    public string? Mac { get; set; }
    public string? IpAddress { get; set; }
    public int? PrefixLength { get; set; }
    public string? Gateway { get; set; }
    public string? BridgeType { get; set; }
    public required string[] BridgePorts { get; set; }
    public required string[] BondSlaves { get; set; }
    public string? BondMode { get; set; }
    public int? Mtu { get; set; }
    public int? VlanId { get; set; }
    public string? VlanDevice { get; set; }
    public bool Managed { get; set; }

    public override object Key => Id;

    public override string Title => $"network {Name}";

    public override InvalidFieldException Taken() => new("name", Name, "it is already taken by another network of this physical machine; choose another.");

    public static NetworkRow From(Network model) => new()
    {
        Id = model.Id,
        Pm = model.Pm.Value,
        Name = model.Name,
        Category = Stored.NetworkCategories[model.Category],
        Method = Stored.AddressMethods[model.Method],
        Mac = model.Mac?.ToString(),
        IpAddress = model.IpAddress?.ToString(),
        PrefixLength = model.PrefixLength,
        Gateway = model.Gateway?.ToString(),
        BridgeType = Stored.BridgeTypes.Text(model.BridgeType),
        BridgePorts = [.. model.BridgePorts],
        BondSlaves = [.. model.BondSlaves],
        BondMode = Stored.BondModes.Text(model.BondMode),
        Mtu = model.Mtu,
        VlanId = model.VlanId,
        VlanDevice = model.VlanDevice,
        Managed = model.Managed,
        Revision = model.Revision,
    };

    public Network ToModel() => new()
    {
        Id = Id,
        Pm = new(Pm),
        Name = Name,
        Category = Stored.NetworkCategories.Parse(Category),
        Method = Stored.AddressMethods.Parse(Method),
        Mac = Mac is null ? null : MacAddress.Parse(Mac),
        IpAddress = IpAddress is null ? null : IPAddress.Parse(IpAddress),
        PrefixLength = PrefixLength,
        Gateway = Gateway is null ? null : IPAddress.Parse(Gateway),
        BridgeType = Stored.BridgeTypes.ParseOptional(BridgeType),
        BridgePorts = BridgePorts,
        BondSlaves = BondSlaves,
        BondMode = Stored.BondModes.ParseOptional(BondMode),
        Mtu = Mtu,
        VlanId = VlanId,
        VlanDevice = VlanDevice,
        Managed = Managed,
        Revision = Revision,
    };
}
