using System.Globalization;
using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>The document alone: what it reads, keeps, refuses and writes.</summary>
public sealed class XlConfigDocumentTests
{
    private const string Foreign = """
        # A guest of somebody else.
        name = 'web "1"'
          memory=0x200;	vcpus = 010
        disk = [ 'phy:/dev/vg/web,xvda,w',   # the system
                 "format=qcow2, vdev=xvdb, access=ro, target=/srv/a,b c.qcow2" , ]
        vif=['']; acme_policy = "keep me" # theirs
        nested = [ [ 1, "two" ], [ ] ]

        vcpus = 3
        extra = "console=hvc0" ; extra += " quiet"
        on_crash = "restart"
        """;

    [Fact]
    public void What_is_not_changed_is_written_as_it_was_read() => Assert.Equal(Foreign, XlConfigDocument.Parse(Foreign).ToString());

    [Fact]
    public void Every_setting_is_read_by_its_last_value()
    {
        var document = XlConfigDocument.Parse(Foreign);

        Assert.Equal("web \"1\"", document.FindText("name"));
        Assert.Equal(512, document.FindNumber("memory"));
        Assert.Equal(3, document.FindNumber("vcpus"));
        Assert.Equal(["phy:/dev/vg/web,xvda,w", "format=qcow2, vdev=xvdb, access=ro, target=/srv/a,b c.qcow2"], document.FindTexts("disk"));
        Assert.Equal([""], document.FindTexts("vif"));
        Assert.Equal("console=hvc0 quiet", document.FindText("extra"));
        Assert.Equal(XlConfigValue.FromItems(XlConfigValue.FromItems(1, "two"), XlConfigValue.FromItems()), document.Find("nested"));
        Assert.Null(document.Find("kernel"));
        Assert.Equal(
            ["name", "memory", "vcpus", "disk", "vif", "acme_policy", "nested", "vcpus", "extra", "extra", "on_crash"],
            document.Settings.Select(setting => setting.Key));
        Assert.Equal([2, 3, 3, 4, 6, 6, 7, 9, 10, 10, 11], document.Settings.Select(setting => setting.Line));
    }

    [Fact]
    public void A_change_touches_its_setting_only()
    {
        var document = XlConfigDocument.Parse(Foreign);

        document.Set("vcpus", 4);
        document.Set("acme_policy", "it \"is\" \\ mine");
        document.Set("vnc", 1);
        Assert.True(document.Remove("extra"));
        Assert.False(document.Remove("extra"));

        Assert.Equal(
            """
            # A guest of somebody else.
            name = 'web "1"'
              memory=0x200;	vcpus = 4
            disk = [ 'phy:/dev/vg/web,xvda,w',   # the system
                     "format=qcow2, vdev=xvdb, access=ro, target=/srv/a,b c.qcow2" , ]
            vif=['']; acme_policy = "it \"is\" \\ mine" # theirs
            nested = [ [ 1, "two" ], [ ] ]

            on_crash = "restart"
            vnc = 1

            """,
            document.ToString());
        Assert.Equal(4, XlConfigDocument.Parse(document.ToString()).FindNumber("vcpus"));
    }

