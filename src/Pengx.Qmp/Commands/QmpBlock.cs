using System.Text.Json.Serialization;

namespace Pengx.Qmp;

/// <summary>Names a block node.</summary>
public sealed record QmpNodeName
{
    /// <summary>The node's name.</summary>
    public required string NodeName { get; init; }
}

/// <summary>A block node's new size (<c>block_resize</c>).</summary>
public sealed record QmpBlockResize
{
    /// <summary>The node's name.</summary>
    public string? NodeName { get; init; }

    /// <summary>The old-style drive's name, where there is no node name.</summary>
    public string? Device { get; init; }

    /// <summary>The new size, in bytes.</summary>
    [JsonPropertyName("size")]
    public required long Size { get; init; }
}

/// <summary>A guest's disk or drive (<c>BlockInfo</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpBlockDevice
{
    /// <summary>The old-style drive's name; empty for one made by <c>-blockdev</c>.</summary>
    public required string Device { get; init; }

    /// <summary>The guest device: its id, or its path in the object tree.</summary>
    public string? Qdev { get; init; }

    /// <summary>Whether the medium can be taken out.</summary>
    public required bool Removable { get; init; }

    /// <summary>Whether the guest has locked the medium in.</summary>
    public required bool Locked { get; init; }

    /// <summary><c>ok</c>, <c>failed</c> or <c>nospace</c>, where errors stop the machine.</summary>
    [JsonPropertyName("io-status")]
    public string? IoStatus { get; init; }

    /// <summary>Whether the tray is open, where there is one.</summary>
    [JsonPropertyName("tray_open")]
    public bool? TrayOpen { get; init; }

    /// <summary>The medium; null for an empty drive.</summary>
    public QmpBlockNode? Inserted { get; init; }
}

/// <summary>A block node (<c>BlockDeviceInfo</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpBlockNode
{
    /// <summary>The node's name.</summary>
    public string? NodeName { get; init; }

    /// <summary>The driver, such as <c>qcow2</c> or <c>file</c>.</summary>
    [JsonPropertyName("drv")]
    public required string Driver { get; init; }

    /// <summary>The file, or a <c>json:</c> description of the node.</summary>
    [JsonPropertyName("file")]
    public required string File { get; init; }

    /// <summary>Whether it is read-only.</summary>
    [JsonPropertyName("ro")]
    public required bool IsReadOnly { get; init; }

    /// <summary>The image beneath it.</summary>
    [JsonPropertyName("backing_file")]
    public string? BackingFile { get; init; }

    /// <summary>How many images lie beneath it.</summary>
    [JsonPropertyName("backing_file_depth")]
    public required int BackingFileDepth { get; init; }

    /// <summary>The image.</summary>
    public required QmpImage Image { get; init; }

    /// <summary>How it is cached.</summary>
    public QmpBlockCache? Cache { get; init; }

    /// <summary>The limit on reads and writes together, in bytes per second; 0 for none. Limits are a disk's: only <c>query-block</c> tells them.</summary>
    [JsonPropertyName("bps")]
    public long BytesPerSecond { get; init; }

    /// <summary>The limit on reads and writes together, in operations per second; 0 for none. Only <c>query-block</c> tells it.</summary>
    [JsonPropertyName("iops")]
    public long OperationsPerSecond { get; init; }

    /// <summary>The bitmaps that note what was written; null for none.</summary>
    public IReadOnlyList<QmpDirtyBitmap>? DirtyBitmaps { get; init; }

    /// <summary>The nodes that it uses, where QEMU tells them (10.1 and later).</summary>
    public IReadOnlyList<QmpBlockChild>? Children { get; init; }
}

/// <summary>How a node is cached (<c>BlockdevCacheInfo</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpBlockCache
{
    /// <summary>Whether a write is done before it is on the medium; a flush brings it there.</summary>
    [JsonPropertyName("writeback")]
    public required bool IsWriteback { get; init; }

    /// <summary>Whether it goes past the host's page cache (<c>O_DIRECT</c>).</summary>
    [JsonPropertyName("direct")]
    public required bool IsDirect { get; init; }

    /// <summary>Whether flushes are left out.</summary>
    [JsonPropertyName("no-flush")]
    public required bool IsNeverFlushed { get; init; }
}

/// <summary>A node's use of another (<c>BlockdevChild</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpBlockChild
{
    /// <summary>What for, such as <c>file</c> or <c>backing</c>.</summary>
    public required string Child { get; init; }

    /// <summary>The node that is used.</summary>
    public string? NodeName { get; init; }
}

