using System.Text.Json.Serialization;

namespace Pengx.Xen;

/// <summary>What of a run must be known to whoever takes it up while the images beneath its disks change. There is none while nothing changes.</summary>
internal sealed record XenRunRecord
{
    /// <summary>The domain's number when it was written.</summary>
    public required int Domain { get; init; }

    /// <summary>Whether its processors stand still for the moment of a change, and have to go on after it.</summary>
    public bool IsHeld { get; init; }

    /// <summary>The changes that are under way.</summary>
    public IReadOnlyList<XenRunChange> Changes { get; init; } = [];
}

/// <summary>A change of the images beneath a disk.</summary>
/// <param name="Before">The disk as it was.</param>
/// <param name="After">The disk as it shall be.</param>
/// <param name="JobId">QEMU's job that does it; <see langword="null"/> for what is done at once.</param>
internal sealed record XenRunChange(StoredDisk Before, StoredDisk After, string? JobId);

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(XenRunRecord))]
internal sealed partial class XenJsonContext : JsonSerializerContext;
