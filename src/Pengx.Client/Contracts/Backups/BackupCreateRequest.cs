namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/{id}/backups/</c>.</summary>
public sealed record BackupCreateRequest
{
    /// <summary>The backup's name (<c>&lt;backup_name&gt;</c>).</summary>
    public required string Name { get; init; }

    /// <summary>The storlink on which it is kept.</summary>
    public required int Storlink { get; init; }

    /// <summary>Its description, or null.</summary>
    public string? Description { get; init; }

    /// <summary><c>incremental</c> for what changed since the VM's newest backup on the same storlink, <c>full</c> or null for all of it
    /// (<c>&lt;type&gt;</c>): an addition to the reference. The server makes a full one where it does not know for certain what changed,
    /// and its answer's message says why.</summary>
    public string? Type { get; init; }
}
