using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Qmp;

/// <summary>
/// What a running QEMU says about its own commands, events and types (<c>query-qmp-schema</c>): the only sound answer to "does it
/// have that?", since distributions add to a version and leave out of it. Immutable; one for the life of a QEMU is enough.
/// </summary>
/// <remarks>
/// A path leads from a command or an event to a detail, with <c>/</c> between its steps: <c>arg-type</c> or <c>ret-type</c> first
/// (<c>arg-type</c> is assumed where neither stands there), then the name of a member, <c>+case</c> for a branch of a union,
/// <c>^value</c> for a value of an enum, and <c>$feature</c> at the end for a feature of what the path leads to. Lists are
/// stepped through, and of an alternate every alternative is tried. Examples: <c>arg-type/copy-mode/^write-blocking</c>,
/// <c>+qcow2/discard-no-unref</c>, <c>$deprecated</c>.
/// </remarks>
public sealed class QmpSchema
{
    private readonly SchemaTables _tables;

    private QmpSchema(SchemaTables tables) => _tables = tables;

    /// <summary>The command that asks a QEMU for its schema.</summary>
    public static QmpCommand<QmpEmpty, QmpSchema> Query { get; } = new(
        "query-qmp-schema",
        QmpJsonContext.Default.QmpEmpty,
        JsonMetadataServices.CreateValueInfo<QmpSchema>(new JsonSerializerOptions { MaxDepth = 1024, TypeInfoResolver = JsonTypeInfoResolver.Combine() }, new Converter()));

    /// <summary>The names of all commands, sorted.</summary>
    public IReadOnlyList<string> Commands => field ??= _tables.Names(SchemaKind.Command);

    /// <summary>The names of all events, sorted.</summary>
    public IReadOnlyList<string> Events => field ??= _tables.Names(SchemaKind.Event);

    /// <summary>Asks a QEMU.</summary>
    /// <param name="client">The session.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpException">See <see cref="IQmpClient.ExecuteAsync"/>.</exception>
    public static Task<QmpSchema> QueryAsync(IQmpClient client, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        return client.ExecuteAsync(Query, QmpEmpty.Instance, cancellationToken);
    }

    /// <summary>Reads a reply that was kept.</summary>
    /// <param name="reply">What <c>query-qmp-schema</c> returned: a JSON array, in UTF-8.</param>
    /// <exception cref="JsonException">It is not such a reply.</exception>
    public static QmpSchema Parse(ReadOnlySpan<byte> reply)
    {
        Utf8JsonReader reader = new(reply, new JsonReaderOptions { MaxDepth = 1024 });
        reader.Read();
        return Read(ref reader);
    }

    /// <summary>Whether there is a command or an event of this name.</summary>
    /// <param name="name">The name, as QEMU spells it.</param>
    public bool Supports(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _tables.FindRoot(name) >= 0;
    }

    /// <summary>Whether a command or an event has a detail, such as an argument.</summary>
    /// <param name="name">The name, as QEMU spells it.</param>
    /// <param name="path">The detail; see the remarks on <see cref="QmpSchema"/>.</param>
    public bool Supports(string name, string path)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(path);
        return _tables.Find(name, path, out _);
    }

    /// <summary>The features of a command, an event or a detail, such as <c>deprecated</c>; empty if there are none, or no such thing.</summary>
    /// <param name="name">The name, as QEMU spells it.</param>
    /// <param name="path">The detail; empty for the command or the event itself. See the remarks on <see cref="QmpSchema"/>.</param>
    public IReadOnlyList<string> Features(string name, string path = "")
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(path);
        return _tables.Find(name, path, out SchemaRange features) ? _tables.Texts(features) : [];
    }

    /// <summary>Whether QEMU marks a command, an event or a detail as going away.</summary>
    /// <param name="name">The name, as QEMU spells it.</param>
    /// <param name="path">The detail; empty for the command or the event itself.</param>
    public bool IsDeprecated(string name, string path = "") => HasFeature(name, path, "deprecated");

    /// <summary>Whether QEMU marks a command, an event or a detail as not to be relied on.</summary>
    /// <param name="name">The name, as QEMU spells it.</param>
    /// <param name="path">The detail; empty for the command or the event itself.</param>
    public bool IsUnstable(string name, string path = "") => HasFeature(name, path, "unstable");

    /// <summary>Whether a command may be executed out of band.</summary>
    /// <param name="command">The name, as QEMU spells it.</param>
    public bool AllowsOutOfBand(string command)
    {
        ArgumentNullException.ThrowIfNull(command);
        return _tables.FindRoot(command) is >= 0 and int entity && _tables[entity].OutOfBand;
    }

    private bool HasFeature(string name, string path, string feature)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(path);
        return _tables.Find(name, path.Length == 0 ? $"${feature}" : $"{path}/${feature}", out _);
    }

    private static QmpSchema Read(ref Utf8JsonReader reader) => new(SchemaTables.Read(ref reader));

    private sealed class Converter : JsonConverter<QmpSchema>
    {
        public override QmpSchema Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => QmpSchema.Read(ref reader);

        public override void Write(Utf8JsonWriter writer, QmpSchema value, JsonSerializerOptions options) =>
            throw new NotSupportedException("A schema is only read.");
    }
}
