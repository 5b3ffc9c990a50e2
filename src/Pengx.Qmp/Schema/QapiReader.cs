using System.Text.Json;

namespace Pengx.Qmp.Qapi;

/// <summary>
/// What the generated readers have in common. The methods named after a kind of value step from a member's name to its value and
/// read it, null for JSON's null; those with <c>Here</c> read where the reader stands.
/// </summary>
internal static class QapiReader
{
    /// <summary>Steps to the next member's name; false at the object's end.</summary>
    public static bool Next(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.PropertyName)
        {
            throw new JsonException("A member was not read.");
        }

        reader.Read();
        return reader.TokenType == JsonTokenType.PropertyName;
    }

    /// <summary>Checks that an object begins here.</summary>
    public static void Begin(ref Utf8JsonReader reader, string type)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw Unexpected(ref reader, type);
        }
    }

    public static void Skip(ref Utf8JsonReader reader) => reader.Skip();

    /// <summary>Keeps a member that has no property.</summary>
    public static void Other(ref Utf8JsonReader reader, ref Dictionary<string, JsonElement>? members)
    {
        string name = reader.GetString()!;
        reader.Read();
        (members ??= new(StringComparer.Ordinal))[name] = JsonElement.ParseValue(ref reader);
    }

    /// <summary>Finds a union's tag, which may stand anywhere in the object; the reader is a copy.</summary>
    public static T Tag<T>(Utf8JsonReader reader, ReadOnlySpan<byte> name, string type)
        where T : struct, IQapiChoice<T>
    {
        Begin(ref reader, type);
        while (Next(ref reader))
        {
            if (reader.ValueTextEquals(name))
            {
                return Choice<T>(ref reader) ?? throw new JsonException($"{type} has a null where its tag belongs.");
            }

            reader.Skip();
        }

        throw new JsonException($"{type} lacks the member that tells its branch.");
    }

    public static T Required<T>(T? value, string type, string member)
        where T : class =>
        value ?? throw Missing(type, member);

    public static T Required<T>(T? value, string type, string member)
        where T : struct =>
        value ?? throw Missing(type, member);

    public static JsonException Unexpected(ref Utf8JsonReader reader, string type) => new($"{type} cannot be a {reader.TokenType}.");

    public static string? Text(ref Utf8JsonReader reader)
    {
        reader.Read();
        return TextHere(ref reader);
    }

    public static long? Int(ref Utf8JsonReader reader)
    {
        reader.Read();
        return IntHere(ref reader);
    }

    public static ulong? Unsigned(ref Utf8JsonReader reader)
    {
        reader.Read();
        return UnsignedHere(ref reader);
    }

    public static double? Number(ref Utf8JsonReader reader)
    {
        reader.Read();
        return NumberHere(ref reader);
    }

    public static bool? Flag(ref Utf8JsonReader reader)
    {
        reader.Read();
        return FlagHere(ref reader);
    }

    public static JsonElement? Any(ref Utf8JsonReader reader)
    {
        reader.Read();
        return JsonElement.ParseValue(ref reader);
    }

    public static T? Choice<T>(ref Utf8JsonReader reader)
        where T : struct, IQapiChoice<T>
    {
        reader.Read();
        return ChoiceHere<T>(ref reader);
    }

    public static T? Value<T>(ref Utf8JsonReader reader)
        where T : class, IQapiValue<T>
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.Null && !T.AcceptsNull ? null : ValueHere<T>(ref reader);
    }

    public static string? TextHere(ref Utf8JsonReader reader) => reader.GetString();

    public static long? IntHere(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.Null ? null : reader.GetInt64();

    // QEMU writes some full-width numbers as signed ones.
    public static ulong? UnsignedHere(ref Utf8JsonReader reader) =>
        reader.TokenType == JsonTokenType.Null ? null : reader.TryGetUInt64(out ulong value) ? value : unchecked((ulong)reader.GetInt64());

    public static double? NumberHere(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.Null ? null : reader.GetDouble();

    public static bool? FlagHere(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.Null ? null : reader.GetBoolean();

    // An empty text is a value of no enum; it reads as one that was never set.
    public static T? ChoiceHere<T>(ref Utf8JsonReader reader)
        where T : struct, IQapiChoice<T> =>
        reader.GetString() switch { null => null, "" => default(T), string value => T.Of(value) };

    public static T ValueHere<T>(ref Utf8JsonReader reader)
        where T : class, IQapiValue<T> =>
        T.Read(ref reader);

    public static IReadOnlyList<string>? TextList(ref Utf8JsonReader reader)
    {
        reader.Read();
        return ListHere(ref reader, static (ref Utf8JsonReader item) => TextHere(ref item) ?? throw Null());
    }

    public static IReadOnlyList<long>? IntList(ref Utf8JsonReader reader)
    {
        reader.Read();
        return IntListHere(ref reader);
    }

    public static IReadOnlyList<ulong>? UnsignedList(ref Utf8JsonReader reader)
    {
        reader.Read();
        return UnsignedListHere(ref reader);
    }

    public static IReadOnlyList<long>? IntListHere(ref Utf8JsonReader reader) =>
        ListHere(ref reader, static (ref Utf8JsonReader item) => IntHere(ref item) ?? throw Null());

    public static IReadOnlyList<ulong>? UnsignedListHere(ref Utf8JsonReader reader) =>
        ListHere(ref reader, static (ref Utf8JsonReader item) => UnsignedHere(ref item) ?? throw Null());

    public static IReadOnlyList<T>? ChoiceList<T>(ref Utf8JsonReader reader)
        where T : struct, IQapiChoice<T>
    {
        reader.Read();
        return ChoiceListHere<T>(ref reader);
    }

    public static IReadOnlyList<T>? ChoiceListHere<T>(ref Utf8JsonReader reader)
        where T : struct, IQapiChoice<T> =>
        ListHere(ref reader, static (ref Utf8JsonReader item) => ChoiceHere<T>(ref item) ?? throw Null());

    public static IReadOnlyList<T>? ValueList<T>(ref Utf8JsonReader reader)
        where T : class, IQapiValue<T>
    {
        reader.Read();
        return ValueListHere<T>(ref reader);
    }

    public static IReadOnlyList<T>? ValueListHere<T>(ref Utf8JsonReader reader)
        where T : class, IQapiValue<T> =>
        ListHere(ref reader, static (ref Utf8JsonReader item) => T.Read(ref item));

    private static List<T>? ListHere<T>(ref Utf8JsonReader reader, ItemReader<T> read)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return null;
        }

        if (reader.TokenType != JsonTokenType.StartArray)
        {
            throw Unexpected(ref reader, "A list");
        }

        List<T> items = [];
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            items.Add(read(ref reader));
        }

        return items;
    }

    private static JsonException Missing(string type, string member) => new($"{type} lacks '{member}'.");

    private static JsonException Null() => new("A list has a null in it.");

    private delegate T ItemReader<T>(ref Utf8JsonReader reader);
}
