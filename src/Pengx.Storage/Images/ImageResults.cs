using System.Text.Json.Serialization;

namespace Pengx.Storage;

/// <summary>What <c>qemu-img info</c> says of an image.</summary>
/// <param name="Format">The format that it was opened as.</param>
/// <param name="Size">The size that the guest sees.</param>
/// <param name="Allocated">The space it takes.</param>
/// <param name="BackingFile">The file it is an overlay of, in full.</param>
/// <param name="BackingFormat">That file's format.</param>
public sealed record ImageInfo(DiskFormat Format, DataSize Size, DataSize Allocated, string? BackingFile, string? BackingFormat);

/// <summary>The space that an image would take, as <c>qemu-img measure</c> says.</summary>
/// <param name="Required">With the data that there is now.</param>
/// <param name="FullyAllocated">With all of it written.</param>
public sealed record ImageMeasure(DataSize Required, DataSize FullyAllocated);

/// <summary>What <c>qemu-img check</c> found. A clean result does not mean that an image is whole: one cut off while it was
/// copied is clean, too.</summary>
/// <param name="Errors">Damage.</param>
/// <param name="Leaks">Space that is marked as used and is not: harmless.</param>
public sealed record ImageCheck(long Errors, long Leaks);

internal sealed class InfoReport
{
    [JsonPropertyName("virtual-size")]
    public required long VirtualSize { get; init; }

    [JsonPropertyName("actual-size")]
    public long ActualSize { get; init; }

    [JsonPropertyName("full-backing-filename")]
    public string? FullBackingFileName { get; init; }

    [JsonPropertyName("backing-filename")]
    public string? BackingFileName { get; init; }

    [JsonPropertyName("backing-filename-format")]
    public string? BackingFormat { get; init; }
}

internal sealed class MeasureReport
{
    [JsonPropertyName("required")]
    public required long Required { get; init; }

    [JsonPropertyName("fully-allocated")]
    public required long FullyAllocated { get; init; }
}

internal sealed class CheckReport
{
    [JsonPropertyName("check-errors")]
    public long CheckErrors { get; init; }

    [JsonPropertyName("corruptions")]
    public long Corruptions { get; init; }

    [JsonPropertyName("leaks")]
    public long Leaks { get; init; }
}

[JsonSerializable(typeof(InfoReport))]
[JsonSerializable(typeof(MeasureReport))]
[JsonSerializable(typeof(CheckReport))]
internal sealed partial class ImageJson : JsonSerializerContext;
