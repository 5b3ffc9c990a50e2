namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/{id}/smigrate/</c>: moves a VM's disks to another storlink.</summary>
public sealed record MachineStorageMigrateRequest
{
    /// <summary>The storlink to which the disks move.</summary>
    public required int Storlink { get; init; }
}
