using System.Runtime.InteropServices;
using System.Text;

namespace Pengx.Client;

/// <summary>One element of a document that was read: its name, its text, its <c>id</c> and what lies in it.</summary>
public sealed class WireElement
{
    private readonly string? _name;
    private List<WireElement>? _children;
    private string? _id;
    private string? _text;
    private string? _textBefore;
    private byte[]? _source;
    private WireStrings? _strings;
    private int _textStart;
    private int _textLength;
    private int _idStart;
    private int _idLength;

    // Where the next name is looked for first: most documents have the order in which they are asked.
    private int _next;

    // The places of the names of the elements in it; as long as no two had the same, no name comes twice.
    private UInt128 _places;
    private bool _mayRepeat;

    internal WireElement(string name, string? id)
    {
        _name = name;
        _id = id;
        WireName = null!;
    }

    internal WireElement(WireName name) => WireName = name;

    /// <summary>The element's local name.</summary>
    public string Name => _name ?? WireName.Text;

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

    /// <summary>The name of one that the plain parser made.</summary>
    internal WireName WireName { get; private set; }

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

        var children = CollectionsMarshal.AsSpan(_children);
        var start = _mayRepeat || _next >= children.Length ? 0 : _next;
        for (var at = start; at < children.Length; at++)
        {
            if (IsCalled(children[at], name))
            {
                _next = at + 1;
                return children[at];
            }
        }

        for (var at = 0; at < start; at++)
        {
            if (IsCalled(children[at], name))
            {
                _next = at + 1;
                return children[at];
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

    internal void Add(WireElement child)
    {
        _mayRepeat = true;
        (_children ??= []).Add(child);
    }

    internal void Add(WireElement child, int place)
    {
        var mask = UInt128.One << place;
        _mayRepeat |= (_places & mask) != 0;
        _places |= mask;
        (_children ??= []).Add(child);
    }

    /// <summary>Makes an element that was read before another one.</summary>
    internal void Reset(WireName name, byte[] source, WireStrings? strings)
    {
        if (!ReferenceEquals(WireName, name))
        {
            WireName = name;
        }

        if (!ReferenceEquals(_source, source))
        {
            _source = source;
        }

        _strings = strings;
        _id = null;
        _text = null;
        (_textStart, _textLength, _idStart, _idLength) = (0, 0, 0, 0);
        if (_children is { Count: > 0 })
        {
            _children.Clear();
        }

        (_next, _places, _mayRepeat) = (0, 0, false);
    }

    internal void SetId(int start, int length) => (_idStart, _idLength) = (start, length);

    internal void SetText(int start, int length) => (_textStart, _textLength) = (start, length);

    private static bool IsCalled(WireElement element, string name)
    {
        var its = element.Name;
        return ReferenceEquals(its, name) || (its.Length == name.Length && its.AsSpan().SequenceEqual(name));
    }

    private string Decode(ReadOnlySpan<byte> utf8)
    {
        if (_strings is null)
        {
            return Encoding.UTF8.GetString(utf8);
        }

        // In a list the element before it in its place often said the same.
        return _textBefore is not null && Ascii.Equals(utf8, _textBefore) ? _textBefore : _textBefore = _strings.Get(utf8);
    }
}
