using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Pengx.Qapi;

public sealed partial class Generator
{
    private static readonly HashSet<string> s_keywords = new(
        [
            "abstract", "as", "base", "bool", "break", "byte", "case", "catch", "char", "checked", "class", "const", "continue", "decimal", "default", "delegate", "do",
            "double", "else", "enum", "event", "explicit", "extern", "false", "finally", "fixed", "float", "for", "foreach", "goto", "if", "implicit", "in", "int",
            "interface", "internal", "is", "lock", "long", "namespace", "new", "null", "object", "operator", "out", "override", "params", "private", "protected",
            "public", "readonly", "ref", "return", "sbyte", "sealed", "short", "sizeof", "stackalloc", "static", "string", "struct", "switch", "this", "throw", "true",
            "try", "typeof", "uint", "ulong", "unchecked", "unsafe", "ushort", "using", "virtual", "void", "volatile", "while",
        ],
        StringComparer.Ordinal);

    // One member of an object: Kind is the method of QapiReader and QapiWriter that handles it.
    private sealed record Member(string Wire, string Property, string Local, string Type, string Kind, string? Generic, bool Required, string Doc);

    private List<Member> Members(string type, JsonObject entry, HashSet<string> taken, string? tag = null)
    {
        List<Member> members = [];
        foreach (JsonNode? node in entry["members"]!.AsArray())
        {
            string wire = (string)node!["name"]!;
            if (wire == tag)
            {
                continue;
            }

            string fact = $"{_names.Owner(type)}.{wire}";
            bool optional = node.AsObject().ContainsKey("default");
            bool deprecated = (node["features"]?.AsArray() ?? []).Any(feature => (string?)feature == "deprecated");
            bool varies = !optional && (deprecated || _facts.Varying.Contains(fact)) && !_inputs.Contains(type) && !_inputs.Contains($"+{type}");
            (string csType, string kind, string? generic) = TypeOf((string)node["type"]!, _facts.FullWidth.Contains(fact));
            string property = Free(taken, QapiNames.Pascal(wire));
            string local = char.ToLowerInvariant(property[0]) + property[1..];
            local = s_keywords.Contains(local) ? $"@{local}" : local is "reader" or "writer" ? $"{local}Value" : local;
            string doc = $"The member <c>{Escape(wire)}</c>: {Describe((string)node["type"]!)}{(optional ? ", optional" : string.Empty)}{(varies ? ", which not every QEMU sends" : string.Empty)}.{State(node)}";
            members.Add(new Member(wire, property, local, csType, kind, generic, !optional && !varies, doc));
        }

        return members;
    }

    private (string Type, string Kind, string? Generic) TypeOf(string type, bool unsigned)
    {
        JsonObject entry = _schema.Entries[type];
        switch ((string)entry["meta-type"]!)
        {
            case "builtin":
                return type switch
                {
                    "str" => ("string", "Text", null),
                    "int" => unsigned ? ("ulong", "Unsigned", null) : ("long", "Int", null),
                    "number" => ("double", "Number", null),
                    "bool" => ("bool", "Flag", null),
                    "any" => ("JsonElement", "Any", null),
                    _ => throw new NotSupportedException($"Builtin {type} as a member."),
                };
            case "enum":
                return (_names[type], "Choice", _names[type]);
            case "array":
                (string element, string kind, string? generic) = TypeOf((string)entry["element-type"]!, unsigned);
                return ($"IReadOnlyList<{element}>", $"{kind}List", generic);
            default:
                return IsEmpty(_schema, type) ? throw new NotSupportedException("The anonymous empty object as a member.") : (_names[type], "Value", _names[type]);
        }
    }

    private string Describe(string type)
    {
        JsonObject entry = _schema.Entries[type];
        return (string)entry["meta-type"]! switch
        {
            "builtin" => type switch { "str" => "text", "int" => "a whole number", "number" => "a number", "bool" => "true or false", _ => "any value" },
            "array" => $"a list of <c>{Escape(Describe((string)entry["element-type"]!).Replace("<c>", string.Empty, StringComparison.Ordinal).Replace("</c>", string.Empty, StringComparison.Ordinal))}</c>",
            "enum" => $"one of <c>{_names[type]}</c>",
            _ => $"<c>{_names[type]}</c>",
        };
    }

