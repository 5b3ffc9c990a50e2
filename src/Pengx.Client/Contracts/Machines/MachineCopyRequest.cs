namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/{id}/copy/</c>.</summary>
public sealed record MachineCopyRequest
{
    /// <summary>The copy's name, unique on its host.</summary>
    public required string Name { get; init; }

    /// <summary>The storlink on which its disks are created.</summary>
    public required int Storlink { get; init; }
}
