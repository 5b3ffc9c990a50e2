using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Qmp.Qapi;

/// <summary>
/// How the generated types are read and written by <see cref="JsonSerializer"/>, without reflection; for commands of your own that
/// use them, as in <c>new QmpCommand&lt;BlockdevOptions, QmpEmpty&gt;("x-new", QapiTypes.For&lt;BlockdevOptions&gt;(), QapiTypes.Empty)</c>.
/// </summary>
public static class QapiTypes
{
    private static readonly JsonSerializerOptions s_options = new() { MaxDepth = 1024, TypeInfoResolver = JsonTypeInfoResolver.Combine() };

    /// <summary>No arguments, or a result without content.</summary>
    public static JsonTypeInfo<QmpEmpty> Empty => QmpJsonContext.Default.QmpEmpty;

    internal static JsonTypeInfo<string> Text => QmpJsonContext.Default.String;

    internal static JsonTypeInfo<JsonElement> Any => QmpJsonContext.Default.JsonElement;

    /// <summary>A generated object, union or alternate.</summary>
    /// <typeparam name="T">The type.</typeparam>
    public static JsonTypeInfo<T> For<T>()
        where T : class, IQapiValue<T> =>
        Cache<T>.Info ??= JsonMetadataServices.CreateValueInfo<T>(s_options, new ValueConverter<T>());

    /// <summary>A list of generated objects, unions or alternates.</summary>
    /// <typeparam name="T">The type of one.</typeparam>
    public static JsonTypeInfo<IReadOnlyList<T>> ListOf<T>()
        where T : class, IQapiValue<T> =>
        Cache<IReadOnlyList<T>>.Info ??= JsonMetadataServices.CreateValueInfo<IReadOnlyList<T>>(s_options, new ListConverter<T>());

    internal static JsonTypeInfo<IReadOnlyList<T>> ChoiceList<T>()
        where T : struct, IQapiChoice<T> =>
        Cache<IReadOnlyList<T>>.Info ??= JsonMetadataServices.CreateValueInfo<IReadOnlyList<T>>(s_options, new ChoiceListConverter<T>());

    private static class Cache<T>
    {
        public static JsonTypeInfo<T>? Info { get; set; }
    }

    private sealed class ValueConverter<T> : JsonConverter<T>
        where T : class, IQapiValue<T>
    {
        public override bool HandleNull => T.AcceptsNull;

        public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => T.Read(ref reader);

        public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => value.Write(writer);
    }

    private sealed class ListConverter<T> : JsonConverter<IReadOnlyList<T>>
        where T : class, IQapiValue<T>
    {
        public override IReadOnlyList<T>? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => QapiReader.ValueListHere<T>(ref reader);

        public override void Write(Utf8JsonWriter writer, IReadOnlyList<T> value, JsonSerializerOptions options)
        {
            writer.WriteStartArray();
            foreach (T item in value)
            {
                item.Write(writer);
            }

            writer.WriteEndArray();
        }
    }

    private sealed class ChoiceListConverter<T> : JsonConverter<IReadOnlyList<T>>
        where T : struct, IQapiChoice<T>
    {
        public override IReadOnlyList<T>? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => QapiReader.ChoiceListHere<T>(ref reader);

        public override void Write(Utf8JsonWriter writer, IReadOnlyList<T> value, JsonSerializerOptions options)
        {
            writer.WriteStartArray();
            foreach (T item in value)
            {
                writer.WriteStringValue(item.Value);
            }

            writer.WriteEndArray();
        }
    }
}
