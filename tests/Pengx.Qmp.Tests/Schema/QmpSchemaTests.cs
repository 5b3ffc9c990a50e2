using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pengx.Qmp.Tests;

/// <summary>The schema at run time, against the stored reply of a real QEMU.</summary>
public sealed class QmpSchemaTests
{
    private static readonly QmpSchema s_schema = QmpSchema.Parse(StoredFiles.Reply());

    [Theory]
    [InlineData("blockdev-mirror", "", true)]
    [InlineData("blockdev-mirror", "arg-type", true)]
    [InlineData("blockdev-mirror", "arg-type/copy-mode", true)]
    [InlineData("blockdev-mirror", "copy-mode", true)]
    [InlineData("blockdev-mirror", "arg-type/copy-mode/^write-blocking", true)]
    [InlineData("blockdev-mirror", "arg-type/copy-mode/^telepathic", false)]
    [InlineData("blockdev-mirror", "arg-type/copy-mode/write-blocking", false)]
    [InlineData("blockdev-mirror", "arg-type/target-is-zero", false)]
    [InlineData("blockdev-mirror", "ret-type/copy-mode", false)]
    [InlineData("block-job-change", "", false)]
    [InlineData("blockdev-add", "+qcow2/overlap-check/^all", true)]
    [InlineData("blockdev-add", "arg-type/+qcow2/file/+file/aio/^io_uring", true)]
    [InlineData("blockdev-add", "arg-type/+qcow2/discard-no-unref", false)]
    [InlineData("blockdev-add", "+warp", false)]
    [InlineData("blockdev-add", "driver/^nbd", true)]
    [InlineData("query-block", "ret-type/inserted/image/format-specific/+qcow2/data/bitmaps/name", true)]
    [InlineData("query-block", "ret-type/inserted/image/backing-image/backing-image/filename", true)]
    [InlineData("SHUTDOWN", "reason/^guest-reset", true)]
    [InlineData("SHUTDOWN", "arg-type/reason", true)]
    [InlineData("SHUTDOWN", "ret-type", false)]
    [InlineData("query-status", "ret-type/singlestep", true)]
    [InlineData("query-status", "ret-type/singlestep/more", false)]
    [InlineData("query-status", "ret-type/", true)]
    [InlineData("query-status", "ret-type//", false)]
    [InlineData("str", "", false)]
    [InlineData("1", "", false)]
    [InlineData("", "", false)]
    [InlineData("drive-backup", "$deprecated", true)]
    [InlineData("blockdev-backup", "$deprecated", false)]
    [InlineData("object-add", "+memory-backend-epc/$unstable", false)]
    [InlineData("query-block", "ret-type/inserted/backing_file_depth/$deprecated", false)]
    public void A_path_is_there_or_not(string name, string path, bool expected) => Assert.Equal(expected, s_schema.Supports(name, path));

    [Fact]
    public void Names_are_found_and_listed()
    {
        Assert.True(s_schema.Supports("blockdev-mirror"));
        Assert.True(s_schema.Supports("JOB_STATUS_CHANGE"));
        Assert.False(s_schema.Supports("blockdev-mirro"));
        Assert.False(s_schema.Supports(new string('x', 1000)));
        Assert.Equal(216, s_schema.Commands.Count);
        Assert.Equal(52, s_schema.Events.Count);
        Assert.Equal(Of("command"), s_schema.Commands);
        Assert.Equal(Of("event"), s_schema.Events);
        Assert.Equal(["migrate-pause", "migrate-recover", "query-yank", "yank"], s_schema.Commands.Where(s_schema.AllowsOutOfBand));

        static IEnumerable<string> Of(string kind) => StoredFiles.Schema.Entries.Values
            .Where(entry => (string?)entry["meta-type"] == kind).Select(entry => (string)entry["name"]!).Order(StringComparer.Ordinal);
    }

