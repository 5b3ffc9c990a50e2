namespace Pengx.Client;

/// <summary>A place where disks live: <c>&lt;storlink&gt;</c> of <c>/storlinks/</c> and <c>/storlinks/all/</c>.</summary>
public sealed record StorlinkResource
{
    /// <summary>The storlink's number.</summary>
    public required int Id { get; init; }

    /// <summary>The host it belongs to, or null where the server names none.</summary>
    public Guid? Pm { get; init; }

    /// <summary>That host's name: only <c>/storlinks/all/</c> carries it.</summary>
    public string? PmName { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>The device path: a directory, a volume group or a pool.</summary>
    public required string Link { get; init; }

    /// <summary><c>LO</c>, <c>FC</c>, <c>ISC</c>, <c>NFS</c> or <c>CEP</c>.</summary>
    public required string Type { get; init; }

    /// <summary><c>FL</c> file, <c>BL</c> block or <c>OB</c> object level.</summary>
    public required string Level { get; init; }

    /// <summary>Its size in MiB, or null where it cannot be measured now.</summary>
    public long? Size { get; init; }

    /// <summary>Its free space in MiB, or null where it cannot be measured now.</summary>
    public long? Free { get; init; }

    /// <summary>Its description.</summary>
    public string? Description { get; init; }

    /// <summary>Whether other hosts reach it too.</summary>
    public bool Shared { get; init; }
}
