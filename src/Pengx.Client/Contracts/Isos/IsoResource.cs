namespace Pengx.Client;

/// <summary>An ISO image in one of the host's directories: <c>&lt;iso&gt;</c> of <c>/isos/</c>.</summary>
public sealed record IsoResource
{
    /// <summary>The file's name.</summary>
    public required string Name { get; init; }

    /// <summary>Its size in MiB, rounded up.</summary>
    public long Size { get; init; }
}