/// <summary>A bitmap of what was written to a node since it was made (<c>BlockDirtyInfo</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpDirtyBitmap
{
    /// <summary>Its name; null for one that belongs to a job.</summary>
    public string? Name { get; init; }

    /// <summary>How much is marked, in bytes.</summary>
    public required long Count { get; init; }

    /// <summary>The bytes that one bit stands for.</summary>
    public required long Granularity { get; init; }

    /// <summary>Whether it notes new writes.</summary>
    public required bool Recording { get; init; }

    /// <summary>Whether an operation uses it now.</summary>
    public required bool Busy { get; init; }

    /// <summary>Whether it is kept in the image.</summary>
    public required bool Persistent { get; init; }

    /// <summary>Whether it was not stored properly and is worthless.</summary>
    public bool Inconsistent { get; init; }
}

/// <summary>A disk image (<c>ImageInfo</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpImage
{
    /// <summary>The file, or a <c>json:</c> description.</summary>
    public required string Filename { get; init; }

    /// <summary>The format.</summary>
    public required string Format { get; init; }

    /// <summary>The size that the guest sees, in bytes.</summary>
    public required long VirtualSize { get; init; }

    /// <summary>The space that it takes, in bytes, where that is known.</summary>
    public long? ActualSize { get; init; }

    /// <summary>The image beneath it, as written in this one.</summary>
    public string? BackingFilename { get; init; }

    /// <summary>The image beneath it, as QEMU resolved it.</summary>
    public string? FullBackingFilename { get; init; }

    /// <summary>The format of the image beneath it, as written in this one.</summary>
    public string? BackingFilenameFormat { get; init; }

    /// <summary>The image beneath it; absent in flat queries.</summary>
    public QmpImage? BackingImage { get; init; }
}

/// <summary>What <c>query-blockstats</c> shall list.</summary>
public sealed record QmpBlockStatsQuery
{
    /// <summary>True for every named node, else every guest disk with its chain.</summary>
    public bool? QueryNodes { get; init; }
}

/// <summary>What <c>query-named-block-nodes</c> shall list.</summary>
public sealed record QmpNamedNodesQuery
{
    /// <summary>True to leave the images beneath out: each is a node of its own.</summary>
    public bool? Flat { get; init; }
}

/// <summary>The counters of a disk or a node (<c>BlockStats</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpBlockStats
{
    /// <summary>The old-style drive's name.</summary>
    public string? Device { get; init; }

    /// <summary>The guest device: its id, or its path in the object tree.</summary>
    public string? Qdev { get; init; }

    /// <summary>The node's name.</summary>
    public string? NodeName { get; init; }

    /// <summary>The counters.</summary>
    public required QmpBlockCounters Stats { get; init; }

    /// <summary>The node that holds the bytes.</summary>
    public QmpBlockStats? Parent { get; init; }

    /// <summary>The image beneath.</summary>
    public QmpBlockStats? Backing { get; init; }
}

/// <summary>Counters since the machine started (<c>BlockDeviceStats</c> in <c>qapi/block-core.json</c>).</summary>
public sealed record QmpBlockCounters
{
    /// <summary>Bytes read.</summary>
    [JsonPropertyName("rd_bytes")]
    public required long ReadBytes { get; init; }

    /// <summary>Bytes written.</summary>
    [JsonPropertyName("wr_bytes")]
    public required long WrittenBytes { get; init; }

    /// <summary>Reads.</summary>
    [JsonPropertyName("rd_operations")]
    public required long ReadOperations { get; init; }

    /// <summary>Writes.</summary>
    [JsonPropertyName("wr_operations")]
    public required long WriteOperations { get; init; }

    /// <summary>Flushes.</summary>
    [JsonPropertyName("flush_operations")]
    public required long FlushOperations { get; init; }

    /// <summary>Time spent in reads, in nanoseconds.</summary>
    [JsonPropertyName("rd_total_time_ns")]
    public required long ReadNanoseconds { get; init; }

    /// <summary>Time spent in writes, in nanoseconds.</summary>
    [JsonPropertyName("wr_total_time_ns")]
    public required long WriteNanoseconds { get; init; }

    /// <summary>Time spent in flushes, in nanoseconds.</summary>
    [JsonPropertyName("flush_total_time_ns")]
    public required long FlushNanoseconds { get; init; }

    /// <summary>The end of the furthest write, in bytes.</summary>
    [JsonPropertyName("wr_highest_offset")]
    public required long HighestWrittenOffset { get; init; }
}