    [Fact]
    public void Features_of_commands_arguments_and_values_are_told()
    {
        Assert.Equal(["json-cli", "json-cli-hotplug"], s_schema.Features("device_add").Order(StringComparer.Ordinal));
        Assert.Equal(["allow-write-only-overlay"], s_schema.Features("blockdev-snapshot"));
        Assert.Empty(s_schema.Features("no-such"));
        Assert.Empty(s_schema.Features("stop"));
        Assert.True(s_schema.IsDeprecated("nbd-server-add"));
        Assert.True(s_schema.IsDeprecated("block-commit", "arg-type/base"));
        Assert.False(s_schema.IsDeprecated("block-commit", "arg-type/base-node"));
        Assert.True(s_schema.IsUnstable("x-query-numa"));

        // Every mark in the data is found by its path.
        int marks = 0;
        foreach (JsonObject entry in StoredFiles.Schema.Entries.Values.Where(entry => (string?)entry["meta-type"] == "command"))
        {
            string name = (string)entry["name"]!;
            Assert.Equal(Texts(entry), s_schema.Features(name));
            foreach (JsonNode? member in StoredFiles.Schema.Entries[(string)entry["arg-type"]!]["members"]!.AsArray())
            {
                string path = $"arg-type/{(string)member!["name"]!}";
                Assert.True(s_schema.Supports(name, path), $"{name}/{path}");
                Assert.Equal(Texts(member), s_schema.Features(name, path));
                marks += Texts(member).Length;
            }
        }

        Assert.Equal(10, marks);

        static string[] Texts(JsonNode entry) => [.. (entry["features"]?.AsArray() ?? []).Select(feature => (string)feature!)];
    }

    [Fact]
    public void Older_and_newer_replies_are_read()
    {
        // Enums had only "values" before 6.2, which later ones have beside "members"; kinds and members may be added.
        QmpSchema schema = Parse("""
            [{"name":"c","meta-type":"command","arg-type":"o","ret-type":"o","new":{"x":[]}},
             {"members":[{"name":"old","type":"e"},{"type":"f","name":"both","since":[1]},{"name":"odd","type":"z"},{"name":"gone","type":"no-such"}],"meta-type":"object","name":"o"},
             {"name":"e","meta-type":"enum","values":["a","b"]},
             {"name":"f","meta-type":"enum","members":[{"name":"m"}],"values":["v"]},
             {"name":"z","meta-type":"tensor","rank":3},
             {"name":"\u006f2","meta-type":"command","arg-type":"o","ret-type":"o"}]
            """);
        Assert.True(schema.Supports("c", "old/^b"));
        Assert.True(schema.Supports("c", "both/^m"));
        Assert.False(schema.Supports("c", "both/^v"));
        Assert.True(schema.Supports("c", "odd"));
        Assert.False(schema.Supports("c", "odd/x"));
        Assert.True(schema.Supports("c", "gone"));
        Assert.False(schema.Supports("c", "gone/x"));
        Assert.True(schema.Supports("o2"));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("7")]
    [InlineData("[7]")]
    [InlineData("[{}]")]
    [InlineData("""[{"name":7}]""")]
    [InlineData("""[{"name":"a","members":{}}]""")]
    [InlineData("""[{"name":"a","members":[7]}]""")]
    [InlineData("""[{"name":"a","features":[{}]}]""")]
    [InlineData("""[{"name":"a"}""")]
    public void What_is_no_schema_is_refused(string text) => Assert.ThrowsAny<JsonException>(() => Parse(text));

    [Fact]
    public void Many_names_are_told_apart()
    {
        StringBuilder text = new("[");
        for (int number = 0; number < 20000; number++)
        {
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"{(number == 0 ? "" : ",")}{{\"meta-type\":\"command\",\"name\":\"command-{number}\",\"arg-type\":\"a\",\"ret-type\":\"a\"}}");
        }

        QmpSchema schema = Parse(text.Append(']').ToString());
        Assert.Equal(20000, schema.Commands.Count);
        Assert.All(schema.Commands, name => Assert.True(schema.Supports(name)));
        Assert.False(schema.Supports("command-20000"));
    }

    private static QmpSchema Parse(string text) => QmpSchema.Parse(Encoding.UTF8.GetBytes(text));
}
