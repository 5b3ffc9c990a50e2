using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace Pengx.Client;

/// <summary>What came of an attempt to read an element.</summary>
internal enum ParseOutcome
{
    /// <summary>It was read.</summary>
    Read,

    /// <summary>It does not end within the bytes at hand.</summary>
    NeedsMore,

    /// <summary>It is malformed, over a limit, or XML that servers of this wire do not write: <see cref="System.Xml.XmlReader"/> shall judge.</summary>
    NotSimple,
}

/// <summary>
/// Reads the plain XML that this wire is made of straight from UTF-8: elements, at most one attribute each, text, comments and references.
/// It decides nothing that is in doubt: whatever is not certainly well-formed and plain is left to <see cref="System.Xml.XmlReader"/>, so that
/// no document is accepted here that would be refused there.
/// </summary>
/// <param name="limits">How much is read.</param>
/// <param name="reuse">Whether elements are those of a list, one of which is looked at after the other.</param>
internal sealed class Utf8ElementParser(XmlLimits limits, bool reuse)
{
    private static readonly SearchValues<byte> NameBytes = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."u8);

    // Neither control character nor markup nor beyond ASCII.
    private static readonly SearchValues<byte> PlainText = SearchValues.Create(
        "\t\n !\"#$%'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~>"u8);

    // The same without a bracket, so that what is forbidden in text (]]>) cannot be in it.
    private static readonly SearchValues<byte> PlainestText = SearchValues.Create(
        "\t\n !\"#$%'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\^_`abcdefghijklmnopqrstuvwxyz{|}~>"u8);

    private static readonly SearchValues<byte> PlainValue = SearchValues.Create(
        " !#$%()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"u8);

    private readonly List<WireElement> _elements = [];
    private readonly Stack<WireElement> _open = new();
    private readonly WireStrings? _strings = reuse ? new() : null;
    private readonly WireName?[] _names = new WireName?[WireName.Places];
    private int _used;

    /// <summary>Where the bytes that were read end.</summary>
    public int End { get; private set; }

    /// <summary>The element that was read; with reuse it is good until the next one is read.</summary>
    public WireElement Element { get; private set; } = null!;

    /// <summary>Reads the element whose <c>&lt;</c> is at <paramref name="start"/>.</summary>
    public ParseOutcome Read(byte[] source, int start, int end, int depth)
    {
        _open.Clear();
        if (reuse)
        {
            _used = 0;
        }

        var at = start;
        var count = 0;
        while (true)
        {
            // At a '<'.
            if (end - at < 2)
            {
                return ParseOutcome.NeedsMore;
            }

            if (source[at + 1] == '/')
            {
                var outcome = EndTag(source, ref at, end);
                if (outcome != ParseOutcome.Read)
                {
                    return outcome;
                }

                if (_open.Count == 0)
                {
                    End = at;
                    return ParseOutcome.Read;
                }
            }
            else if (source[at + 1] == '!')
            {
                var outcome = Comment(source, ref at, end);
                if (outcome != ParseOutcome.Read)
                {
                    return outcome;
                }
            }
            else
            {
                if (++count > limits.MaxElements || depth + _open.Count + 1 > limits.MaxDepth)
                {
                    return ParseOutcome.NotSimple;
                }

                if (Leaf(source, ref at, end))
                {
                    if (at < end && source[at] == '<')
                    {
                        continue;
                    }
                }
                else if (StartTag(source, ref at, end) is not ParseOutcome.Read and var outcome)
                {
                    return outcome;
                }

                if (_open.Count == 0)
                {
                    End = at;
                    return ParseOutcome.Read;
                }
            }

            var length = source.AsSpan(at, end - at).IndexOf((byte)'<');
            if (length < 0)
            {
                return ParseOutcome.NeedsMore;
            }

            if (length > 0 && !Text(source, at, length))
            {
                return ParseOutcome.NotSimple;
            }

            at += length;
        }
    }

    /// <summary>Passes over white space and comments between elements.</summary>
    public static ParseOutcome Skip(byte[] source, ref int at, int end)
    {
        while (true)
        {
            while (at < end && IsSpace(source[at]))
            {
                at++;
            }

            if (end - at < 2)
            {
                return at < end && source[at] != '<' ? ParseOutcome.NotSimple : ParseOutcome.NeedsMore;
            }

            if (source[at] != '<')
            {
                return ParseOutcome.NotSimple;
            }

            if (source[at + 1] != '!')
            {
                return ParseOutcome.Read;
            }

            var outcome = Comment(source, ref at, end);
            if (outcome != ParseOutcome.Read)
            {
                return outcome;
            }
        }
    }

