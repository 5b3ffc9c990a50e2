using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Pengx.Qmp;

internal enum SchemaKind : byte
{
    Unknown,
    Command,
    Event,
    Object,
    Enum,
    Array,
    Alternate,
    Builtin,
}

/// <summary>A run of rows in one of the tables.</summary>
internal readonly record struct SchemaRange(int Start, int Count);

/// <summary>One definition. Type and Result are names of other definitions (argument or element, and result).</summary>
internal record struct SchemaEntity
{
    public SchemaKind Kind;
    public bool OutOfBand;
    public int Name;
    public int Type;
    public int Result;
    public SchemaRange Members;
    public SchemaRange Variants;
    public SchemaRange Features;
}

/// <summary>A member of an object, a branch of a union, a value of an enum, or an alternative (which has no name).</summary>
internal readonly record struct SchemaMember(int Name, int Type, SchemaRange Features);

/// <summary>
/// A schema as a few tables of numbers over one table of names, each kept once as UTF-8: the reply is read in one pass that makes no
/// object for each of its thousands of parts.
/// </summary>
internal sealed class SchemaTables
{
    private readonly List<SchemaEntity> _entities = new(1200);
    private readonly List<SchemaMember> _members = new(4800);
    private readonly List<int> _features = new(128);
    private readonly List<(int Start, int Length)> _names = new(3200);
    private byte[] _text = new byte[48 * 1024];
    private int[] _slots = new int[8192];
    private int[] _entityOfName = [];
    private int _used;

    public SchemaEntity this[int entity] => _entities[entity];

    public static SchemaTables Read(ref Utf8JsonReader reader)
    {
        SchemaTables tables = new();
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            throw new JsonException("A schema is a list.");
        }

        while (ReadNext(ref reader) != JsonTokenType.EndArray)
        {
            tables.ReadEntity(ref reader);
        }

        tables._entityOfName = new int[tables._names.Count];
        Array.Fill(tables._entityOfName, -1);
        ReadOnlySpan<SchemaEntity> entities = CollectionsMarshal.AsSpan(tables._entities);
        for (int index = 0; index < entities.Length; index++)
        {
            tables._entityOfName[entities[index].Name] = index;
        }

