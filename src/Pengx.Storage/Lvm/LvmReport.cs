using System.Globalization;
using System.Text.Json;

namespace Pengx.Storage;

/// <summary>A physical volume as LVM reports it.</summary>
internal sealed record LvmPhysicalVolume(string Name, string Uuid, string? VolumeGroup, long Size, long Free, long DeviceSize, long Start, bool Missing, long Extents);

/// <summary>A piece of a logical volume.</summary>
internal sealed record LvmSegment(string Type, long Start, long Size, string Ranges)
{
    /// <summary>Of a thin pool: whether it zeroes what it hands out, before a volume shows it.</summary>
    public bool Zeroes { get; init; }
}

/// <summary>A piece of a physical volume.</summary>
internal sealed record LvmExtents(string PhysicalVolume, string? LogicalVolume, long First, long Count);

/// <summary>A logical volume as LVM reports it.</summary>
internal sealed record LvmLogicalVolume(string Name, string Uuid, long Size)
{
    public IReadOnlyList<string> Tags { get; init; } = [];

    public IReadOnlyList<LvmSegment> Segments { get; init; } = [];

    public string? Pool { get; init; }

    public string? Origin { get; init; }

    public bool Open { get; init; }

    /// <summary>How full a pool or a thin volume is; <see langword="null"/> where it has no such figure or none is known.</summary>
    public decimal? DataPercent { get; init; }

    public decimal? MetadataPercent { get; init; }

    public string WhenFull { get; init; } = "";

    public string Health { get; init; } = "";

    /// <summary>LVM's words for how it is made up: <c>linear</c>, <c>thin,pool</c>, <c>thin,sparse</c>.</summary>
    public string Layout { get; init; } = "";

    public bool IsThinPool => Layout == "thin,pool";

    /// <summary>Of a thin pool: whether no volume in it shows what another held.</summary>
    public bool Zeroes => Segments.Count > 0 && Segments.All(segment => segment.Zeroes);

    public bool IsThin => Layout == "thin,sparse";

    public bool IsInternal => Name.StartsWith('[');
}

/// <summary>A volume group as LVM reports it, with all in it.</summary>
internal sealed record LvmVolumeGroup(string Name, string Uuid, long Size, long Free, long ExtentSize)
{
    public string SystemId { get; init; } = "";

    public string LockType { get; init; } = "";

    public IReadOnlyList<string> Tags { get; init; } = [];

    public bool Partial { get; init; }

    public bool Exported { get; init; }

    public IReadOnlyList<LvmPhysicalVolume> PhysicalVolumes { get; init; } = [];

    public IReadOnlyList<LvmLogicalVolume> LogicalVolumes { get; init; } = [];

    public IReadOnlyList<LvmExtents> Extents { get; init; } = [];

    public LvmLogicalVolume? Find(string name) => LogicalVolumes.FirstOrDefault(volume => volume.Name == name);

    public long RoundUp(long bytes) => checked((bytes + ExtentSize - 1) / ExtentSize * ExtentSize);
}

/// <summary>The answer of <c>lvm fullreport --reportformat json --units b --nosuffix</c>.</summary>
internal sealed record LvmReport(IReadOnlyList<LvmVolumeGroup> VolumeGroups, IReadOnlyList<LvmPhysicalVolume> PhysicalVolumes, IReadOnlyList<string> Warnings)
{
    /// <summary>The fields that are asked for: all of them would be kilobytes for each volume.</summary>
    public static IReadOnlyList<string> Fields { get; } =
    [
        "--configreport", "vg", "-o", "vg_name,vg_uuid,vg_size,vg_free,vg_extent_size,vg_systemid,vg_lock_type,vg_tags,vg_partial,vg_exported",
        "--configreport", "pv", "-o", "pv_name,pv_uuid,pv_size,pv_free,dev_size,pe_start,pv_missing,pv_pe_count",
        "--configreport", "lv", "-o", "lv_name,lv_uuid,lv_size,lv_layout,lv_device_open,lv_tags,pool_lv,origin,data_percent,metadata_percent,lv_when_full,lv_health_status",
        "--configreport", "pvseg", "-o", "pvseg_start,pvseg_size,pv_uuid,lv_uuid",
        "--configreport", "seg", "-o", "lv_uuid,segtype,zero,seg_start,seg_size,seg_pe_ranges",
    ];

    // What LVM says on every call without device-mapper, and of what is meant so.
    private static readonly string[] s_noise =
    [
        "Activation disabled", "This metadata update is NOT backed up", " not zeroed", "leaked on lvm invocation", "No local system ID",
        "Running in readonly mode", "You have not turned on protection against thin pools",
    ];