    /// <summary>Passes over a byte order mark and a declaration that says nothing but UTF-8.</summary>
    public static ParseOutcome Prolog(byte[] source, ref int at, int end)
    {
        var rest = source.AsSpan(at, end - at);
        if (rest.Length < 8)
        {
            return ParseOutcome.NeedsMore;
        }

        if (rest.StartsWith("\ufeff"u8))
        {
            at += 3;
            rest = rest[3..];
        }

        if (!rest.StartsWith("<?"u8))
        {
            return ParseOutcome.Read;
        }

        var length = rest.IndexOf("?>"u8);
        if (length < 0)
        {
            return rest.Length > 200 ? ParseOutcome.NotSimple : ParseOutcome.NeedsMore;
        }

        at += length + 2;
        return IsPlainDeclaration(rest[..length]) ? ParseOutcome.Read : ParseOutcome.NotSimple;
    }

    /// <summary>Reads a start tag that is nothing but a name.</summary>
    public ParseOutcome OpenTag(byte[] source, ref int at, int end, out string name)
    {
        name = "";
        var rest = source.AsSpan(at + 1, end - at - 1);
        var length = rest.IndexOfAnyExcept(NameBytes);
        if (length < 0)
        {
            return rest.Length > 200 ? ParseOutcome.NotSimple : ParseOutcome.NeedsMore;
        }

        if (!IsName(rest[..length]) || rest[length] != '>')
        {
            return ParseOutcome.NotSimple;
        }

        name = Name(rest[..length]).Text;
        at += length + 2;
        return ParseOutcome.Read;
    }

    internal static bool IsSpace(byte value) => value is (byte)' ' or (byte)'\n' or (byte)'\t' or (byte)'\r';

    private static bool IsPlainDeclaration(ReadOnlySpan<byte> declaration)
    {
        ReadOnlySpan<byte> encoding;
        if (declaration.StartsWith("<?xml version=\"1.0\""u8))
        {
            encoding = " encoding=\"utf-8\""u8;
        }
        else if (declaration.StartsWith("<?xml version='1.0'"u8))
        {
            encoding = " encoding='utf-8'"u8;
        }
        else
        {
            return false;
        }

        var rest = declaration["<?xml version='1.0'"u8.Length..].TrimEnd((byte)' ');
        return rest.IsEmpty
            || (rest.Length == encoding.Length && rest.StartsWith(" encoding="u8) && rest[^1] == encoding[^1] && Ascii.EqualsIgnoreCase(rest, encoding));
    }

    private static bool IsName(ReadOnlySpan<byte> name) => name.Length > 0 && (char.IsAsciiLetter((char)name[0]) || name[0] == '_');

    private static ParseOutcome Comment(byte[] source, ref int at, int end)
    {
        var rest = source.AsSpan(at, end - at);
        if (!rest.StartsWith("<!--"u8))
        {
            return rest.Length < 4 && "<!--"u8.StartsWith(rest) ? ParseOutcome.NeedsMore : ParseOutcome.NotSimple;
        }

        var length = rest[4..].IndexOf("--"u8);
        if (length < 0 || rest.Length < length + 7)
        {
            return ParseOutcome.NeedsMore;
        }

        if (rest[length + 6] != '>' || rest.Slice(4, length).IndexOfAnyExcept(PlainText) >= 0)
        {
            return ParseOutcome.NotSimple;
        }

        at += length + 7;
        return ParseOutcome.Read;
    }

    /// <summary>
    /// Reads a whole element without attribute and without elements in it, if it is the one that stood in its place in the item before:
    /// then nothing needs to be looked up. False where it is anything else.
    /// </summary>
    private bool Leaf(byte[] source, ref int at, int end)
    {
        if (_used >= _elements.Count || !_open.TryPeek(out var parent))
        {
            return false;
        }

        var name = _elements[_used].WireName;
        var tag = name.Utf8.AsSpan();
        var rest = source.AsSpan(at + 1, end - at - 1);
        if (rest.Length <= tag.Length || rest[tag.Length] != '>' || !rest.StartsWith(tag))
        {
            return false;
        }

        var start = tag.Length + 1;
        var length = rest[start..].IndexOfAnyExcept(PlainestText);
        if (length < 0)
        {
            return false;
        }

        var close = rest[(start + length)..];
        if (close.Length < tag.Length + 3 || close[0] != '<' || close[1] != '/' || close[tag.Length + 2] != '>' || !close[2..].StartsWith(tag))
        {
            return false;
        }

        var element = Take(name, source);
        parent.Add(element, name.Place);
        var stop = start + length;
        while (start < stop && IsSpace(rest[start]))
        {
            start++;
        }

        while (stop > start && IsSpace(rest[stop - 1]))
        {
            stop--;
        }

        element.SetText(at + 1 + start, stop - start);
        at += 1 + tag.Length + 1 + length + tag.Length + 3;
        return true;
    }

