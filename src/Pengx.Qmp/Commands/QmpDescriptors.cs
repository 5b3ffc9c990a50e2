using System.Text.Json.Serialization;

namespace Pengx.Qmp;

/// <summary>A named file descriptor.</summary>
public sealed record QmpFdName
{
    /// <summary>The name.</summary>
    public required string Fdname { get; init; }
}

/// <summary>Where a file descriptor is added.</summary>
public sealed record QmpFdset
{
    /// <summary>The set; null for a new one.</summary>
    public long? FdsetId { get; init; }

    /// <summary>A note that QEMU keeps with it.</summary>
    public string? Opaque { get; init; }
}

/// <summary>A file descriptor to be removed from a set.</summary>
public sealed record QmpRemovedFd
{
    /// <summary>The set.</summary>
    public required long FdsetId { get; init; }

    /// <summary>The descriptor's number in QEMU; null for all of the set.</summary>
    public long? Fd { get; init; }
}

/// <summary>A file descriptor that was added (<c>AddfdInfo</c> in <c>qapi/misc.json</c>).</summary>
public sealed record QmpAddedFd
{
    /// <summary>The set, to be opened as <c>/dev/fdset/N</c>.</summary>
    public required long FdsetId { get; init; }

    /// <summary>The descriptor's number in QEMU.</summary>
    public required long Fd { get; init; }
}

/// <summary>What is negotiated with a monitor.</summary>
internal sealed record QmpNegotiation
{
    public IReadOnlyList<string>? Enable { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(QmpAddedFd))]
[JsonSerializable(typeof(QmpEmpty))]
[JsonSerializable(typeof(QmpFdName))]
[JsonSerializable(typeof(QmpFdset))]
[JsonSerializable(typeof(QmpNegotiation))]
[JsonSerializable(typeof(QmpRemovedFd))]
internal sealed partial class QmpTransportJsonContext : JsonSerializerContext;
