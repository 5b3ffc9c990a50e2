using System.Net;

namespace Pengx.Data;

internal sealed class DnsRow : Row
{
    public int Id { get; set; }
    public Guid Pm { get; set; }
    public string? Address1 { get; set; }
    public string? Address2 { get; set; }

    public override object Key => Id;

    public override string Title => $"DNS entry {Id}";

    public override InvalidFieldException Taken() => new("pm", Pm.ToString(), "it is already taken: this physical machine has a DNS entry; change that one.");

    public static DnsRow From(DnsServers model) => new()
    {
        Id = model.Id,
        Pm = model.Pm.Value,
        Address1 = model.Address1?.ToString(),
        Address2 = model.Address2?.ToString(),
        Revision = model.Revision,
    };

    public DnsServers ToModel() => new()
    {
        Id = Id,
        Pm = new(Pm),
        Address1 = Address1 is null ? null : IPAddress.Parse(Address1),
        Address2 = Address2 is null ? null : IPAddress.Parse(Address2),
        Revision = Revision,
    };
}
