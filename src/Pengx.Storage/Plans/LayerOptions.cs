namespace Pengx.Storage;

/// <summary>What the drivers of storage layers have in common.</summary>
public sealed class LayerOptions
{
    /// <summary>Where the locks between processes of this host lie.</summary>
    /// <value><c>/run/pengx/leases</c>.</value>
    public string LeaseDirectory { get; set; } = "/run/pengx/leases";
}
