using System.Text.Json;

namespace Pengx.Qmp.Qapi;

/// <summary>A generated object, union or alternate: it reads and writes itself. Only generated types implement it; <see cref="QapiTypes"/> uses it.</summary>
/// <typeparam name="TSelf">The type itself.</typeparam>
public interface IQapiValue<TSelf>
    where TSelf : class, IQapiValue<TSelf>
{
    /// <summary>Whether JSON's null is one of its values.</summary>
    static virtual bool AcceptsNull => false;

    /// <summary>Reads a value; the reader stands on its first token and is left on its last.</summary>
    /// <param name="reader">The reader.</param>
    /// <exception cref="JsonException">The text does not fit the type.</exception>
    static abstract TSelf Read(ref Utf8JsonReader reader);

    /// <summary>Writes the value.</summary>
    /// <param name="writer">The writer.</param>
    void Write(Utf8JsonWriter writer);
}
