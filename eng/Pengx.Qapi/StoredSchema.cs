using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pengx.Qapi;

/// <summary>The reply of <c>query-qmp-schema</c> as it is kept in the repository: one definition on a line, the QEMU that gave it on top.</summary>
public sealed class StoredSchema
{
    private static readonly JsonSerializerOptions s_plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private StoredSchema(string version, IReadOnlyDictionary<string, JsonObject> entries)
    {
        Version = version;
        Entries = entries;
    }

    /// <summary>QEMU's version, such as <c>7.2.22</c>.</summary>
    public string Version { get; }

    /// <summary>The definitions by their name, or by their number where QEMU hides the name.</summary>
    public IReadOnlyDictionary<string, JsonObject> Entries { get; }

    /// <summary>Reads the file.</summary>
    public static StoredSchema Parse(string text)
    {
        JsonObject root = JsonNode.Parse(text)!.AsObject();
        Dictionary<string, JsonObject> entries = new(StringComparer.Ordinal);
        foreach (JsonNode? entry in root["schema"]!.AsArray())
        {
            entries.Add((string)entry!["name"]!, entry.AsObject());
        }

        return new StoredSchema((string)root["qemu"]!, entries);
    }

    /// <summary>Writes a reply in the form of the file: in QEMU's order, without the member that repeats the names of an enum's values.</summary>
    public static string Normalize(JsonObject greeting, JsonArray reply)
    {
        JsonNode version = greeting["QMP"]!["version"]!;
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"{{\n\"qemu\": \"{version["qemu"]!["major"]}.{version["qemu"]!["minor"]}.{version["qemu"]!["micro"]}\",\n\"package\": {version["package"]!.ToJsonString(s_plain)},\n\"schema\": [\n");
        for (int index = 0; index < reply.Count; index++)
        {
            JsonObject entry = reply[index]!.DeepClone().AsObject();
            if ((string?)entry["meta-type"] == "enum" && entry["members"] is not null)
            {
                entry.Remove("values");
            }

            text.Append(Sorted(entry)!.ToJsonString(s_plain)).Append(index == reply.Count - 1 ? "\n" : ",\n");
        }

        return text.Append("]\n}\n").ToString();
    }

    /// <summary>Asks the QEMU that is installed.</summary>
    public static string Query(string program)
    {
        ProcessStartInfo start = new(program) { RedirectStandardInput = true, RedirectStandardOutput = true };
        foreach (string argument in (string[])["-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"])
        {
            start.ArgumentList.Add(argument);
        }

        using Process qemu = Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start.");
        JsonObject greeting = JsonNode.Parse(qemu.StandardOutput.ReadLine()!)!.AsObject();
        Execute(qemu, "qmp_capabilities");
        JsonArray reply = Execute(qemu, "query-qmp-schema").AsArray();
        Execute(qemu, "quit");
        qemu.WaitForExit();
        return Normalize(greeting, reply);
    }

    private static JsonNode Execute(Process qemu, string command)
    {
        qemu.StandardInput.Write($"{{\"execute\": \"{command}\"}}\n");
        qemu.StandardInput.Flush();
        while (qemu.StandardOutput.ReadLine() is { } line)
        {
            if (JsonNode.Parse(line)!["return"] is { } value)
            {
                return value;
            }
        }

        throw new InvalidOperationException($"QEMU ended before it answered {command}.");
    }

    // The order of an object's members is the order of QEMU's hash table, which says nothing: what and which first, then the rest.
    private static JsonNode? Sorted(JsonNode? node) => node switch
    {
        JsonObject members => new JsonObject(members.OrderBy(member => member.Key switch { "meta-type" => 0, "name" => 1, _ => 2 })
            .ThenBy(member => member.Key, StringComparer.Ordinal).Select(member => KeyValuePair.Create(member.Key, Sorted(member.Value)))),
        JsonArray items => new JsonArray([.. items.Select(Sorted)]),
        null => null,
        _ => node.DeepClone(),
    };
}