    private ParseOutcome StartTag(byte[] source, ref int at, int end)
    {
        var rest = source.AsSpan(at + 1, end - at - 1);
        WireName name;
        int length;
        if (_used < _elements.Count && _elements[_used].WireName is var before && rest.Length > before.Utf8.Length
            && (IsSpace(rest[before.Utf8.Length]) || rest[before.Utf8.Length] == '>') && rest.StartsWith(before.Utf8))
        {
            (name, length) = (before, before.Utf8.Length);
        }
        else
        {
            length = rest.IndexOfAnyExcept(NameBytes);
            if (length < 0)
            {
                return ParseOutcome.NeedsMore;
            }

            if (!IsName(rest[..length]))
            {
                return ParseOutcome.NotSimple;
            }

            name = Name(rest[..length]);
        }

        var element = Take(name, source);
        var next = length;
        if (IsSpace(rest[next]))
        {
            var outcome = Attribute(rest, ref next, at + 1, element);
            if (outcome != ParseOutcome.Read)
            {
                return outcome;
            }
        }

        if (next >= rest.Length || (rest[next] == '/' && next + 1 >= rest.Length))
        {
            return ParseOutcome.NeedsMore;
        }

        if (_open.TryPeek(out var parent))
        {
            parent.Add(element, name.Place);
        }
        else
        {
            Element = element;
        }

        switch (rest[next])
        {
            case (byte)'>':
                _open.Push(element);
                at += next + 2;
                return ParseOutcome.Read;
            case (byte)'/' when rest[next + 1] == '>':
                at += next + 3;
                return ParseOutcome.Read;
            default:
                return ParseOutcome.NotSimple;
        }
    }

    /// <summary>White space, at most one attribute, white space; <paramref name="next"/> then stands behind it.</summary>
    private static ParseOutcome Attribute(ReadOnlySpan<byte> rest, ref int next, int offset, WireElement element)
    {
        SkipSpace(rest, ref next);
        if (next >= rest.Length)
        {
            return ParseOutcome.NeedsMore;
        }

        if (rest[next] is (byte)'>' or (byte)'/')
        {
            return ParseOutcome.Read;
        }

        var length = rest[next..].IndexOfAnyExcept(NameBytes);
        if (length < 0 || next + length + 1 >= rest.Length)
        {
            return ParseOutcome.NeedsMore;
        }

        var name = rest.Slice(next, length);
        next += length;
        if (!IsName(name) || name.StartsWith("xml"u8) || rest[next] != '=' || rest[next + 1] is not ((byte)'"' or (byte)'\''))
        {
            return ParseOutcome.NotSimple;
        }

        var quote = rest[next + 1];
        next += 2;
        length = rest[next..].IndexOf(quote);
        if (length < 0)
        {
            return ParseOutcome.NeedsMore;
        }

        if (rest.Slice(next, length).IndexOfAnyExcept(PlainValue) >= 0)
        {
            return ParseOutcome.NotSimple;
        }

        if (name.SequenceEqual("id"u8))
        {
            var (start, stop) = (next, next + length);
            while (start < stop && rest[start] == ' ')
            {
                start++;
            }

            while (stop > start && rest[stop - 1] == ' ')
            {
                stop--;
            }

            element.SetId(offset + start, stop - start);
        }

        next += length + 1;
        SkipSpace(rest, ref next);
        return ParseOutcome.Read;
    }

    private static void SkipSpace(ReadOnlySpan<byte> rest, ref int next)
    {
        while (next < rest.Length && IsSpace(rest[next]))
        {
            next++;
        }
    }

    private ParseOutcome EndTag(byte[] source, ref int at, int end)
    {
        if (!_open.TryPeek(out var element))
        {
            return ParseOutcome.NotSimple;
        }

        var name = element.WireName.Utf8;
        var rest = source.AsSpan(at + 2, end - at - 2);
        if (rest.Length <= name.Length)
        {
            return ParseOutcome.NeedsMore;
        }

        if (!rest.StartsWith(name) && !(reuse && IsPrintedSlip(name, rest, element)))
        {
            return ParseOutcome.NotSimple;
        }

        var next = name.Length;
        SkipSpace(rest, ref next);
        if (next >= rest.Length)
        {
            return ParseOutcome.NeedsMore;
        }

        if (rest[next] != '>')
        {
            return ParseOutcome.NotSimple;
        }

        _open.Pop();
        at += next + 3;
        return ParseOutcome.Read;
    }

