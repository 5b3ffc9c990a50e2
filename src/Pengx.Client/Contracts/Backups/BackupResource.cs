namespace Pengx.Client;

/// <summary>A backup of a VM: <c>&lt;vmbackup&gt;</c>.</summary>
public sealed record BackupResource
{
    /// <summary>The backup's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>The VM it was taken of.</summary>
    public Guid? Machine { get; init; }

    /// <summary>When it was taken.</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary>Its size in MiB; 0 when the server does not say.</summary>
    public long Size { get; init; }

    /// <summary><c>incremental</c>, or null for a full one: an addition to the reference.</summary>
    public string? Type { get; init; }

    /// <summary>The backup that an incremental one lies upon, and cannot be read without: an addition to the reference.</summary>
    public Guid? Parent { get; init; }
}
