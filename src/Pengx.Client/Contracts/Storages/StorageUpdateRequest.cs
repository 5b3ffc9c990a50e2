namespace Pengx.Client;

/// <summary>The body of <c>PUT /storages/{id}/</c>.</summary>
public sealed record StorageUpdateRequest
{
    /// <summary>The new size of a logical volume in MiB; null takes over the size of what lies beneath.</summary>
    public long? Size { get; init; }
}