    /// <summary>
    /// The reference prints <c>&lt;os_arch&gt;X64&lt;/os_type&gt;</c> in its list of machines, which a server that follows it to the letter sends. Of all
    /// mismatched tags this one is read, in lists only: what it means is certain.
    /// </summary>
    private static bool IsPrintedSlip(ReadOnlySpan<byte> name, ReadOnlySpan<byte> rest, WireElement element) =>
        name.SequenceEqual("os_arch"u8) && rest.StartsWith("os_type"u8) && element.Children.Count == 0;

    /// <summary>One run of text; false where it is not simple.</summary>
    private bool Text(byte[] source, int start, int length)
    {
        var end = start + length;
        while (start < end && IsSpace(source[start]))
        {
            start++;
        }

        while (end > start && IsSpace(source[end - 1]))
        {
            end--;
        }

        if (start == end)
        {
            return true;
        }

        var element = _open.Peek();
        if (element.HasText)
        {
            return false;
        }

        var text = source.AsSpan(start, end - start);
        if (text.IndexOfAnyExcept(PlainText) < 0)
        {
            if (text.IndexOf("]]>"u8) >= 0)
            {
                return false;
            }

            element.SetText(start, text.Length);
            return true;
        }

        if (Decode(text) is not { } decoded)
        {
            return false;
        }

        decoded = decoded.Trim();
        element.Text = decoded.Length == 0 ? null : decoded;

        // What is white space beyond ASCII only is none: but then a second run would not be noticed.
        return decoded.Length > 0;
    }

    /// <summary>Text beyond plain ASCII, with its references; null where it is not simple.</summary>
    private static string? Decode(ReadOnlySpan<byte> utf8)
    {
        if (!Utf8.IsValid(utf8))
        {
            return null;
        }

        var text = Encoding.UTF8.GetString(utf8);
        if (text.Contains('\r', StringComparison.Ordinal) || text.Contains("]]>", StringComparison.Ordinal) || WireText.FirstBad(text, 0) >= 0)
        {
            return null;
        }

        if (!text.Contains('&', StringComparison.Ordinal))
        {
            return text;
        }

        var decoded = new StringBuilder(text.Length);
        for (var at = 0; at < text.Length; at++)
        {
            if (text[at] != '&')
            {
                decoded.Append(text[at]);
                continue;
            }

            var end = text.IndexOf(';', at);
            if (end < 0 || Reference(text.AsSpan(at + 1, end - at - 1)) is not { } rune)
            {
                return null;
            }

            decoded.Append(rune.ToString());
            at = end;
        }

        return decoded.ToString();
    }

    private static Rune? Reference(ReadOnlySpan<char> name)
    {
        switch (name)
        {
            case "amp":
                return new('&');
            case "lt":
                return new('<');
            case "gt":
                return new('>');
            case "quot":
                return new('"');
            case "apos":
                return new('\'');
        }

        if (!name.StartsWith("#", StringComparison.Ordinal) || name.Length > 8)
        {
            return null;
        }

        var known = name[1..].StartsWith("x", StringComparison.Ordinal)
            ? int.TryParse(name[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value)
            : int.TryParse(name[1..], NumberStyles.None, CultureInfo.InvariantCulture, out value);
        return known && Rune.IsValid(value) && value is (>= 0x20 and not 0xFFFE and not 0xFFFF) or 0x9 or 0xA or 0xD ? new Rune(value) : null;
    }

    private WireElement Take(WireName name, byte[] source)
    {
        if (!reuse)
        {
            // The element belongs to the tree that is given out.
            var element = new WireElement(name);
            element.Reset(name, source, null);
            return element;
        }

        if (_used == _elements.Count)
        {
            _elements.Add(new WireElement(name));
        }

        var taken = _elements[_used++];
        taken.Reset(name, source, _strings);
        return taken;
    }

    /// <summary>The names of a document are few: each is made once.</summary>
    private WireName Name(ReadOnlySpan<byte> name)
    {
        ref var known = ref _names[WireName.PlaceOf(name)];
        if (known is null || !name.SequenceEqual(known.Utf8))
        {
            known = new WireName(name);
        }

        return known;
    }
}