    private static void WriteProperties(StringBuilder text, List<Member> members)
    {
        foreach (Member member in members)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>{member.Doc}</summary>\n");
            text.Append(CultureInfo.InvariantCulture, $"    public {(member.Required ? "required " : string.Empty)}{member.Type}{(member.Required ? string.Empty : "?")} {member.Property} {{ get; init; }}\n");
        }
    }

    private static void WriteReader(StringBuilder text, string name, string signature, List<Member> members, string? tag, string create, bool open)
    {
        text.Append(CultureInfo.InvariantCulture, $"\n    {signature}\n    {{\n");
        foreach (Member member in members)
        {
            text.Append(CultureInfo.InvariantCulture, $"        {member.Type}? {member.Local} = null;\n");
        }

        if (open)
        {
            text.Append("        Dictionary<string, JsonElement>? otherMembers = null;\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"        QapiReader.Begin(ref reader, \"{name}\");\n        while (QapiReader.Next(ref reader))\n        {{\n");
        string link = "if";
        foreach (Member member in members)
        {
            text.Append(CultureInfo.InvariantCulture, $"            {link} (reader.ValueTextEquals(\"{member.Wire}\"u8)) {{ {member.Local} = QapiReader.{member.Kind}{(member.Generic is null ? string.Empty : $"<{member.Generic}>")}(ref reader); }}\n");
            link = "else if";
        }

        if (open && tag is not null)
        {
            text.Append(CultureInfo.InvariantCulture, $"            {link} (reader.ValueTextEquals(\"{tag}\"u8)) {{ QapiReader.Skip(ref reader); }}\n");
            link = "else if";
        }

        string rest = open ? "QapiReader.Other(ref reader, ref otherMembers);" : "QapiReader.Skip(ref reader);";
        text.Append(link == "if" ? $"            {rest}\n" : $"            else {{ {rest} }}\n");
        text.Append("        }\n\n");
        List<string> assigned = [.. members.Select(member => $"            {member.Property} = {(member.Required ? $"QapiReader.Required({member.Local}, \"{name}\", \"{member.Wire}\")" : member.Local)},\n")];
        if (open)
        {
            assigned.Add("            OtherMembers = otherMembers,\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"        return {create}\n        {{\n{string.Concat(assigned)}        }};\n    }}\n");
    }

    private static void WriteMemberWrites(StringBuilder text, List<Member> members, bool open)
    {
        foreach (Member member in members)
        {
            text.Append(CultureInfo.InvariantCulture, $"        QapiWriter.{member.Kind}{(member.Generic is null ? string.Empty : $"<{member.Generic}>")}(writer, \"{member.Wire}\"u8, {member.Property});\n");
        }

        if (open)
        {
            text.Append("        QapiWriter.Other(writer, OtherMembers);\n");
        }
    }

    private void WriteObject(string type, JsonObject entry)
    {
        _typed.Add(type);
        string name = _names[type];
        string owner = _names.Owner(type);
        bool open = owner.EndsWith("/arg-type", StringComparison.Ordinal) && _facts.Open.Contains(owner.Split('/')[0]);
        List<Member> members = Members(type, entry, new([name, .. s_reservedInClasses], StringComparer.Ordinal));
        StringBuilder text = FileOf(type);
        string what = owner.EndsWith("/arg-type", StringComparison.Ordinal)
            ? $"{(_schema.Entries[owner.Split('/')[0]]["meta-type"]!.GetValue<string>() == "event" ? "The data of the event" : "The arguments of the command")} <c>{Escape(owner.Split('/')[0])}</c>"
            : $"The QAPI object <c>{Escape(owner)}</c>";
        text.Append(CultureInfo.InvariantCulture, $"\n/// <summary>{what} ({Origin(owner.Split('/')[0], Module(type))}).{State(entry)}</summary>\npublic sealed class {name} : IQapiValue<{name}>\n{{\n");
        int start = text.Length;
        WriteProperties(text, members);
        if (open)
        {
            WriteOtherMembers(text, "Further arguments, which QEMU's schema does not tell, such as a driver's own properties.");
        }

        WriteReader(text, name, $"static {name} IQapiValue<{name}>.Read(ref Utf8JsonReader reader)", members, null, $"new {name}", open);
        text.Append(CultureInfo.InvariantCulture, $"\n    void IQapiValue<{name}>.Write(Utf8JsonWriter writer)\n    {{\n        writer.WriteStartObject();\n");
        WriteMemberWrites(text, members, open);
        text.Append("        writer.WriteEndObject();\n    }\n}\n");
        text.Remove(start, 1);
    }

    private static void WriteOtherMembers(StringBuilder text, string doc) =>
        text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>{doc}</summary>\n    public IReadOnlyDictionary<string, JsonElement>? OtherMembers {{ get; init; }}\n");

    private void WriteUnion(string type, JsonObject entry)
    {
        _typed.Add(type);
        string name = _names[type];
        string owner = _names.Owner(type);
        string tag = (string)entry["tag"]!;
        HashSet<string> taken = new([name, .. s_reservedInClasses], StringComparer.Ordinal);
        string tagEnum = (string)entry["members"]!.AsArray().First(member => (string?)member!["name"] == tag)!["type"]!;
        string tagType = _names[tagEnum];
        string tagProperty = Free(taken, QapiNames.Pascal(tag));
        List<Member> common = Members(type, entry, taken, tag);
        (string Case, string Type, string Name)[] branches = [.. entry["variants"]!.AsArray()
            .Select(variant => ((string)variant!["case"]!, (string)variant["type"]!))
            .Where(variant => !IsEmpty(_schema, variant.Item2))
            .OrderBy(variant => variant.Item1, StringComparer.Ordinal)
            .Select(variant => (variant.Item1, variant.Item2, _names.Take(name + QapiNames.Pascal(variant.Item1), "Branch")))];
        string other = _names.Take($"{name}Other");

        StringBuilder text = FileOf(type);
        text.Append(CultureInfo.InvariantCulture, $"\n/// <summary>The QAPI union <c>{Escape(owner)}</c> ({Origin(owner, Module(type))}): one class for each <c>{tag}</c> that has members of its own, <see cref=\"{other}\"/> for any other.{State(entry)}</summary>\n");
        text.Append(CultureInfo.InvariantCulture, $"public abstract class {name} : IQapiValue<{name}>\n{{\n    private protected {name}({tagType} tag) => {tagProperty} = tag;\n");
        text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>The member <c>{tag}</c>, which tells the branch.</summary>\n    public {tagType} {tagProperty} {{ get; }}\n");
        WriteProperties(text, common);
        text.Append(CultureInfo.InvariantCulture, $"\n    static {name} IQapiValue<{name}>.Read(ref Utf8JsonReader reader)\n    {{\n        {tagType} tag = QapiReader.Tag<{tagType}>(reader, \"{tag}\"u8, \"{name}\");\n        return tag.Value switch\n        {{\n");
        foreach ((string value, _, string branch) in branches)
        {
            text.Append(CultureInfo.InvariantCulture, $"            \"{value}\" => {branch}.ReadBranch(ref reader),\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"            _ => {other}.ReadBranch(ref reader, tag),\n        }};\n    }}\n");
        text.Append(CultureInfo.InvariantCulture, $"\n    void IQapiValue<{name}>.Write(Utf8JsonWriter writer)\n    {{\n        writer.WriteStartObject();\n        WriteMembers(writer);\n        writer.WriteEndObject();\n    }}\n");
        text.Append(CultureInfo.InvariantCulture, $"\n    private protected virtual void WriteMembers(Utf8JsonWriter writer)\n    {{\n        QapiWriter.Choice<{tagType}>(writer, \"{tag}\"u8, {tagProperty});\n");
        WriteMemberWrites(text, common, open: false);
        text.Append("    }\n}\n");

        foreach ((string value, string branchType, string branch) in branches)
        {
            _typed.Add(branchType);
            _branches++;
            JsonObject branchEntry = _schema.Entries[branchType];
            if (branchEntry["tag"] is not null)
            {
                throw new NotSupportedException($"A union as branch {value} of {name}.");
            }

            List<Member> own = Members(branchType, branchEntry, new([.. taken, branch], StringComparer.Ordinal));
            string property = TagProperty(tagEnum, value);
            text.Append(CultureInfo.InvariantCulture, $"\n/// <summary><see cref=\"{name}\"/> whose <c>{tag}</c> is <c>{Escape(value)}</c> (QAPI: <c>{Escape(_names.Owner(branchType))}</c>).{State(branchEntry)}</summary>\n");
            text.Append(CultureInfo.InvariantCulture, $"public sealed class {branch} : {name}\n{{\n    /// <summary>Makes one; <c>{tag}</c> is set.</summary>\n    public {branch}()\n        : base({tagType}.{property})\n    {{\n    }}\n");
            WriteProperties(text, own);
            WriteReader(text, branch, $"internal static {branch} ReadBranch(ref Utf8JsonReader reader)", [.. common, .. own], null, $"new {branch}", open: false);
            text.Append("\n    private protected override void WriteMembers(Utf8JsonWriter writer)\n    {\n        base.WriteMembers(writer);\n");
            WriteMemberWrites(text, own, open: false);
            text.Append("    }\n}\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"\n/// <summary><see cref=\"{name}\"/> whose <c>{tag}</c> has no members of its own, or is unknown here.</summary>\n");
        text.Append(CultureInfo.InvariantCulture, $"public sealed class {other} : {name}\n{{\n    /// <summary>Makes one.</summary>\n    /// <param name=\"tag\">The value of <c>{tag}</c>.</param>\n    public {other}({tagType} tag)\n        : base(tag)\n    {{\n    }}\n");
        WriteOtherMembers(text, "The members that are unknown here, as they are on the wire.");
        WriteReader(text, other, $"internal static {other} ReadBranch(ref Utf8JsonReader reader, {tagType} tag)", common, tag, $"new {other}(tag)", open: true);
        text.Append("\n    private protected override void WriteMembers(Utf8JsonWriter writer)\n    {\n        base.WriteMembers(writer);\n        QapiWriter.Other(writer, OtherMembers);\n    }\n}\n");
    }

    // The name that the enum gave to a value.
    private string TagProperty(string tagEnum, string value)
    {
        JsonObject entry = _schema.Entries[tagEnum];
        string enumName = _names[tagEnum];
        HashSet<string> taken = new([enumName, .. s_reservedInEnums], StringComparer.Ordinal);
        foreach (JsonNode? member in entry["members"]!.AsArray())
        {
            string candidate = (string)member!["name"]!;
            string property = Free(taken, EnumProperty(candidate));
            if (candidate == value)
            {
                return property;
            }
        }

        throw new InvalidOperationException($"{enumName} has no value {value}.");
    }

    private void WriteAlternate(string type, JsonObject entry)
    {
        _typed.Add(type);
        string name = _names[type];
        string owner = _names.Owner(type);
        StringBuilder text = FileOf(type);
        text.Append(CultureInfo.InvariantCulture, $"\n/// <summary>The QAPI alternate <c>{Escape(owner)}</c> ({Origin(owner, Module(type))}): a value of one of several types, of which one is set.</summary>\n");
        text.Append(CultureInfo.InvariantCulture, $"public sealed class {name} : IQapiValue<{name}>\n{{\n    private {name}()\n    {{\n    }}\n");
        StringBuilder reads = new();
        StringBuilder writes = new();
        int index = 0;
        foreach (JsonNode? node in entry["members"]!.AsArray())
        {
            string alternative = (string)node!["type"]!;
            bool unsigned = _facts.FullWidth.Contains($"{owner}.|{index++}");
            if (alternative == "null")
            {
                text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>JSON's null, which differs from leaving the member out.</summary>\n    public static {name} Null {{ get; }} = new() {{ IsNull = true }};\n\n    /// <summary>Whether this is JSON's null.</summary>\n    public bool IsNull {{ get; private init; }}\n\n    static bool IQapiValue<{name}>.AcceptsNull => true;\n");
                reads.Append("            JsonTokenType.Null => Null,\n");
                writes.Append("        if (IsNull) { writer.WriteNullValue(); }\n");
                continue;
            }

            (string csType, string kind, string? generic) = TypeOf(alternative, unsigned);
            string property = kind switch { "Text" => "Text", "Int" or "Unsigned" => "Number", "Flag" => "Flag", "IntList" or "UnsignedList" => "Numbers", _ => csType };
            string tokens = kind switch
            {
                "Text" or "Choice" => "JsonTokenType.String",
                "Int" or "Unsigned" => "JsonTokenType.Number",
                "Flag" => "JsonTokenType.True or JsonTokenType.False",
                "IntList" or "UnsignedList" => "JsonTokenType.StartArray",
                "Value" => "JsonTokenType.StartObject",
                _ => throw new NotSupportedException($"{kind} in the alternate {name}."),
            };
            text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>{char.ToUpperInvariant(Describe(alternative)[0])}{Describe(alternative)[1..]}; null if this is something else.</summary>\n    public {csType}? {property} {{ get; private init; }}\n");
            if (csType.StartsWith("IReadOnlyList", StringComparison.Ordinal))
            {
                text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>Makes one of a list.</summary>\n    /// <param name=\"values\">The list.</param>\n    public static {name} Of({csType} values) => new() {{ {property} = values }};\n");
            }
            else
            {
                text.Append(CultureInfo.InvariantCulture, $"\n    /// <summary>Makes one.</summary>\n    /// <param name=\"value\">The value.</param>\n    public static implicit operator {name}({csType} value) => new() {{ {property} = value }};\n");
            }

            reads.Append(CultureInfo.InvariantCulture, $"            {tokens} => new() {{ {property} = QapiReader.{kind}Here{(generic is null ? string.Empty : $"<{generic}>")}(ref reader) }},\n");
            writes.Append(CultureInfo.InvariantCulture, $"        QapiWriter.{kind}Here{(generic is null ? string.Empty : $"<{generic}>")}(writer, {property});\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"\n    static {name} IQapiValue<{name}>.Read(ref Utf8JsonReader reader) =>\n        reader.TokenType switch\n        {{\n{reads}            _ => throw QapiReader.Unexpected(ref reader, \"{name}\"),\n        }};\n");
        text.Append(CultureInfo.InvariantCulture, $"\n    void IQapiValue<{name}>.Write(Utf8JsonWriter writer)\n    {{\n{writes}    }}\n}}\n");
    }
}
