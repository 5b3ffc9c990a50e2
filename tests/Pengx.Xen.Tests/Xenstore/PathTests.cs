using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>The rules of paths, held against every text.</summary>
public sealed class PathTests
{
    private static readonly Gen<string> s_part = Gen.String[Gen.Char["abcXYZ019-_@"], 1, 12];

    private static readonly Gen<string> s_valid =
        Gen.Select(s_part.Array[1, 8], Gen.Bool).Select((parts, isAbsolute) => (isAbsolute ? "/" : "r") + string.Join('/', parts));

    [Theory]
    [InlineData("/")]
    [InlineData("/local/domain/0")]
    [InlineData("device/vbd/51712")]
    [InlineData("a@b")]
    [InlineData("@introduceDomain")]
    [InlineData("@releaseDomain")]
    [InlineData("@releaseDomain/65535")]
    public void A_valid_path_is_taken(string text)
    {
        Assert.Equal(text, XenstorePath.Parse(text).Value);
        Assert.True(XenstorePath.TryParse(text, out var path));
        Assert.Equal((text[0] == '/', text[0] == '@'), (path.IsAbsolute, path.IsSpecial));
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("//a", "two slashes")]
    [InlineData("/a//b", "two slashes")]
    [InlineData("/a/", "ends with a slash")]
    [InlineData("/a b", "character 3")]
    [InlineData("/caf\u00e9", "character 5")]
    [InlineData("/a\0", "character 3")]
    [InlineData("/a:b", "character 3")]
    [InlineData("@other", "only @introduceDomain")]
    [InlineData("@releaseDomain/x", "only @introduceDomain")]
    [InlineData("@releaseDomain/65536", "only @introduceDomain")]
    [InlineData("@introduceDomain/1", "only @introduceDomain")]
    public void An_invalid_path_is_refused_with_its_rule(string text, string rule)
    {
        Assert.False(XenstorePath.TryParse(text, out _));
        var error = Assert.Throws<ArgumentException>(() => XenstorePath.Parse(text));
        Assert.Contains(rule, error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => (XenstorePath)text);
    }

    [Fact]
    public void Lengths_are_limited_to_what_the_protocol_takes()
    {
        Assert.Equal(3072, XenstorePath.Parse("/" + new string('a', 3071)).Value.Length);
        Assert.Contains("3072", Assert.Throws<ArgumentException>(() => XenstorePath.Parse("/" + new string('a', 3072))).Message, StringComparison.Ordinal);
        Assert.Equal(2048, XenstorePath.Parse(new string('a', 2048)).Value.Length);
        Assert.Contains("2048", Assert.Throws<ArgumentException>(() => XenstorePath.Parse(new string('a', 2049))).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => default(XenstorePath).Value);
        Assert.Throws<ArgumentNullException>(() => XenstorePath.Parse(null!));
    }

    [Fact]
    public void Whatever_is_accepted_keeps_every_rule_and_whatever_keeps_them_is_accepted() =>
        Gen.String[Gen.Char["ab1-_@/ .\0\u00e9:"], 0, 12].Sample(text =>
        {
            var keeps = text.Length > 0
                && text.All(character => char.IsAsciiLetterOrDigit(character) || "-/_@".Contains(character, StringComparison.Ordinal))
                && !text.Contains("//", StringComparison.Ordinal)
                && (text == "/" || !text.EndsWith('/'))
                && text[0] != '@';
            return XenstorePath.TryParse(text, out _) == keeps;
        });

    [Fact]
    public void Parts_and_parents_fit_together() =>
        Gen.Select(s_valid, s_part).Sample((text, part) =>
        {
            var path = XenstorePath.Parse(text);
            var below = path / part;
            return below.Parent == path && below.Name == part && path.Contains(below) && !below.Contains(path) && path.Contains(path)
                && XenstorePath.Root.Contains(below) == path.IsAbsolute && below.CompareTo(path) > 0;
        });

    [Fact]
    public void The_top_has_no_parent_and_joins_without_a_second_slash()
    {
        Assert.Null(XenstorePath.Root.Parent);
        Assert.Equal("/a", (XenstorePath.Root / "a").Value);
        Assert.Equal(XenstorePath.Root, (XenstorePath.Root / "a").Parent);
        Assert.Null(XenstorePath.Parse("a").Parent);
        Assert.False(XenstorePath.Parse("/ab").Contains("/abc"));
        Assert.Equal("/local/domain/7", XenstorePath.OfDomain(7).Value);
        Assert.Throws<ArgumentOutOfRangeException>(() => XenstorePath.OfDomain(-1));
    }

    [Fact]
    public void Values_are_bytes_and_text_and_numbers()
    {
        Gen.Long.Sample(number => XenstoreValue.FromInt64(number).TryGetInt64(out var read) && read == number);
        Gen.String.AlphaNumeric.Sample(text => ((XenstoreValue)text).ToString() == text && (XenstoreValue)text == new XenstoreValue(System.Text.Encoding.UTF8.GetBytes(text)));
        Assert.False(((XenstoreValue)"12 ").TryGetInt64(out _));
        Assert.False(XenstoreValue.Empty.TryGetInt64(out _));
        Assert.True(XenstoreValue.Empty.IsEmpty);
    }
}
