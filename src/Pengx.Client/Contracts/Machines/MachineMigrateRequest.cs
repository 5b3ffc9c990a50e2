namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/{id}/migrate/</c>: moves a VM to another host.</summary>
public sealed record MachineMigrateRequest
{
    /// <summary>The host to which the VM moves (<c>&lt;pm_id&gt;</c>).</summary>
    public required Guid Pm { get; init; }
}
