using System.Text.Json.Nodes;

namespace Pengx.Qmp.Tests;

/// <summary>
/// Makes JSON that fits a type of the schema, straight from the introspection and without the generator: sample number n takes the
/// n-th branch of its own union, and mixes the choices below it. Tells what it has shown.
/// </summary>
internal sealed class SchemaSamples(IReadOnlyDictionary<string, JsonObject> entries)
{
    private const int Deep = 6;
    private int _branches = 1;

    public HashSet<string> Shown { get; } = [];

    /// <summary>Makes as many samples of a type as it takes to show all of it.</summary>
    public IEnumerable<JsonNode> Of(string type)
    {
        JsonObject[] below = [.. Reach(type, []).Select(name => entries[name])];
        int branches = below.Max(entry => entry["variants"]?.AsArray().Count ?? 1);
        int values = below.Max(entry => (string?)entry["meta-type"] is "enum" or "alternate" ? entry["members"]!.AsArray().Count : 1);
        string[] all = [.. All([type])];
        _branches = branches;
        for (int number = 0; number < branches || number < values || (number < branches * values * 4 && !all.All(Shown.Contains)); number++)
        {
            yield return Make(type, number)!;
        }
    }

    private JsonNode? Make(string type, int number, int depth = 0)
    {
        JsonObject entry = entries[type];
        switch ((string)entry["meta-type"]!)
        {
            case "builtin":
                Shown.Add(type);
                return type switch
                {
                    "str" => JsonValue.Create($"text {number} ü"),
                    "int" => JsonValue.Create(number),
                    "number" => JsonValue.Create(number + 0.5),
                    "bool" => JsonValue.Create(number % 2 == 0),
                    "any" => new JsonObject { ["any"] = new JsonArray(number) },
                    _ => null,
                };
            case "array":
                Shown.Add(type);
                return new JsonArray(Make((string)entry["element-type"]!, number, depth), Make((string)entry["element-type"]!, number + 1, depth + 1));
            case "enum":
                JsonArray values = entry["members"]!.AsArray();
                string value = (string)values[(number / _branches) % values.Count]!["name"]!;
                Shown.Add(type);
                Shown.Add($"{type}^{value}");
                return JsonValue.Create(value);
            case "alternate":
                // Deep down the alternative that is not an object, or it never ends.
                JsonArray alternatives = entry["members"]!.AsArray();
                string[] names = [.. alternatives.Select(alternative => (string)alternative!["type"]!)];
                string chosen = depth < Deep ? names[(number / _branches) % names.Length] : names.First(name => (string?)entries[name]["meta-type"] != "object" || names.All(other => (string?)entries[other]["meta-type"] == "object"));
                Shown.Add(type);
                Shown.Add($"{type}|{chosen}");
                return Make(chosen, number, depth + 1);
            default:
                JsonObject made = [];
                string? tag = (string?)entry["tag"];
                JsonNode? variant = null;
                if (tag is not null)
                {
                    JsonArray variants = entry["variants"]!.AsArray();
                    variant = variants[depth == 0 ? number % variants.Count : Mixed(number, depth) % variants.Count];
                    Shown.Add($"{type}+{(string)variant!["case"]!}");
                }

                AddMembers(made, type, number, depth, tag, (string?)variant?["case"]);
                if (variant is not null)
                {
                    AddMembers(made, (string)variant["type"]!, number, depth, null, null);
                }

                return made;
        }
    }

    /// <summary>Everything that the schema has to show below a type.</summary>
    public IEnumerable<string> All(IEnumerable<string> roots)
    {
        HashSet<string> reached = [];
        foreach (string root in roots)
        {
            Reach(root, reached);
        }

        foreach (string type in reached)
        {
            JsonObject entry = entries[type];
            string kind = (string)entry["meta-type"]!;
            yield return type;
            foreach (JsonNode? member in entry["members"]?.AsArray() ?? [])
            {
                yield return kind switch { "enum" => $"{type}^{(string)member!["name"]!}", "alternate" => $"{type}|{(string)member!["type"]!}", _ => $"{type}.{(string)member!["name"]!}" };
            }

            foreach (JsonNode? variant in entry["variants"]?.AsArray() ?? [])
            {
                yield return $"{type}+{(string)variant!["case"]!}";
            }
        }
    }

    private void AddMembers(JsonObject made, string type, int number, int depth, string? tag, string? value)
    {
        Shown.Add(type);
        foreach (JsonNode? node in entries[type]["members"]!.AsArray())
        {
            JsonObject member = node!.AsObject();
            string name = (string)member["name"]!;
            if (name == tag)
            {
                Shown.Add($"{type}.{name}");
                Shown.Add($"{(string)member["type"]!}^{value}");
                Shown.Add((string)member["type"]!);
                made[name] = value;
            }
            else if (depth < Deep || !member.ContainsKey("default"))
            {
                Shown.Add($"{type}.{name}");
                made[name] = Make((string)member["type"]!, number, depth + 1);
            }
        }
    }

    // Further down the branches change independently of those above, or some would never meet.
    private static int Mixed(int number, int depth) => (int)((((uint)number * 2654435761) ^ ((uint)depth * 2246822519)) * 3266489917 >> 8);

    private HashSet<string> Reach(string type, HashSet<string> reached)
    {
        if (reached.Add(type))
        {
            JsonObject entry = entries[type];
            foreach (JsonNode? part in (entry["members"]?.AsArray() ?? []).Concat(entry["variants"]?.AsArray() ?? []))
            {
                if ((string?)part!["type"] is { } next)
                {
                    Reach(next, reached);
                }
            }

            if ((string?)entry["element-type"] is { } element)
            {
                Reach(element, reached);
            }
        }

        return reached;
    }
}
