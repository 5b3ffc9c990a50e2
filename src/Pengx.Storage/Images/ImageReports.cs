using System.Text.Json.Serialization;

namespace Pengx.Storage;

internal sealed class InfoReport
{
    [JsonPropertyName("filename")]
    public string? FileName { get; init; }

    [JsonPropertyName("format")]
    public string? Format { get; init; }

    [JsonPropertyName("virtual-size")]
    public required long VirtualSize { get; init; }

    [JsonPropertyName("actual-size")]
    public long ActualSize { get; init; }

    [JsonPropertyName("cluster-size")]
    public int ClusterSize { get; init; }

    [JsonPropertyName("dirty-flag")]
    public bool DirtyFlag { get; init; }

    [JsonPropertyName("full-backing-filename")]
    public string? FullBackingFileName { get; init; }

    [JsonPropertyName("backing-filename")]
    public string? BackingFileName { get; init; }

    [JsonPropertyName("backing-filename-format")]
    public string? BackingFormat { get; init; }

    [JsonPropertyName("snapshots")]
    public IReadOnlyList<SnapshotReport>? Snapshots { get; init; }

    [JsonPropertyName("format-specific")]
    public FormatReport? FormatSpecific { get; init; }
}

internal sealed class SnapshotReport
{
    [JsonPropertyName("name")]
    public string? Name { get; init; }
}

internal sealed class FormatReport
{
    [JsonPropertyName("data")]
    public FormatData? Data { get; init; }
}

internal sealed class FormatData
{
    [JsonPropertyName("compression-type")]
    public string? CompressionType { get; init; }

    [JsonPropertyName("extended-l2")]
    public bool ExtendedL2 { get; init; }

    [JsonPropertyName("bitmaps")]
    public IReadOnlyList<BitmapReport>? Bitmaps { get; init; }
}

internal sealed class BitmapReport
{
    [JsonPropertyName("name")]
    public string? Name { get; init; }

    [JsonPropertyName("granularity")]
    public long Granularity { get; init; }

    [JsonPropertyName("flags")]
    public IReadOnlyList<string>? Flags { get; init; }
}

internal sealed class ExtentReport
{
    [JsonPropertyName("start")]
    public required long Start { get; init; }

    [JsonPropertyName("length")]
    public required long Length { get; init; }

    [JsonPropertyName("depth")]
    public int Depth { get; init; }

    [JsonPropertyName("present")]
    public bool Present { get; init; }

    [JsonPropertyName("zero")]
    public bool Zero { get; init; }

    [JsonPropertyName("data")]
    public bool Data { get; init; }

    [JsonPropertyName("offset")]
    public long? Offset { get; init; }
}

internal sealed class MeasureReport
{
    [JsonPropertyName("required")]
    public required long Required { get; init; }

    [JsonPropertyName("fully-allocated")]
    public required long FullyAllocated { get; init; }

    [JsonPropertyName("bitmaps")]
    public long Bitmaps { get; init; }
}

internal sealed class CheckReport
{
    [JsonPropertyName("check-errors")]
    public long CheckErrors { get; init; }

    [JsonPropertyName("corruptions")]
    public long Corruptions { get; init; }

    [JsonPropertyName("leaks")]
    public long Leaks { get; init; }

    [JsonPropertyName("allocated-clusters")]
    public long AllocatedClusters { get; init; }

    [JsonPropertyName("total-clusters")]
    public long TotalClusters { get; init; }

    [JsonPropertyName("fragmented-clusters")]
    public long FragmentedClusters { get; init; }

    [JsonPropertyName("compressed-clusters")]
    public long CompressedClusters { get; init; }

    [JsonPropertyName("image-end-offset")]
    public long EndOffset { get; init; }

    [JsonPropertyName("corruptions-fixed")]
    public long CorruptionsFixed { get; init; }

    [JsonPropertyName("leaks-fixed")]
    public long LeaksFixed { get; init; }
}

[JsonSerializable(typeof(InfoReport))]
[JsonSerializable(typeof(IReadOnlyList<InfoReport>))]
[JsonSerializable(typeof(IReadOnlyList<ExtentReport>))]
[JsonSerializable(typeof(MeasureReport))]
[JsonSerializable(typeof(CheckReport))]
internal sealed partial class ImageJson : JsonSerializerContext;
