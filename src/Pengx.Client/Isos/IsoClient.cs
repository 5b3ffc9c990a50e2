namespace Pengx.Client;

internal sealed class IsoClient(PengxTransport transport) : IIsoClient
{
    public IAsyncEnumerable<IsoResource> ListAsync(CancellationToken cancellationToken) =>
        transport.ListAsync("isos/", PengxShapes.Iso, cancellationToken: cancellationToken);

    public Task<IsoResource> GetAsync(string name, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return transport.GetAsync($"isos/{Uri.EscapeDataString(name)}/", PengxShapes.Iso, cancellationToken);
    }
}
