using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pengx.Qmp;

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    MaxDepth = 1024)]
[JsonSerializable(typeof(IReadOnlyList<QmpJobInfo>))]
[JsonSerializable(typeof(JsonElement))]
[JsonSerializable(typeof(QmpEmpty))]
[JsonSerializable(typeof(QmpDebugBlockGraph))]
internal sealed partial class QmpJobJsonContext : JsonSerializerContext;
