namespace Pengx.Client;

/// <summary>The body of <c>PUT /storlinks/{id}/</c>: null leaves a field as it is.</summary>
public sealed record StorlinkUpdateRequest
{
    /// <summary>A new name, unique on its host.</summary>
    public string? Name { get; init; }

    /// <summary>A new device path.</summary>
    public string? Link { get; init; }

    /// <summary>A new description.</summary>
    public string? Description { get; init; }

    /// <summary><c>LO</c>, <c>FC</c>, <c>ISC</c>, <c>NFS</c> or <c>CEP</c>.</summary>
    public string? Type { get; init; }

    /// <summary><c>FL</c>, <c>BL</c> or <c>OB</c>.</summary>
    public string? Level { get; init; }

    /// <summary>Whether other hosts reach it too.</summary>
    public bool? Shared { get; init; }
}
