using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Pengx.Qapi;

/// <summary>Writes the C# of a schema. The same input gives the same text, byte by byte.</summary>
public sealed partial class Generator
{
    private static readonly string[] s_reservedInClasses = ["Equals", "GetHashCode", "GetType", "MemberwiseClone", "OtherMembers", "ReadBranch", "ReferenceEquals", "ToString", "WriteMembers"];
    private static readonly string[] s_reservedInEnums = ["Equals", "GetHashCode", "GetType", "KnownValues", "ReferenceEquals", "ToString", "Value"];

    private readonly StoredSchema _schema;
    private readonly Facts _facts;
    private readonly QapiNames _names;
    private readonly HashSet<string> _values = new(StringComparer.Ordinal);
    private readonly HashSet<string> _inputs = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, StringBuilder> _files = new(StringComparer.Ordinal);
    private readonly HashSet<string> _typed = new(StringComparer.Ordinal);
    private int _branches;

    /// <summary>Prepares the names.</summary>
    public Generator(StoredSchema schema, Facts facts)
    {
        _schema = schema;
        _facts = facts;
        _names = new QapiNames(schema, facts);
        foreach (JsonObject entry in Entries("command"))
        {
            Reach((string)entry["arg-type"]!, _values, direct: true);
            Reach((string)entry["ret-type"]!, _values, direct: true);
            Reach((string)entry["arg-type"]!, _inputs, direct: true);
        }

        foreach (JsonObject entry in Entries("event"))
        {
            Reach((string)entry["arg-type"]!, _values, direct: true);
        }

        foreach (string orphan in _names.Orphans())
        {
            Reach(orphan, _values, direct: true);
        }

        _names.Release(_values);
    }

    /// <summary>What was generated, in numbers.</summary>
    public string Summary =>
        $"QEMU {_schema.Version}: {Entries("command").Count()} commands, {Entries("event").Count()} events, {Typed.Count} types ({_names.Restored} by QAPI's name, {_names.Derived} by their use), {_branches} branches of unions; {_files.Values.Sum(file => file.Length)} characters in {_files.Count} files";

    /// <summary>The names or numbers of the definitions that have a C# type, once generated.</summary>
    public IReadOnlySet<string> Typed => _typed;

    /// <summary>The files by name.</summary>
    public IReadOnlyDictionary<string, string> Generate()
    {
        _files.Clear();
        WriteCommands();
        WriteEvents();
        foreach (string type in _names.Sorted(_values).Where(type => !IsEmpty(_schema, type)))
        {
            JsonObject entry = _schema.Entries[type];
            switch ((string?)entry["meta-type"])
            {
                case "enum":
                    WriteEnum(type, entry);
                    break;
                case "alternate":
                    WriteAlternate(type, entry);
                    break;
                case "object" when entry["tag"] is not null:
                    WriteUnion(type, entry);
                    break;
                case "object":
                    WriteObject(type, entry);
                    break;
            }
        }

        return _files.ToDictionary(file => file.Key, file => file.Value.ToString(), StringComparer.Ordinal);
    }

    internal static bool IsEmpty(StoredSchema schema, string type) =>
        schema.Entries[type] is { } entry && (string?)entry["meta-type"] == "object" && entry["tag"] is null && entry["members"]!.AsArray().Count == 0 && type == EmptyType(schema);

    // QEMU has one anonymous empty object; a named one, such as a transaction's abort, is a type like any other.
    private static string EmptyType(StoredSchema schema) => (string)schema.Entries["stop"]["arg-type"]!;

    private IEnumerable<JsonObject> Entries(string kind) =>
        _schema.Entries.Values.Where(entry => (string?)entry["meta-type"] == kind).OrderBy(entry => (string)entry["name"]!, StringComparer.Ordinal);

    private void Reach(string type, HashSet<string> reached, bool direct)
    {
        JsonObject entry = _schema.Entries[type];
        string kind = (string)entry["meta-type"]!;
        if (kind == "array")
        {
            Reach((string)entry["element-type"]!, reached, direct: true);
            return;
        }

        // A branch of a union is no value of its own, but its members are.
        if (kind == "builtin" || !(direct ? reached.Add(type) : reached.Add($"+{type}")))
        {
            return;
        }

        if (kind == "enum")
        {
            return;
        }

        foreach (JsonNode? member in entry["members"]!.AsArray())
        {
            Reach((string)member!["type"]!, reached, direct: true);
        }

        foreach (JsonNode? variant in entry["variants"]?.AsArray() ?? [])
        {
            Reach((string)variant!["type"]!, reached, direct: false);
        }
    }

