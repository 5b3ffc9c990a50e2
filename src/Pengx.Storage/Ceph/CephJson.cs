using System.Text.Json.Serialization;

namespace Pengx.Storage;

internal sealed record RbdStatus([property: JsonRequired] IReadOnlyList<RbdWatcher> Watchers);

internal sealed record RbdWatcher([property: JsonRequired] string Address, long Client);

internal sealed record RbdInfo([property: JsonRequired] long Size, RbdParent? Parent);

internal sealed record RbdParent([property: JsonRequired] string Pool, [property: JsonRequired] string Image);

internal sealed record RbdUsage([property: JsonRequired] IReadOnlyList<RbdImageUsage> Images);

internal sealed record RbdImageUsage([property: JsonRequired] string Name, string? Snapshot, [property: JsonRequired] long ProvisionedSize, [property: JsonRequired] long UsedSize);

internal sealed record RbdTrashEntry([property: JsonRequired] string Id, [property: JsonRequired] string Name);

internal sealed record RbdSnapshot([property: JsonRequired] string Name, RbdSnapshotNamespace? Namespace);

internal sealed record RbdSnapshotNamespace([property: JsonRequired] string Type);

internal sealed record RbdChild([property: JsonRequired] string Pool, [property: JsonRequired] string Image);

internal sealed record RbdDevice([property: JsonRequired] string Pool, string? Namespace, [property: JsonRequired] string Name, [property: JsonRequired] string Device);

internal sealed record CephUsage([property: JsonRequired] CephTotal Stats, [property: JsonRequired] IReadOnlyList<CephPool> Pools);

internal sealed record CephTotal([property: JsonRequired] long TotalBytes);

internal sealed record CephPool([property: JsonRequired] string Name, [property: JsonRequired] CephPoolStats Stats);

internal sealed record CephPoolStats([property: JsonRequired] long Stored, [property: JsonRequired] long MaxAvail, long QuotaBytes);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(RbdStatus))]
[JsonSerializable(typeof(RbdInfo))]
[JsonSerializable(typeof(RbdUsage))]
[JsonSerializable(typeof(IReadOnlyList<string>))]
[JsonSerializable(typeof(IReadOnlyDictionary<string, string>))]
[JsonSerializable(typeof(IReadOnlyList<RbdTrashEntry>))]
[JsonSerializable(typeof(IReadOnlyList<RbdSnapshot>))]
[JsonSerializable(typeof(IReadOnlyList<RbdChild>))]
[JsonSerializable(typeof(IReadOnlyList<RbdDevice>))]
[JsonSerializable(typeof(CephUsage))]
internal sealed partial class CephJson : JsonSerializerContext;