        return tables;
    }

    public IReadOnlyList<string> Names(SchemaKind kind)
    {
        List<string> names = [];
        foreach (SchemaEntity entity in _entities)
        {
            if (entity.Kind == kind)
            {
                names.Add(Text(entity.Name));
            }
        }

        names.Sort(StringComparer.Ordinal);
        return names;
    }

    public IReadOnlyList<string> Texts(SchemaRange features)
    {
        string[] texts = new string[features.Count];
        for (int index = 0; index < texts.Length; index++)
        {
            texts[index] = Text(_features[features.Start + index]);
        }

        return texts;
    }

    /// <summary>The command or event of a name, or -1.</summary>
    public int FindRoot(ReadOnlySpan<char> name)
    {
        int entity = EntityOf(FindName(name));
        return entity >= 0 && _entities[entity].Kind is SchemaKind.Command or SchemaKind.Event ? entity : -1;
    }

    /// <summary>Walks a path from a command or an event.</summary>
    public bool Find(ReadOnlySpan<char> name, ReadOnlySpan<char> path, out SchemaRange features)
    {
        features = default;
        int root = FindRoot(name);
        if (root < 0)
        {
            return false;
        }

        SchemaEntity entity = _entities[root];
        features = entity.Features;
        if (path.IsEmpty)
        {
            return true;
        }

        if (path[0] == '$')
        {
            return HasFeature(entity.Features, path[1..], ref features);
        }

        int type = entity.Type;
        if (StepsOver(ref path, "ret-type"))
        {
            type = entity.Kind == SchemaKind.Command ? entity.Result : -1;
        }
        else
        {
            StepsOver(ref path, "arg-type");
        }

        int target = EntityOf(type);
        return target >= 0 && Walk(target, _entities[target].Features, path, ref features);
    }

    private static bool StepsOver(ref ReadOnlySpan<char> path, string step)
    {
        if (!path.StartsWith(step, StringComparison.Ordinal) || (path.Length > step.Length && path[step.Length] != '/'))
        {
            return false;
        }

        path = path.Length > step.Length ? path[(step.Length + 1)..] : [];
        return true;
    }

    private bool Walk(int index, SchemaRange own, ReadOnlySpan<char> path, ref SchemaRange features)
    {
        if (path.IsEmpty)
        {
            features = own;
            return true;
        }

        if (path[0] == '$')
        {
            return HasFeature(own, path[1..], ref features);
        }

        SchemaEntity entity = _entities[index];
        while (entity.Kind == SchemaKind.Array)
        {
            int element = EntityOf(entity.Type);
            if (element < 0)
            {
                return false;
            }

            entity = _entities[element];
        }

        if (entity.Kind == SchemaKind.Alternate)
        {
            for (int row = entity.Members.Start; row < entity.Members.Start + entity.Members.Count; row++)
            {
                if (EntityOf(_members[row].Type) is >= 0 and int alternative && Walk(alternative, _entities[alternative].Features, path, ref features))
                {
                    return true;
                }
            }

            return false;
        }

        int end = path.IndexOf('/');
        ReadOnlySpan<char> step = end < 0 ? path : path[..end];
        ReadOnlySpan<char> rest = end < 0 ? [] : path[(end + 1)..];
        (SchemaRange rows, int prefix) = (entity.Kind, step.IsEmpty ? '\0' : step[0]) switch
        {
            (SchemaKind.Object, '+') => (entity.Variants, 1),
            (SchemaKind.Enum, '^') => (entity.Members, 1),
            (SchemaKind.Object, _) => (entity.Members, 0),
            _ => (default, 0),
        };
        int name = FindName(step[prefix..]);
        for (int row = rows.Start; name >= 0 && row < rows.Start + rows.Count; row++)
        {
            SchemaMember member = _members[row];
            if (member.Name == name)
            {
                if (rest.IsEmpty || rest[0] == '$')
                {
                    return rest.IsEmpty ? Walk(index, member.Features, rest, ref features) : HasFeature(member.Features, rest[1..], ref features);
                }

                return EntityOf(member.Type) is >= 0 and int type && Walk(type, member.Features, rest, ref features);
            }
        }

        return false;
    }

    private bool HasFeature(SchemaRange range, ReadOnlySpan<char> feature, ref SchemaRange features)
    {
        int name = FindName(feature);
        for (int row = range.Start; name >= 0 && row < range.Start + range.Count; row++)
        {
            if (_features[row] == name)
            {
                features = default;
                return true;
            }
        }

        return false;
    }

    private int EntityOf(int name) => (uint)name < (uint)_entityOfName.Length ? _entityOfName[name] : -1;

    private string Text(int name) => Encoding.UTF8.GetString(Bytes(name));

    private ReadOnlySpan<byte> Bytes(int name)
    {
        (int start, int length) = _names[name];
        return _text.AsSpan(start, length);
    }

    private int FindName(ReadOnlySpan<char> text)
    {
        Span<byte> bytes = stackalloc byte[256];
        return Encoding.UTF8.TryGetBytes(text, bytes, out int length) ? _slots[Slot(bytes[..length])] - 1 : -1;
    }

    // The slot of a name, or the free one where it belongs.
    private int Slot(ReadOnlySpan<byte> bytes)
    {
        uint hash = 2166136261;
        foreach (byte value in bytes)
        {
            hash = (hash ^ value) * 16777619;
        }

        int slot = (int)(hash & (uint)(_slots.Length - 1));
        while (_slots[slot] != 0 && !Bytes(_slots[slot] - 1).SequenceEqual(bytes))
        {
            slot = (slot + 1) & (_slots.Length - 1);
        }

        return slot;
    }

    private int Intern(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.String)
        {
            throw new JsonException($"A schema has a {reader.TokenType} where a name belongs.");
        }

        return reader.HasValueSequence || reader.ValueIsEscaped ? Intern(Encoding.UTF8.GetBytes(reader.GetString()!)) : Intern(reader.ValueSpan);
    }

    private int Intern(ReadOnlySpan<byte> bytes)
    {
        int slot = Slot(bytes);
        if (_slots[slot] != 0)
        {
            return _slots[slot] - 1;
        }

        if (_used + bytes.Length > _text.Length)
        {
            Array.Resize(ref _text, Math.Max(_text.Length * 2, _used + bytes.Length));
        }

        bytes.CopyTo(_text.AsSpan(_used));
        _names.Add((_used, bytes.Length));
        _used += bytes.Length;
        _slots[slot] = _names.Count;
        if (_names.Count > _slots.Length / 2)
        {
            Rehash();
        }

        return _names.Count - 1;
    }

    private void Rehash()
    {
        _slots = new int[_slots.Length * 2];
        for (int name = 0; name < _names.Count; name++)
        {
            _slots[Slot(Bytes(name))] = name + 1;
        }
    }

    private static JsonTokenType ReadNext(ref Utf8JsonReader reader) =>
        reader.Read() ? reader.TokenType : throw new JsonException("A schema ends in the middle.");

    private static void RequireStart(ref Utf8JsonReader reader, JsonTokenType token)
    {
        if (reader.TokenType != token)
        {
            throw new JsonException($"A schema has a {reader.TokenType} where a {token} belongs.");
        }
    }

    private void ReadEntity(ref Utf8JsonReader reader)
    {
        RequireStart(ref reader, JsonTokenType.StartObject);
        SchemaEntity entity = new() { Name = -1, Type = -1, Result = -1 };
        SchemaRange values = default;
        while (ReadNext(ref reader) == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("name"u8))
            {
                reader.Read();
                entity.Name = Intern(ref reader);
            }
            else if (reader.ValueTextEquals("meta-type"u8))
            {
                reader.Read();
                entity.Kind = KindOf(ref reader);
            }
            else if (reader.ValueTextEquals("members"u8))
            {
                reader.Read();
                entity.Members = ReadMembers(ref reader);
            }
            else if (reader.ValueTextEquals("variants"u8))
            {
                reader.Read();
                entity.Variants = ReadMembers(ref reader);
            }
            else if (reader.ValueTextEquals("values"u8))
            {
                // What an enum had before QEMU 6.2; the newer ones have both.
                reader.Read();
                values = ReadMembers(ref reader);
            }
            else if (reader.ValueTextEquals("features"u8))
            {
                reader.Read();
                entity.Features = ReadFeatures(ref reader);
            }
            else if (reader.ValueTextEquals("arg-type"u8) || reader.ValueTextEquals("element-type"u8))
            {
                reader.Read();
                entity.Type = Intern(ref reader);
            }
            else if (reader.ValueTextEquals("ret-type"u8))
            {
                reader.Read();
                entity.Result = Intern(ref reader);
            }
            else if (reader.ValueTextEquals("allow-oob"u8))
            {
                entity.OutOfBand = ReadNext(ref reader) == JsonTokenType.True;
            }
            else
            {
                reader.Skip();
            }
        }

        if (entity.Name < 0)
        {
            throw new JsonException("A definition of the schema has no name.");
        }

        if (entity.Members.Count == 0)
        {
            entity.Members = values;
        }

        _entities.Add(entity);
    }

    private static SchemaKind KindOf(ref Utf8JsonReader reader) =>
        reader.ValueTextEquals("object"u8) ? SchemaKind.Object
        : reader.ValueTextEquals("command"u8) ? SchemaKind.Command
        : reader.ValueTextEquals("enum"u8) ? SchemaKind.Enum
        : reader.ValueTextEquals("array"u8) ? SchemaKind.Array
        : reader.ValueTextEquals("event"u8) ? SchemaKind.Event
        : reader.ValueTextEquals("alternate"u8) ? SchemaKind.Alternate
        : reader.ValueTextEquals("builtin"u8) ? SchemaKind.Builtin
        : SchemaKind.Unknown;

    private SchemaRange ReadMembers(ref Utf8JsonReader reader)
    {
        RequireStart(ref reader, JsonTokenType.StartArray);
        int start = _members.Count;
        while (ReadNext(ref reader) != JsonTokenType.EndArray)
        {
            _members.Add(reader.TokenType == JsonTokenType.String ? new SchemaMember(Intern(ref reader), -1, default) : ReadMember(ref reader));
        }

        return new SchemaRange(start, _members.Count - start);
    }

    private SchemaMember ReadMember(ref Utf8JsonReader reader)
    {
        RequireStart(ref reader, JsonTokenType.StartObject);
        int name = -1;
        int type = -1;
        SchemaRange features = default;
        while (ReadNext(ref reader) == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("name"u8) || reader.ValueTextEquals("case"u8))
            {
                reader.Read();
                name = Intern(ref reader);
            }
            else if (reader.ValueTextEquals("type"u8))
            {
                reader.Read();
                type = Intern(ref reader);
            }
            else if (reader.ValueTextEquals("features"u8))
            {
                reader.Read();
                features = ReadFeatures(ref reader);
            }
            else
            {
                reader.Skip();
            }
        }

        return new SchemaMember(name, type, features);
    }

    private SchemaRange ReadFeatures(ref Utf8JsonReader reader)
    {
        RequireStart(ref reader, JsonTokenType.StartArray);
        int start = _features.Count;
        while (ReadNext(ref reader) != JsonTokenType.EndArray)
        {
            _features.Add(Intern(ref reader));
        }

        return new SchemaRange(start, _features.Count - start);
    }
}
