using System.Text.Json;

namespace Pengx.Qmp.Qapi;

/// <summary>What the generated writers have in common: a member with its value, or nothing where there is none.</summary>
internal static class QapiWriter
{
    public static void Text(Utf8JsonWriter writer, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null)
        {
            writer.WriteString(name, value);
        }
    }

    public static void Int(Utf8JsonWriter writer, ReadOnlySpan<byte> name, long? value)
    {
        if (value is { } number)
        {
            writer.WriteNumber(name, number);
        }
    }

    public static void Unsigned(Utf8JsonWriter writer, ReadOnlySpan<byte> name, ulong? value)
    {
        if (value is { } number)
        {
            writer.WriteNumber(name, number);
        }
    }

    public static void Number(Utf8JsonWriter writer, ReadOnlySpan<byte> name, double? value)
    {
        if (value is { } number)
        {
            writer.WriteNumber(name, number);
        }
    }

    public static void Flag(Utf8JsonWriter writer, ReadOnlySpan<byte> name, bool? value)
    {
        if (value is { } flag)
        {
            writer.WriteBoolean(name, flag);
        }
    }

    public static void Any(Utf8JsonWriter writer, ReadOnlySpan<byte> name, JsonElement? value)
    {
        if (value is { } element)
        {
            writer.WritePropertyName(name);
            element.WriteTo(writer);
        }
    }

    public static void Choice<T>(Utf8JsonWriter writer, ReadOnlySpan<byte> name, T? value)
        where T : struct, IQapiChoice<T>
    {
        if (value is { } choice)
        {
            if (choice.Value.Length == 0)
            {
                throw new ArgumentException($"A {typeof(T).Name} was never set.");
            }

            writer.WriteString(name, choice.Value);
        }
    }

    public static void Value<T>(Utf8JsonWriter writer, ReadOnlySpan<byte> name, T? value)
        where T : class, IQapiValue<T>
    {
        if (value is not null)
        {
            writer.WritePropertyName(name);
            value.Write(writer);
        }
    }

    public static void TextList(Utf8JsonWriter writer, ReadOnlySpan<byte> name, IReadOnlyList<string>? values)
    {
        if (values is not null)
        {
            writer.WriteStartArray(name);
            foreach (string value in values)
            {
                writer.WriteStringValue(value);
            }

            writer.WriteEndArray();
        }
    }

    public static void IntList(Utf8JsonWriter writer, ReadOnlySpan<byte> name, IReadOnlyList<long>? values)
    {
        if (values is not null)
        {
            writer.WritePropertyName(name);
            IntListHere(writer, values);
        }
    }

    public static void UnsignedList(Utf8JsonWriter writer, ReadOnlySpan<byte> name, IReadOnlyList<ulong>? values)
    {
        if (values is not null)
        {
            writer.WritePropertyName(name);
            UnsignedListHere(writer, values);
        }
    }

    public static void ChoiceList<T>(Utf8JsonWriter writer, ReadOnlySpan<byte> name, IReadOnlyList<T>? values)
        where T : struct, IQapiChoice<T>
    {
        if (values is not null)
        {
            writer.WriteStartArray(name);
            foreach (T value in values)
            {
                writer.WriteStringValue(value.Value);
            }

            writer.WriteEndArray();
        }
    }

    public static void ValueList<T>(Utf8JsonWriter writer, ReadOnlySpan<byte> name, IReadOnlyList<T>? values)
        where T : class, IQapiValue<T>
    {
        if (values is not null)
        {
            writer.WriteStartArray(name);
            foreach (T value in values)
            {
                value.Write(writer);
            }

            writer.WriteEndArray();
        }
    }

    /// <summary>Writes members that have no property.</summary>
    public static void Other(Utf8JsonWriter writer, IReadOnlyDictionary<string, JsonElement>? members)
    {
        foreach ((string name, JsonElement value) in members ?? System.Collections.Frozen.FrozenDictionary<string, JsonElement>.Empty)
        {
            writer.WritePropertyName(name);
            value.WriteTo(writer);
        }
    }

    public static void TextHere(Utf8JsonWriter writer, string? value)
    {
        if (value is not null)
        {
            writer.WriteStringValue(value);
        }
    }

    public static void IntHere(Utf8JsonWriter writer, long? value)
    {
        if (value is { } number)
        {
            writer.WriteNumberValue(number);
        }
    }

    public static void UnsignedHere(Utf8JsonWriter writer, ulong? value)
    {
        if (value is { } number)
        {
            writer.WriteNumberValue(number);
        }
    }

    public static void FlagHere(Utf8JsonWriter writer, bool? value)
    {
        if (value is { } flag)
        {
            writer.WriteBooleanValue(flag);
        }
    }

    public static void ChoiceHere<T>(Utf8JsonWriter writer, T? value)
        where T : struct, IQapiChoice<T>
    {
        if (value is { } choice)
        {
            writer.WriteStringValue(choice.Value);
        }
    }

    public static void ValueHere<T>(Utf8JsonWriter writer, T? value)
        where T : class, IQapiValue<T> =>
        value?.Write(writer);

    public static void IntListHere(Utf8JsonWriter writer, IReadOnlyList<long>? values)
    {
        if (values is not null)
        {
            writer.WriteStartArray();
            foreach (long value in values)
            {
                writer.WriteNumberValue(value);
            }

            writer.WriteEndArray();
        }
    }

    public static void UnsignedListHere(Utf8JsonWriter writer, IReadOnlyList<ulong>? values)
    {
        if (values is not null)
        {
            writer.WriteStartArray();
            foreach (ulong value in values)
            {
                writer.WriteNumberValue(value);
            }

            writer.WriteEndArray();
        }
    }
}
