using System.Net;

namespace Pengx.Data;

internal sealed class Ocfs2NodeRow : Row
{
    public int Id { get; set; }
    public int Storage { get; set; }
    public Guid Pm { get; set; }
    public required string PeerIp { get; set; }
    public required string PeerName { get; set; }
    public int Number { get; set; }

    public override object Key => Id;

    public override string Title => $"OCFS2 node {PeerName}";

    public override InvalidFieldException Taken() => new("number", Number.ToString(System.Globalization.CultureInfo.InvariantCulture), "it is already taken by another node of the cluster.");

    public static Ocfs2NodeRow From(Ocfs2Node model) => new()
    {
        Id = model.Id,
        Storage = model.Storage,
        Pm = model.Pm.Value,
        PeerIp = model.PeerIp.ToString(),
        PeerName = model.PeerName,
        Number = model.Number,
        Revision = model.Revision,
    };

    public Ocfs2Node ToModel() => new()
    {
        Id = Id,
        Storage = Storage,
        Pm = new(Pm),
        PeerIp = IPAddress.Parse(PeerIp),
        PeerName = PeerName,
        Number = Number,
        Revision = Revision,
    };
}
