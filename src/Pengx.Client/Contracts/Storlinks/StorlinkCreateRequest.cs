namespace Pengx.Client;

/// <summary>The body of <c>POST /storlinks/create/</c>.</summary>
public sealed record StorlinkCreateRequest
{
    /// <summary>The storlink's name, unique on its host.</summary>
    public required string Name { get; init; }

    /// <summary>The device path: a directory, a volume group or a pool.</summary>
    public required string Link { get; init; }

    /// <summary>Its description, or null.</summary>
    public string? Description { get; init; }

    /// <summary><c>LO</c>, <c>FC</c>, <c>ISC</c>, <c>NFS</c> or <c>CEP</c>.</summary>
    public required string Type { get; init; }

    /// <summary><c>FL</c>, <c>BL</c> or <c>OB</c>.</summary>
    public required string Level { get; init; }

    /// <summary>Whether other hosts reach it too; null means no.</summary>
    public bool? Shared { get; init; }
}
