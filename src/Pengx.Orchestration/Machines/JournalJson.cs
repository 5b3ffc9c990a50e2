using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pengx.Orchestration;

/// <summary>How the states of the use cases' workflows are written into the journal.</summary>
[JsonSourceGenerationOptions(
    IgnoreReadOnlyProperties = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(MacAddressConverter), typeof(IpAddressConverter)])]
[JsonSerializable(typeof(GuestState))]
[JsonSerializable(typeof(CreateMachineState))]
[JsonSerializable(typeof(DeleteMachineState))]
[JsonSerializable(typeof(ChangeMachineState))]
[JsonSerializable(typeof(DiskState))]
[JsonSerializable(typeof(CreateSnapshotState))]
[JsonSerializable(typeof(DeleteSnapshotState))]
[JsonSerializable(typeof(RestoreSnapshotState))]
[JsonSerializable(typeof(InterfaceState))]
[JsonSerializable(typeof(UpdateInterfaceState))]
[JsonSerializable(typeof(MakeTemplateState))]
[JsonSerializable(typeof(UpdateTemplateState))]
[JsonSerializable(typeof(DeleteTemplateState))]
[JsonSerializable(typeof(StorlinkState))]
[JsonSerializable(typeof(AuthorizedKeysState))]
[JsonSerializable(typeof(CopyMachineState))]
[JsonSerializable(typeof(TemplateFromMachineState))]
[JsonSerializable(typeof(CreateBackupState))]
[JsonSerializable(typeof(RestoreBackupState))]
[JsonSerializable(typeof(DeleteBackupState))]
[JsonSerializable(typeof(MoveDisksState))]
[JsonSerializable(typeof(MigrateMachineState))]
[JsonSerializable(typeof(OrphanState))]
[JsonSerializable(typeof(NetworkState))]
[JsonSerializable(typeof(DnsState))]
[JsonSerializable(typeof(SriovState))]
[JsonSerializable(typeof(StorageState))]
internal sealed partial class JournalJson : JsonSerializerContext;

internal sealed class MacAddressConverter : JsonConverter<MacAddress>
{
    public override MacAddress Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        MacAddress.TryParse(reader.GetString(), out var address) ? address : throw new JsonException("A MAC address is expected.");

    public override void Write(Utf8JsonWriter writer, MacAddress value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
}

internal sealed class IpAddressConverter : JsonConverter<IPAddress>
{
    public override IPAddress Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        IPAddress.TryParse(reader.GetString(), out var address) ? address : throw new JsonException("An IP address is expected.");

    public override void Write(Utf8JsonWriter writer, IPAddress value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
}
