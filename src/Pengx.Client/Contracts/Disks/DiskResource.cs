namespace Pengx.Client;

/// <summary>A disk: <c>&lt;disk&gt;</c>. Exactly one of <see cref="Machine"/>, <see cref="Snapshot"/>, <see cref="Backup"/> and <see cref="Template"/> owns it.</summary>
public sealed record DiskResource
{
    /// <summary>The disk's id, which is also its name on the wire.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its place: 0 boots. Null where the server leaves it out.</summary>
    public int? Order { get; init; }

    /// <summary>Its size in MiB; 0 when the server does not say.</summary>
    public long Size { get; init; }

    /// <summary>The VM that owns it (<c>&lt;vm id&gt;</c>), or null.</summary>
    public Guid? Machine { get; init; }

    /// <summary>The snapshot that owns it, or null.</summary>
    public Guid? Snapshot { get; init; }

    /// <summary>The backup that owns it, or null.</summary>
    public Guid? Backup { get; init; }

    /// <summary>The template that owns it, or null.</summary>
    public Guid? Template { get; init; }

    /// <summary>Its description.</summary>
    public string? Description { get; init; }

    /// <summary>When it was created.</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary><c>raw</c> or <c>qcow2</c>.</summary>
    public string? Format { get; init; }

    /// <summary>Its type, or null.</summary>
    public string? Type { get; init; }

    /// <summary>The storlink on which it lies.</summary>
    public int? Storlink { get; init; }
}
