using System.Text;
using System.Text.Json.Nodes;

namespace Pengx.Qapi;

/// <summary>Gives every type of the schema its name in C#: QAPI's own where the facts tell it, else one made from the first use.</summary>
internal sealed class QapiNames
{
    private readonly StoredSchema _schema;
    private readonly Dictionary<string, string> _types = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _owners = new(StringComparer.Ordinal);
    private readonly HashSet<string> _taken = new(StringComparer.OrdinalIgnoreCase);

    public QapiNames(StoredSchema schema, Facts facts)
    {
        _schema = schema;
        foreach ((string path, string name) in facts.Types.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            if (Find(path) is { } type && !_types.ContainsKey(type) && _taken.Add(name))
            {
                _types.Add(type, name);
                _owners.Add(type, name);
            }
        }

        Restored = _types.Count;
        Derive();
    }

    /// <summary>How many types have QAPI's own name.</summary>
    public int Restored { get; }

    /// <summary>How many have a name made from their use.</summary>
    public int Derived { get; private set; }

    /// <summary>The name in C#.</summary>
    public string this[string type] => _types[type];

    /// <summary>QAPI's own name, or the path of the first use: the key of the facts.</summary>
    public string Owner(string type) => _owners[type];

    /// <summary>Reserves a name, changed if it is taken.</summary>
    public string Take(string name, string suffix = "")
    {
        string free = name;
        for (int number = 1; !_taken.Add(free); number++)
        {
            free = number == 1 ? $"{name}{suffix}" : $"{name}{suffix}{number}";
        }

        return free;
    }

    /// <summary>Frees the names of types that are only branches of unions: the branch may have it.</summary>
    public void Release(IReadOnlySet<string> values) => _taken.ExceptWith(_types.Where(type => !values.Contains(type.Key)).Select(type => type.Value).ToList());

    /// <summary>The named types among some, by name.</summary>
    public IEnumerable<string> Sorted(IEnumerable<string> types) => types.Where(_types.ContainsKey).OrderBy(type => _types[type], StringComparer.Ordinal);

    public static string Pascal(string name, bool shout = false)
    {
        StringBuilder text = new();
        foreach (string part in name.Split(['-', '_', '.', ' '], StringSplitOptions.RemoveEmptyEntries))
        {
            text.Append(char.ToUpperInvariant(part[0])).Append(shout ? part[1..].ToLowerInvariant() : part[1..]);
        }

        return text.ToString();
    }

    private string Element(string type)
    {
        while ((string?)_schema.Entries[type]["meta-type"] == "array")
        {
            type = (string)_schema.Entries[type]["element-type"]!;
        }

        return type;
    }

    private string? Find(string path)
    {
        if (path[0] == '?')
        {
            return Orphans().FirstOrDefault(orphan => string.Join(',', _schema.Entries[orphan]["members"]!.AsArray().Select(member => (string)member!["name"]!)) == path[1..]);
        }

        string[] steps = path.Split('/');
        if (steps.Length < 2 || !_schema.Entries.TryGetValue(steps[0], out JsonObject? entry) || entry[steps[1]] is not { } first)
        {
            return null;
        }

        string type = Element((string)first!);
        foreach (string step in steps.AsSpan(2))
        {
            JsonObject owner = _schema.Entries[type];
            JsonNode? next = step[0] switch
            {
                '+' => owner["variants"]?.AsArray().FirstOrDefault(variant => (string?)variant!["case"] == step[1..]),
                '|' => owner["members"]?.AsArray().ElementAtOrDefault(int.Parse(step.AsSpan(1), System.Globalization.CultureInfo.InvariantCulture)),
                _ => owner["members"]?.AsArray().FirstOrDefault(member => (string?)member!["name"] == step),
            };
            if ((string?)next?["type"] is not { } found)
            {
                return null;
            }

            type = Element(found);
        }

        // A path may lead to something else in another QEMU; numbers tell a type that was named from a builtin.
        return _schema.Entries[type]["meta-type"]!.GetValue<string>() == "builtin" ? null : type;
    }

    /// <summary>Objects and enums that QEMU lists although nothing leads to them.</summary>
    public IEnumerable<string> Orphans()
    {
        HashSet<string> referred = new(StringComparer.Ordinal);
        foreach (JsonObject entry in _schema.Entries.Values)
        {
            string?[] all =
            [
                (string?)entry["arg-type"], (string?)entry["ret-type"], (string?)entry["element-type"],
                .. (entry["members"]?.AsArray() ?? []).Concat(entry["variants"]?.AsArray() ?? []).Select(member => (string?)member!["type"]),
            ];
            referred.UnionWith(all.OfType<string>());
        }

        return _schema.Entries.Values.Where(entry => (string?)entry["meta-type"] is "object" or "enum").Select(entry => (string)entry["name"]!)
            .Where(type => !referred.Contains(type)).Order(StringComparer.Ordinal);
    }

    private void Derive()
    {
        Queue<(string Type, string Name, string Path)> queue = new();
        IEnumerable<JsonObject> entries = _schema.Entries.Values.OrderBy(entry => (string)entry["name"]!, StringComparer.Ordinal).ToList();
        foreach (JsonObject command in entries.Where(entry => (string?)entry["meta-type"] == "command"))
        {
            string name = (string)command["name"]!;
            queue.Enqueue(((string)command["arg-type"]!, $"{Pascal(name)}Arguments", $"{name}/arg-type"));
            queue.Enqueue(((string)command["ret-type"]!, $"{Pascal(name)}Result", $"{name}/ret-type"));
        }

        foreach (JsonObject happening in entries.Where(entry => (string?)entry["meta-type"] == "event"))
        {
            string name = (string)happening["name"]!;
            queue.Enqueue(((string)happening["arg-type"]!, $"{Pascal(name, shout: true)}Event", $"{name}/arg-type"));
        }

        foreach (string orphan in Orphans())
        {
            queue.Enqueue((orphan, $"Type{orphan}", $"?{orphan}"));
        }

        HashSet<string> seen = new(StringComparer.Ordinal);
        while (queue.TryDequeue(out (string Type, string Name, string Path) next))
        {
            string type = Element(next.Type);
            JsonObject entry = _schema.Entries[type];
            string kind = (string)entry["meta-type"]!;
            if (kind == "builtin" || !seen.Add(type))
            {
                continue;
            }

            if (!_types.TryGetValue(type, out string? name))
            {
                name = Generator.IsEmpty(_schema, type) ? next.Name : Take(next.Name);
                _types.Add(type, name);
                _owners.Add(type, next.Path);
                Derived++;
            }

            if (kind == "enum")
            {
                continue;
            }

            int index = 0;
            foreach (JsonNode? member in entry["members"]?.AsArray() ?? [])
            {
                string step = (string?)member!["name"] ?? $"|{index}";
                queue.Enqueue(((string)member["type"]!, name + Pascal(step.TrimStart('|')), $"{next.Path}/{step}"));
                index++;
            }

            foreach (JsonNode? variant in entry["variants"]?.AsArray() ?? [])
            {
                queue.Enqueue(((string)variant!["type"]!, name + Pascal((string)variant["case"]!), $"{next.Path}/+{(string)variant["case"]!}"));
            }
        }
    }
}
