using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Pengx.Qapi;
using Pengx.Qmp.Qapi;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>The generated surface against the schema that it was made from: nothing is missing, and nothing is lost on the way.</summary>
public sealed class GeneratedSurfaceTests
{
    private static IReadOnlyDictionary<string, JsonObject> Entries => StoredFiles.Schema.Entries;

    [Fact]
    public void The_generated_code_is_what_the_generator_makes_of_the_data()
    {
        IReadOnlyDictionary<string, string> expected = StoredFiles.Generator().Generate();
        string folder = Path.Combine(StoredFiles.Folder, "Generated");
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), Directory.GetFiles(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));
        foreach ((string name, string text) in expected)
        {
            Assert.True(text == File.ReadAllText(Path.Combine(folder, name)), $"{name} is not what eng/qapi.sh makes: run it, and change the generator rather than its output.");
        }
    }

    [Fact]
    public void The_stored_schema_is_what_this_qemu_says()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        string now = StoredSchema.Query("qemu-system-x86_64");
        string version = StoredSchema.Parse(now).Version;
        Assert.SkipUnless(version == StoredFiles.Schema.Version, $"the stored schema is of QEMU {StoredFiles.Schema.Version}, and this is {version}");
        Assert.Equal(StoredFiles.SchemaText, now);
    }

    [Fact]
    public void Everything_the_schema_describes_is_typed_and_survives_the_round_trip()
    {
        SchemaSamples samples = new(Entries);
        string empty = (string)Entries["stop"]["arg-type"]!;
        List<string> roots = [];
        int commands = 0;
        int happenings = 0;
        int trips = 0;
        foreach ((string name, JsonObject entry) in Entries)
        {
            switch ((string)entry["meta-type"]!)
            {
                case "command":
                    object command = Named(typeof(QapiCommands), name);
                    Check((string)entry["arg-type"]!, (JsonTypeInfo)command.GetType().GetProperty("Arguments")!.GetValue(command)!, name);
                    Check((string)entry["ret-type"]!, (JsonTypeInfo)command.GetType().GetProperty("Result")!.GetValue(command)!, name);
                    commands++;
                    break;
                case "event":
                    object happening = Named(typeof(QapiEvents), name);
                    Check((string)entry["arg-type"]!, (JsonTypeInfo)happening.GetType().GetField("_data", BindingFlags.NonPublic | BindingFlags.Instance)!.GetValue(happening)!, name);
                    happenings++;
                    break;
            }
        }

        void Check(string type, JsonTypeInfo info, string name)
        {
            roots.Add(type);
            Assert.True((info.Type == typeof(QmpEmpty)) == (type == empty), $"{name}: {info.Type} stands for {type}.");
            foreach (JsonNode sample in type == empty ? [] : samples.Of(type))
            {
                string text = sample.ToJsonString();
                object? value = JsonSerializer.Deserialize(text, info);
                string back = JsonSerializer.Serialize(value, info);
                Assert.True(JsonNode.DeepEquals(JsonNode.Parse(text), JsonNode.Parse(back)), $"{name}:\n{text}\n{back}");
                trips++;
            }
        }

        samples.Shown.Add(empty);
        List<string> all = [.. samples.All(roots)];
        List<string> missing = [.. all.Where(part => !samples.Shown.Contains(part)).Order(StringComparer.Ordinal)];
        int unused = Entries.Values.Count(entry => (string?)entry["meta-type"] is not ("command" or "event")) - all.Count(Entries.ContainsKey);
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"QEMU {StoredFiles.Schema.Version}: {commands} of {Count("command")} commands, {happenings} of {Count("event")} events, {Shown(Entries.ContainsKey)} types "
            + $"(and {unused} that nothing refers to), {Shown(part => part.Contains('.', StringComparison.Ordinal))} members, {Shown(part => part.Contains('+', StringComparison.Ordinal))} branches, "
            + $"{Shown(part => part.Contains('^', StringComparison.Ordinal))} enum values, {Shown(part => part.Contains('|', StringComparison.Ordinal))} alternatives, in {trips} round trips");
        int Count(string kind) => Entries.Values.Count(entry => (string?)entry["meta-type"] == kind);
        string Shown(Func<string, bool> kind) => $"{all.Where(kind).Count(samples.Shown.Contains)} of {all.Count(kind)}";
        Assert.Empty(missing);
        Generator generator = StoredFiles.Generator();
        generator.Generate();
        string[] shapes = [.. Entries.Values.Where(entry => (string?)entry["meta-type"] is "object" or "enum" or "alternate").Select(entry => (string)entry["name"]!).Where(type => type != empty)];
        Assert.Empty(shapes.Except(generator.Typed));
        Assert.Equal(216, commands);
        Assert.Equal(52, happenings);
    }

    [Fact]
    public void Nothing_is_generated_that_the_schema_lacks()
    {
        Assert.Equal(Entries.Values.Where(entry => (string?)entry["meta-type"] == "command").Select(entry => (string)entry["name"]!).Order(StringComparer.Ordinal), Names(typeof(QapiCommands)));
        Assert.Equal(Entries.Values.Where(entry => (string?)entry["meta-type"] == "event").Select(entry => (string)entry["name"]!).Order(StringComparer.Ordinal), Names(typeof(QapiEvents)));
    }

    private static IEnumerable<string> Names(Type type) =>
        type.GetProperties(BindingFlags.Public | BindingFlags.Static).Select(property => property.GetValue(null)!.ToString()!).Order(StringComparer.Ordinal);

    private static object Named(Type type, string name) =>
        type.GetProperties(BindingFlags.Public | BindingFlags.Static).Select(property => property.GetValue(null)!).First(value => value.ToString() == name);
}
