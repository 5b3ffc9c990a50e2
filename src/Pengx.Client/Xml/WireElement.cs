using System.Text;

namespace Pengx.Client;

/// <summary>One element of a document that was read: its name, its text, its <c>id</c> and what lies in it.</summary>
public sealed class WireElement
{
    private List<WireElement>? _children;
    private string? _id;
    private string? _text;
    private byte[]? _source;
    private WireStrings? _strings;
    private int _textStart;
    private int _textLength;
    private int _idStart;
    private int _idLength;

    internal WireElement(string name, string? id)
    {
        Name = name;
        _id = id;
    }

    /// <summary>The element's local name.</summary>
    public string Name { get; private set; }

    /// <summary>Its <c>id</c> attribute, trimmed; null when missing or empty.</summary>
    public string? Id => _id ??= _idLength == 0 ? null : Decode(IdUtf8);

    /// <summary>Its own text, trimmed; null when empty, which on this wire means "not given".</summary>
    public string? Text
    {
        get => _text ??= _textLength == 0 ? null : Decode(TextUtf8);
        internal set => _text = value;
    }

    /// <summary>The elements in it, in the order they were sent.</summary>
    public IReadOnlyList<WireElement> Children => _children is null ? [] : _children;

    /// <summary>The text as it arrived, where it needs no decoding but UTF-8's; empty where <see cref="Text"/> must be asked.</summary>
    internal ReadOnlySpan<byte> TextUtf8 => _source.AsSpan(_textStart, _textLength);

    /// <summary>The id as it arrived; empty where <see cref="Id"/> must be asked.</summary>
    internal ReadOnlySpan<byte> IdUtf8 => _source.AsSpan(_idStart, _idLength);

    /// <summary>Whether text was found, in either form.</summary>
    internal bool HasText => _text is not null || _textLength > 0;

    /// <summary>The first element of that name in it, or null.</summary>
    /// <param name="name">The element's name, as the reference spells it.</param>
    /// <returns>The element, or null.</returns>
    public WireElement? Find(string name)
    {
        if (_children is null)
        {
            return null;
        }

        foreach (var child in _children)
        {
            if (string.Equals(child.Name, name, StringComparison.Ordinal))
            {
                return child;
            }
        }

        return null;
    }

    /// <summary>Every element of that name in it, in order.</summary>
    /// <param name="name">The element's name, as the reference spells it.</param>
    /// <returns>The elements; none when there is none.</returns>
    public IEnumerable<WireElement> FindAll(string name)
    {
        foreach (var child in Children)
        {
            if (string.Equals(child.Name, name, StringComparison.Ordinal))
            {
                yield return child;
            }
        }
    }

    internal void Add(WireElement child) => (_children ??= []).Add(child);

    /// <summary>Makes an element that was read before another one.</summary>
    internal void Reset(string name, byte[] source, WireStrings? strings)
    {
        Name = name;
        _source = source;
        _strings = strings;
        _id = null;
        _text = null;
        (_textStart, _textLength, _idStart, _idLength) = (0, 0, 0, 0);
        _children?.Clear();
    }

    internal void SetId(int start, int length) => (_idStart, _idLength) = (start, length);

    internal void SetText(int start, int length) => (_textStart, _textLength) = (start, length);

    private string Decode(ReadOnlySpan<byte> utf8) => _strings?.Get(utf8) ?? Encoding.UTF8.GetString(utf8);
}