    [Theory]
    [InlineData("name = \"a\nb\"", 1, "a quoted text must end on its line")]
    [InlineData("\n\nname = \"a", 3, "a quoted text must be closed")]
    [InlineData("a=1\nname = \"a\\", 2, "a quoted text must be closed")]
    [InlineData("name = \"\\x41\"", 1, "the escapes of a text are")]
    [InlineData("name = \"\\101\"", 1, "the escapes of a text are")]
    [InlineData("name = \"\\q\"", 1, "the escapes of a text are")]
    [InlineData("name = \"a\0\"", 1, "a text cannot hold a NUL")]
    [InlineData("a = [\n1,\n2 3 ]", 3, "must be separated by commas")]
    [InlineData("a = [ 1,, 2 ]", 1, "a value must be a quoted text, a number or a list")]
    [InlineData("a = [ 1, 2", 1, "must be separated by commas and closed")]
    [InlineData("a = ", 1, "a value is missing")]
    [InlineData("a = b", 1, "a value must be a quoted text, a number or a list")]
    [InlineData("a = -1", 1, "a value must be a quoted text, a number or a list")]
    [InlineData("a = \n1", 1, "a value must be a quoted text, a number or a list")]
    [InlineData("a 1", 1, "'=' must follow the key")]
    [InlineData("Name = 1", 1, "its key in small letters")]
    [InlineData("a = 1 b = 2", 1, "must end with the line or a semicolon")]
    [InlineData("a = 1\r\n", 1, "must end with the line or a semicolon")]
    [InlineData("a = 1\n# the end", 2, "a comment must end with a line end")]
    [InlineData("a = \"x\"\na += [ 1 ]\n", 2, "+= cannot add a list to a text")]
    public void What_xl_refuses_is_refused_with_its_line(string text, int line, string rule)
    {
        var error = Assert.Throws<XlConfigException>(() => XlConfigDocument.Parse(text));

        Assert.Equal(line, error.Line);
        Assert.Contains(rule, error.Message, StringComparison.Ordinal);
        Assert.StartsWith(string.Create(CultureInfo.InvariantCulture, $"xl.cfg, line {line}: "), error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("vncpasswd = \"hunter2")]
    [InlineData("vncpasswd = \"hunter2\" hunter2")]
    [InlineData("vncpasswd = \"hunter2\\q\"")]
    [InlineData("vncpasswd = [ \"hunter2\" \"hunter2\" ]")]
    public void An_error_never_quotes_the_file(string text) =>
        Assert.DoesNotContain("hunter2", Assert.Throws<XlConfigException>(() => XlConfigDocument.Parse(text)).ToString(), StringComparison.Ordinal);

    [Theory]
    [InlineData("")]
    [InlineData("Name")]
    [InlineData("1a")]
    [InlineData("a-b")]
    [InlineData("a = 1\nb")]
    [InlineData("é")]
    public void A_key_that_is_none_is_refused(string key) =>
        Assert.Equal("key", Assert.Throws<InvalidFieldException>(() => new XlConfigDocument().Set(key, 1)).Field);

    [Theory]
    [InlineData("a\0b")]
    [InlineData("a\u0001b")]
    [InlineData("a\u007fb")]
    public void A_text_that_cannot_be_written_is_refused(string text) =>
        Assert.Equal("value", Assert.Throws<InvalidFieldException>(() => XlConfigValue.FromText(text)).Field);

    [Fact]
    public void Half_of_a_character_is_refused()
    {
        foreach (var text in (string[])["a\ud83e", "\udd80a", "\ud83e\ud83e\udd80", "\udd80\ud83e"])
        {
            Assert.Equal("value", Assert.Throws<InvalidFieldException>(() => XlConfigValue.FromText(text)).Field);
        }

        Assert.Equal("🦀", XlConfigValue.FromText("🦀").Text);
    }

    [Theory]
    [InlineData("0", 0L)]
    [InlineData("512", 512L)]
    [InlineData("0x1fF", 511L)]
    [InlineData("010", 8L)]
    [InlineData("-5", -5L)]
    [InlineData(" +7", 7L)]
    [InlineData("9223372036854775807", long.MaxValue)]
    [InlineData("-9223372036854775808", long.MinValue)]
    [InlineData("9223372036854775808", null)]
    [InlineData("08", null)]
    [InlineData("0x", null)]
    [InlineData("12a", null)]
    [InlineData("", null)]
    [InlineData("7 ", null)]
    [InlineData("1 2", null)]
    public void Numbers_are_those_of_strtol(string text, long? number) =>
        Assert.Equal(number, XlConfigValue.FromText(text).TryGetNumber(out var read) ? read : null);

    [Theory]
    [InlineData("5", "5")]
    [InlineData("05", "\"05\"")]
    [InlineData("-5", "\"-5\"")]
    [InlineData("1234567890123", "\"1234567890123\"")]
    [InlineData("a\"b\\c'd", "\"a\\\"b\\\\c'd\"")]
    [InlineData("a\nb\tc", "\"a\\nb\\tc\"")]
    [InlineData("", "\"\"")]
    public void Texts_are_quoted_and_plain_numbers_are_not(string text, string written)
    {
        Assert.Equal(written, XlConfigValue.FromText(text).ToString());
        Assert.Equal(text, XlConfigValue.Parse(written).Text);
    }

    [Fact]
    public void What_is_written_is_read_back()
    {
        var refused = 0;
        Gen.Select(Hostile.Text, Hostile.Text.Array[0, 5]).Sample(
            (text, items) =>
            {
                try
                {
                    var document = new XlConfigDocument();
                    document.AddComment(text);
                    document.Set("first", text);
                    document.Set("list", XlConfigValue.FromItems(items.Select(XlConfigValue.FromText)));
                    var read = XlConfigDocument.Parse(document.ToString());
                    Assert.Equal(text, read.FindText("first"));
                    Assert.Equal(items, read.FindTexts("list"));
                    Assert.Equal(2, read.Settings.Count());
                    Assert.Equal(document.ToString(), read.ToString());
                }
                catch (InvalidFieldException)
                {
                    Interlocked.Increment(ref refused);
                }
            },
            iter: 5_000);
        Assert.InRange(refused, 50, 4_950);
    }

    [Fact]
    public void Any_text_is_a_document_or_a_clear_error() => Hostile.Text.Sample(
        text =>
        {
            try
            {
                Assert.Equal(text, XlConfigDocument.Parse(text).ToString());
            }
            catch (XlConfigException error)
            {
                Assert.InRange(error.Line, 1, text.Count(character => character == '\n') + 1);
            }
        },
        iter: 5_000);

    [Fact]
    public void Lists_do_not_lie_deeper_than_the_stack()
    {
        var error = Assert.Throws<XlConfigException>(() => XlConfigDocument.Parse("a = " + new string('[', 100_000)));

        Assert.Contains("at most 16 deep", error.Message, StringComparison.Ordinal);
    }
}
