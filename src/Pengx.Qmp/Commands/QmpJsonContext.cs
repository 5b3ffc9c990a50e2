using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Pengx.Qmp;

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    MaxDepth = 1024)]
[JsonSerializable(typeof(IReadOnlyList<QmpBlockDevice>))]
[JsonSerializable(typeof(IReadOnlyList<QmpBlockNode>))]
[JsonSerializable(typeof(IReadOnlyList<QmpBlockStats>))]
[JsonSerializable(typeof(IReadOnlyList<QmpCpu>))]
[JsonSerializable(typeof(IReadOnlyList<QmpHotpluggableCpu>))]
[JsonSerializable(typeof(IReadOnlyList<QmpMemoryDevice>))]
[JsonSerializable(typeof(IReadOnlyList<QmpObjectPropertyInfo>))]
[JsonSerializable(typeof(JsonElement))]
[JsonSerializable(typeof(JsonObject))]
[JsonSerializable(typeof(QmpActions))]
[JsonSerializable(typeof(QmpBalloon))]
[JsonSerializable(typeof(QmpBalloonTarget))]
[JsonSerializable(typeof(QmpBlockResize))]
[JsonSerializable(typeof(QmpBlockStatsQuery))]
[JsonSerializable(typeof(QmpDeviceId))]
[JsonSerializable(typeof(QmpEmpty))]
[JsonSerializable(typeof(QmpGreeting))]
[JsonSerializable(typeof(QmpKeys))]
[JsonSerializable(typeof(QmpKvm))]
[JsonSerializable(typeof(QmpMemorySize))]
[JsonSerializable(typeof(QmpMonitorLine))]
[JsonSerializable(typeof(QmpName))]
[JsonSerializable(typeof(QmpNamedNodesQuery))]
[JsonSerializable(typeof(QmpNodeName))]
[JsonSerializable(typeof(QmpObjectPath))]
[JsonSerializable(typeof(QmpObjectProperty))]
[JsonSerializable(typeof(QmpObjectPropertyValue))]
[JsonSerializable(typeof(QmpPassword))]
[JsonSerializable(typeof(QmpPasswordExpiry))]
[JsonSerializable(typeof(QmpStatus))]
[JsonSerializable(typeof(QmpUuid))]
[JsonSerializable(typeof(QmpVersion))]
[JsonSerializable(typeof(QmpVnc))]
[JsonSerializable(typeof(string))]
internal sealed partial class QmpJsonContext : JsonSerializerContext;
