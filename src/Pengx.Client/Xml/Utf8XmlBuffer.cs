using System.Buffers;
using System.Text;

namespace Pengx.Client;

/// <summary>
/// A document in the making, in UTF-8 in one pooled array: elements of this wire need no more than names, ids and text. Twin of what
/// <see cref="System.Xml.XmlWriter"/> writes, without a string for each figure.
/// </summary>
internal sealed class Utf8XmlBuffer : IDisposable
{
    private const int LongestCharacter = 6;

    // What is copied as it is: printable ASCII, tabs and line feeds, without the three characters that mean something.
    private static readonly SearchValues<char> Plain = SearchValues.Create(
        "\t\n !\"#$%'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~");

    private byte[] _bytes;
    private string[] _open = new string[8];
    private int _depth;

    public Utf8XmlBuffer(int capacity) => _bytes = ArrayPool<byte>.Shared.Rent(capacity);

    /// <summary>How many bytes were written since the last <see cref="Clear"/>.</summary>
    public int Length { get; private set; }

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, Length);

    /// <summary>Whether a line feed is written as a character reference, so that everything is one line.</summary>
    public bool OneLine { get; init; }

    public void Declaration() => Append("<?xml version=\"1.0\" encoding=\"utf-8\"?>"u8);

    public void Open(string name)
    {
        BeginTag(name);
        Append((byte)'>');
    }

    /// <summary>Opens an element with an <c>id</c>.</summary>
    public void Open<T>(string name, T id)
        where T : IUtf8SpanFormattable
    {
        BeginTag(name);
        Append(" id=\""u8);
        Value(id, default);
        Append("\">"u8);
    }

    /// <summary>Opens an element with an empty <c>id</c>.</summary>
    public void OpenWithoutId(string name)
    {
        BeginTag(name);
        Append(" id=\"\">"u8);
    }

    public void Close()
    {
        Append("</"u8);
        Name(_open[--_depth]);
        Append((byte)'>');
    }

    public void Value<T>(T value, ReadOnlySpan<char> format)
        where T : IUtf8SpanFormattable
    {
        int written;
        while (!value.TryFormat(_bytes.AsSpan(Length), out written, format, System.Globalization.CultureInfo.InvariantCulture))
        {
            Grow(_bytes.Length);
        }

        Length += written;
    }

    /// <summary>Text, with what XML 1.0 cannot carry written as U+FFFD.</summary>
    public void Text(ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            var plain = text.IndexOfAnyExcept(Plain);
            plain = OneLine ? Least(plain, text.IndexOf('\n')) : plain;
            plain = plain < 0 ? text.Length : plain;
            Reserve(plain);
            Length += Encoding.ASCII.GetBytes(text[..plain], _bytes.AsSpan(Length));
            text = text[plain..];
            if (text.IsEmpty)
            {
                return;
            }

            text = text[Special(text)..];
        }
    }

    public void Append(ReadOnlySpan<byte> bytes)
    {
        Reserve(bytes.Length);
        bytes.CopyTo(_bytes.AsSpan(Length));
        Length += bytes.Length;
    }

    /// <summary>Forgets what was written, but not what is open.</summary>
    public void Clear() => Length = 0;

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = [];
        Length = 0;
    }

    private static int Least(int a, int b) => a < 0 || (b >= 0 && b < a) ? b : a;

    /// <summary>Writes the character in front, or the two of a pair; the number of them.</summary>
    private int Special(ReadOnlySpan<char> text)
    {
        switch (text[0])
        {
            case '&':
                Append("&amp;"u8);
                return 1;
            case '<':
                Append("&lt;"u8);
                return 1;
            case '>':
                Append("&gt;"u8);
                return 1;
            case '\r':
                Append("&#xD;"u8);
                return 1;
            case '\n':
                Append("&#xA;"u8);
                return 1;
        }

        var used = Rune.DecodeFromUtf16(text, out var rune, out var consumed) == OperationStatus.Done && IsXml(rune.Value) ? consumed : 0;
        Reserve(LongestCharacter);
        Length += (used > 0 ? rune : Rune.ReplacementChar).EncodeToUtf8(_bytes.AsSpan(Length));
        return used > 0 ? used : 1;
    }

    private static bool IsXml(int value) => value is >= 0x20 and not 0xFFFE and not 0xFFFF or 0x9 or 0xA or 0xD;

    private void BeginTag(string name)
    {
        if (_depth == _open.Length)
        {
            Array.Resize(ref _open, 2 * _depth);
        }

        _open[_depth++] = name;
        Append((byte)'<');
        Name(name);
    }

    private void Name(string name)
    {
        Reserve(name.Length);
        Length += Encoding.ASCII.GetBytes(name, _bytes.AsSpan(Length));
    }

    private void Append(byte value)
    {
        Reserve(1);
        _bytes[Length++] = value;
    }

    private void Reserve(int count)
    {
        if (_bytes.Length - Length < count)
        {
            Grow(count);
        }
    }

    private void Grow(int count)
    {
        var larger = ArrayPool<byte>.Shared.Rent(checked(Math.Max(2 * _bytes.Length, Length + count)));
        _bytes.AsSpan(0, Length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = larger;
    }
}
