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
}