    public LvmVolumeGroup? Find(string nameOrUuid) => VolumeGroups.FirstOrDefault(group => group.Name == nameOrUuid || group.Uuid == nameOrUuid);

    /// <summary>Reads the two outputs.</summary>
    /// <exception cref="StorageException">The answer cannot be understood.</exception>
    public static LvmReport Parse(string output, string error)
    {
        try
        {
            using var document = JsonDocument.Parse(output);
            List<LvmVolumeGroup> groups = [];
            List<LvmPhysicalVolume> physical = [];
            foreach (var part in document.RootElement.GetProperty("report").EnumerateArray())
            {
                var group = Rows(part, "vg").Select(ToGroup).FirstOrDefault();
                LvmPhysicalVolume[] members = [.. Rows(part, "pv").Select(row => ToPhysical(row, group?.Name))];
                physical.AddRange(members);
                if (group is not null)
                {
                    var segments = Rows(part, "seg").ToLookup(row => Text(row, "lv_uuid"), row => new LvmSegment(Text(row, "segtype"), Number(row, "seg_start"), Number(row, "seg_size"), Text(row, "seg_pe_ranges")) { Zeroes = Text(row, "zero") == "zero" });
                    groups.Add(group with
                    {
                        PhysicalVolumes = members,
                        LogicalVolumes = [.. Rows(part, "lv").Select(row => ToLogical(row, [.. segments[Text(row, "lv_uuid")].OrderBy(segment => segment.Start)]))],
                        Extents = [.. Rows(part, "pvseg").Select(row => new LvmExtents(Text(row, "pv_uuid"), Empty(Text(row, "lv_uuid")), Number(row, "pvseg_start"), Number(row, "pvseg_size")))],
                    });
                }
            }

            return new(groups, physical, [.. WarningsOf(error)]);
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or OverflowException)
        {
            throw new StorageException($"The report of LVM cannot be understood: {exception.Message}", exception);
        }
    }

    /// <summary>What LVM says on its standard error that an operator should know: it goes on serving from what it can still read.</summary>
    public static IEnumerable<string> WarningsOf(string error) => error.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
        .Where(line => !s_noise.Any(noise => line.Contains(noise, StringComparison.Ordinal)))
        .Distinct();

    private static JsonElement.ArrayEnumerator Rows(JsonElement part, string kind) => part.TryGetProperty(kind, out var rows) ? rows.EnumerateArray() : default;

    private static string Text(JsonElement row, string field) => row.GetProperty(field).GetString() ?? "";

    private static string? Empty(string text) => text.Length == 0 ? null : text;

    private static long Number(JsonElement row, string field) => Text(row, field) is { Length: > 0 } text ? long.Parse(text.AsSpan().TrimEnd('B'), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) : 0;

    private static decimal? Percent(JsonElement row, string field) =>
        Text(row, field) is { Length: > 0 } text && text != "-1" ? decimal.Parse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture) : null;

    private static string[] Tags(JsonElement row, string field) => Text(row, field).Split(',', StringSplitOptions.RemoveEmptyEntries);

    private static LvmVolumeGroup ToGroup(JsonElement row) => new(Text(row, "vg_name"), Text(row, "vg_uuid"), Number(row, "vg_size"), Number(row, "vg_free"), Number(row, "vg_extent_size"))
    {
        SystemId = Text(row, "vg_systemid"),
        LockType = Text(row, "vg_lock_type"),
        Tags = Tags(row, "vg_tags"),
        Partial = Text(row, "vg_partial").Length > 0,
        Exported = Text(row, "vg_exported").Length > 0,
    };

    private static LvmPhysicalVolume ToPhysical(JsonElement row, string? group) => new(
        Text(row, "pv_name"), Text(row, "pv_uuid"), group, Number(row, "pv_size"), Number(row, "pv_free"), Number(row, "dev_size"),
        Number(row, "pe_start"), Text(row, "pv_missing").Length > 0, Number(row, "pv_pe_count"));

    private static LvmLogicalVolume ToLogical(JsonElement row, IReadOnlyList<LvmSegment> segments) => new(Text(row, "lv_name"), Text(row, "lv_uuid"), Number(row, "lv_size"))
    {
        Segments = segments,
        Layout = Text(row, "lv_layout"),
        Tags = Tags(row, "lv_tags"),
        Pool = Empty(Text(row, "pool_lv")),
        Origin = Empty(Text(row, "origin")),
        Open = Text(row, "lv_device_open") == "open",
        DataPercent = Percent(row, "data_percent"),
        MetadataPercent = Percent(row, "metadata_percent"),
        WhenFull = Text(row, "lv_when_full"),
        Health = Text(row, "lv_health_status"),
    };
}
