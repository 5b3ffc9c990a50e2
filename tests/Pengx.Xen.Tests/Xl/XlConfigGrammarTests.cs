using System.Text.Json;
using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>Our reader and writer beside the real xl.</summary>
public sealed class XlConfigGrammarTests
{
    private const string Head = "name=\"x\"\ntype=\"pv\"\nkernel=\"/k\"\nmemory=1\n";

    private static readonly string[] s_tokens =
    [
        "cmdline", "bootloader_args", "foo.bar_1", "=", "=", "=", "+=", "\"text\"", "'a\"b'", "\"a\\\"b\"", "\"\\n\\t\\\\\"", "\"\\q\"", "\"open", "12", "0x1f", "1g", "[", "]", "[ ", " ]",
        ",", ", ", ";", "\n", "\n", "\n", " ", "\t", "\r", "# comment\n", "# no end", "(", "-", "\"é漢\"", "cmdline = \"x\"\n", "bootloader_args = [ \"a\", 'b' ]\n", "bootloader_args += [ 7, ]\n",
        "cmdline += ' y'\n",
    ];

    public XlConfigGrammarTests() => XenTools.Require();

    [Fact]
    public async Task Xl_reads_every_text_that_is_written()
    {
        int taken = 0, refused = 0;
        await Gen.Select(Hostile.Text, Hostile.Text.Array[0, 12]).SampleAsync(
            async (text, items) =>
            {
                string written;
                try
                {
                    var document = XlConfigDocument.Parse(Head);
                    document.AddComment(text);
                    document.Set("cmdline", text);
                    document.Set("bootloader_args", XlConfigValue.FromItems(items.Select(XlConfigValue.FromText)));
                    written = document.ToString();
                }
                catch (InvalidFieldException)
                {
                    Interlocked.Increment(ref refused);
                    return;
                }

                var (config, error) = await RealXl.ReadConfigAsync(written);
                Assert.True(config is not null, error);
                Assert.Equal(text, Build(config.Value, "cmdline").GetString());
                Assert.Equal(items, Texts(config.Value));
                Interlocked.Increment(ref taken);
            },
            iter: 120);
        Assert.True(taken >= 20 && refused >= 20, $"{taken} taken, {refused} refused");
    }

    [Fact]
    public async Task What_xl_reads_is_read_alike_and_what_it_refuses_is_refused()
    {
        int taken = 0, refused = 0;
        // One stray character at the very end is all that xl overlooks (see below): there, a line end follows.
        await Hostile.Pick(s_tokens).Array[0, 9].Select(tokens => string.Concat(tokens) is var soup && soup.Length > 0 && "\r(-\"'#".Contains(soup[^1], StringComparison.Ordinal) ? soup + "\n" : soup).SampleAsync(
            async soup =>
            {
                XlConfigDocument? document = null;
                try
                {
                    document = XlConfigDocument.Parse(Head + soup);
                }
                catch (XlConfigException)
                {
                }

                var (config, error) = await RealXl.ReadConfigAsync(Head + soup);
                Assert.True((document is null) == error.Contains("Failed to parse config", StringComparison.Ordinal), $"{JsonSerializer.Serialize(soup)}\nours: {(document is null ? "refused" : "read")}\nxl: {error}");
                if (document is null)
                {
                    Interlocked.Increment(ref refused);
                    return;
                }

                Assert.True(config is not null, error);
                if (document.FindText("cmdline") is { } text)
                {
                    Assert.Equal(text, Build(config.Value, "cmdline").GetString());
                }

                if (document.Find("bootloader_args")?.Items is { } items && items.All(item => !item.IsList))
                {
                    Assert.Equal(items.Select(item => item.Text), Texts(config.Value));
                }

                Interlocked.Increment(ref taken);
            },
            iter: 300);
        Assert.True(taken >= 30 && refused >= 30, $"{taken} taken, {refused} refused");
    }

    [Fact]
    public async Task Xl_overlooks_one_stray_character_at_the_very_end()
    {
        var (config, _) = await RealXl.ReadConfigAsync(Head + "#");

        Assert.NotNull(config);
        Assert.Throws<XlConfigException>(() => XlConfigDocument.Parse(Head + "#"));
    }

    // Why these escapes are neither written nor read: xl refuses the one and loses what the other stands for.
    [Fact]
    public async Task Xl_still_misreads_numeric_escapes()
    {
        var (hex, error) = await RealXl.ReadConfigAsync(Head + "cmdline = \"a\\x41b\"\n");
        Assert.Null(hex);
        Assert.Contains("invalid digit after backslash hex", error, StringComparison.Ordinal);

        var (octal, _) = await RealXl.ReadConfigAsync(Head + "cmdline = \"a\\101b\"\n");
        Assert.Equal("ab", Build(octal!.Value, "cmdline").GetString());
    }

    [Fact]
    public async Task The_last_value_of_a_key_holds_for_xl_too()
    {
        var (config, _) = await RealXl.ReadConfigAsync(Head + "cmdline = \"a\"\ncmdline = \"b\"\ncmdline += \"c\"\n");

        Assert.Equal("bc", Build(config!.Value, "cmdline").GetString());
        Assert.Equal("bc", XlConfigDocument.Parse("cmdline = \"a\"\ncmdline = \"b\"\ncmdline += \"c\"\n").FindText("cmdline"));
    }

    private static JsonElement Build(JsonElement config, string key) => config.GetProperty("b_info").GetProperty(key);

    private static string?[] Texts(JsonElement config) =>
        config.GetProperty("b_info").TryGetProperty("bootloader_args", out var items) ? items.EnumerateArray().Select(item => item.GetString()).ToArray() : [];
}