    private StringBuilder File(string name)
    {
        if (!_files.TryGetValue(name, out StringBuilder? text))
        {
            text = new StringBuilder();
            text.Append("// <auto-generated>eng/qapi.sh wrote this from QEMU's schema; change the generator in eng/Pengx.Qapi instead.</auto-generated>\n#nullable enable\n\nusing System.Text.Json;\n\nnamespace Pengx.Qmp.Qapi;\n");
            _files.Add(name, text);
        }

        return text;
    }

    private string Module(string type)
    {
        string owner = _names.Owner(type);
        return _facts.Modules.GetValueOrDefault(owner) ?? _facts.Modules.GetValueOrDefault(owner.Split('/')[0]) ?? "misc";
    }

    private StringBuilder FileOf(string type) => File($"Qapi.{QapiNames.Pascal(Module(type))}.g.cs");

    private static string Escape(string text) => text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal);

    private static string State(JsonNode entry)
    {
        string[] features = [.. (entry["features"]?.AsArray() ?? []).Select(feature => (string)feature!)];
        StringBuilder text = new();
        if (features.Contains("deprecated"))
        {
            text.Append(" Deprecated: a later QEMU may lack it.");
        }

        if (features.Contains("unstable"))
        {
            text.Append(" Unstable: QEMU may change or drop it at any time.");
        }

        string[] others = [.. features.Where(feature => feature is not ("deprecated" or "unstable"))];
        if (others.Length > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $" Features: {string.Join(", ", others.Select(feature => $"<c>{Escape(feature)}</c>"))}.");
        }

        return text.ToString();
    }

    private string Origin(string definition, string module) =>
        $"module <c>{module}</c> of the QEMU QMP Reference Manual{(_facts.Since.TryGetValue(definition, out string? since) ? $", since QEMU {since}" : string.Empty)}";

    private void WriteCommands()
    {
        StringBuilder text = File("QapiCommands.g.cs");
        text.Append(CultureInfo.InvariantCulture, $"\n/// <summary>Every command of QEMU {_schema.Version}'s own schema. What a running QEMU has of it, <see cref=\"QmpSchema\"/> tells.</summary>\npublic static class QapiCommands\n{{\n");
        bool first = true;
        foreach (JsonObject entry in Entries("command"))
        {
            string name = (string)entry["name"]!;
            (string argumentType, string argumentInfo) = Info((string)entry["arg-type"]!);
            (string resultType, string resultInfo) = Info((string)entry["ret-type"]!);
            string command = $"QmpCommand<{argumentType}, {resultType}>";
            string outOfBand = entry["allow-oob"] is { } allowed && (bool)allowed ? " It may be executed out of band." : string.Empty;
            text.Append(first ? string.Empty : "\n");
            first = false;
            text.Append(CultureInfo.InvariantCulture, $"    /// <summary>The command <c>{Escape(name)}</c> ({Origin(name, _facts.Modules.GetValueOrDefault(name) ?? "misc")}).{State(entry)}{outOfBand}</summary>\n");
            text.Append(CultureInfo.InvariantCulture, $"    public static {command} {QapiNames.Pascal(name)} => field ??= new(\"{name}\", {argumentInfo}, {resultInfo});\n");
        }

        text.Append("}\n");
    }

    private (string Type, string Info) Info(string type)
    {
        JsonObject entry = _schema.Entries[type];
        return (string)entry["meta-type"]! switch
        {
            "object" when IsEmpty(_schema, type) => ("QmpEmpty", "QapiTypes.Empty"),
            "object" or "alternate" => (_names[type], $"QapiTypes.For<{_names[type]}>()"),
            "builtin" when type == "str" => ("string", "QapiTypes.Text"),
            "builtin" when type == "any" => ("JsonElement", "QapiTypes.Any"),
            "array" when (string?)_schema.Entries[(string)entry["element-type"]!]["meta-type"] is "object" or "alternate" =>
                ($"IReadOnlyList<{_names[(string)entry["element-type"]!]}>", $"QapiTypes.ListOf<{_names[(string)entry["element-type"]!]}>()"),
            "array" when (string?)_schema.Entries[(string)entry["element-type"]!]["meta-type"] is "enum" =>
                ($"IReadOnlyList<{_names[(string)entry["element-type"]!]}>", $"QapiTypes.ChoiceList<{_names[(string)entry["element-type"]!]}>()"),
            _ => throw new NotSupportedException($"Type {type} as a whole argument or result."),
        };
    }

    private void WriteEvents()
    {
        StringBuilder text = File("QapiEvents.g.cs");
        text.Append(CultureInfo.InvariantCulture, $"\n/// <summary>Every event of QEMU {_schema.Version}'s own schema, as a value that filters and reads.</summary>\npublic static class QapiEvents\n{{\n");
        bool first = true;
        foreach (JsonObject entry in Entries("event"))
        {
            string name = (string)entry["name"]!;
            (string type, string info) = Info((string)entry["arg-type"]!);
            text.Append(first ? string.Empty : "\n");
            first = false;
            text.Append(CultureInfo.InvariantCulture, $"    /// <summary>The event <c>{name}</c> ({Origin(name, _facts.Modules.GetValueOrDefault(name) ?? "misc")}).{State(entry)}</summary>\n");
            text.Append(CultureInfo.InvariantCulture, $"    public static QapiEvent<{type}> {QapiNames.Pascal(name, shout: true)} => field ??= new(\"{name}\", {info});\n");
        }

        text.Append("}\n");
    }

    private void WriteEnum(string type, JsonObject entry)
    {
        _typed.Add(type);
        string name = _names[type];
        StringBuilder text = File("QapiEnums.g.cs");
        text.Append(CultureInfo.InvariantCulture, $"\n/// <summary>The QAPI enum <c>{Escape(_names.Owner(type))}</c> ({Origin(_names.Owner(type), Module(type))}). A value that is not among the known ones is kept as it is.</summary>\n");
        text.Append(CultureInfo.InvariantCulture, $"public readonly record struct {name} : IQapiChoice<{name}>\n{{\n    private readonly string? _value;\n\n");
        text.Append(CultureInfo.InvariantCulture, $"    /// <summary>A value as QEMU spells it.</summary>\n    /// <param name=\"value\">The spelling.</param>\n    public {name}(string value)\n    {{\n        ArgumentException.ThrowIfNullOrEmpty(value);\n        _value = value;\n    }}\n");
        HashSet<string> taken = new([name, .. s_reservedInEnums], StringComparer.Ordinal);
        List<string> known = [];
        foreach (JsonNode? member in entry["members"]!.AsArray())
        {
            string value = (string)member!["name"]!;
            string property = Free(taken, EnumProperty(value));
            known.Add(property);
            text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>The value <c>{Escape(value)}</c>.{State(member)}</summary>\n    public static {name} {property} => new(\"{value}\");\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>The values that QEMU {_schema.Version} has; another one may have more.</summary>\n    public static IReadOnlyList<{name}> KnownValues => field ??= [{string.Join(", ", known)}];\n");
        text.Append("\n    /// <summary>The value as QEMU spells it; empty for a value that was never set.</summary>\n    public string Value => _value ?? string.Empty;\n");
        text.Append(CultureInfo.InvariantCulture, $"\n    static {name} IQapiChoice<{name}>.Of(string value) => new(value);\n");
        text.Append("\n    /// <inheritdoc/>\n    public override string ToString() => Value;\n}\n");
    }

    private static string EnumProperty(string value) => char.IsAsciiDigit(value[0]) ? $"Value{QapiNames.Pascal(value)}" : QapiNames.Pascal(value);

    private static string Free(HashSet<string> taken, string name)
    {
        string free = name;
        for (int number = 2; !taken.Add(free); number++)
        {
            free = number == 2 && !taken.Contains($"{name}Value") ? $"{name}Value" : $"{name}{number}";
        }

        return free;
    }
}
