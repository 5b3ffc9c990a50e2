using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Pengx.Xen;

/// <summary>A value in an <c>xl.cfg</c>: a text or a list of values. A number is a text to xl, too: <c>512</c> and <c>"512"</c> are equal.</summary>
/// <remarks>Source: <c>xl.cfg(5)</c>, and the grammar of Xen's libxlutil.</remarks>
public sealed class XlConfigValue : IEquatable<XlConfigValue>
{
    private readonly string? _text;
    private readonly XlConfigValue[]? _items;

    private XlConfigValue(string text) => _text = text;

    private XlConfigValue(XlConfigValue[] items) => _items = items;

    /// <summary>Whether it is a list.</summary>
    [MemberNotNullWhen(true, nameof(Items))]
    [MemberNotNullWhen(false, nameof(Text))]
    public bool IsList => _items is not null;

    /// <summary>The text, without quotes and escapes; <see langword="null"/> for a list.</summary>
    public string? Text => _text;

    /// <summary>The values of a list; <see langword="null"/> for a text.</summary>
    public IReadOnlyList<XlConfigValue>? Items => _items;

    /// <summary>Makes a text.</summary>
    /// <param name="text">The text. Line ends, tabs and the like are written as escapes; other control characters have none that xl reads.</param>
    /// <exception cref="InvalidFieldException">The text has a character that cannot be written into an <c>xl.cfg</c>.</exception>
    public static XlConfigValue FromText(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return XlText.FindUnwritable(text) is { } rule ? throw new InvalidFieldException("value", null, rule) : new(text);
    }

    /// <summary>Makes a number.</summary>
    /// <param name="number">The number.</param>
    public static XlConfigValue FromNumber(long number) => new(number.ToString(CultureInfo.InvariantCulture));

    /// <summary>Makes a list.</summary>
    /// <param name="items">Its values.</param>
    public static XlConfigValue FromItems(params IEnumerable<XlConfigValue> items)
    {
        ArgumentNullException.ThrowIfNull(items);
        XlConfigValue[] copy = [.. items];
        return Array.Exists(copy, item => item is null) ? throw new ArgumentException("A list's values cannot be null.", nameof(items)) : new(copy);
    }

    /// <summary>Reads what may stand behind the <c>=</c> of a setting: <c>"text"</c>, <c>'text'</c>, <c>12</c> or <c>[ "a", "b" ]</c>.</summary>
    /// <param name="text">The text to read.</param>
    /// <exception cref="XlConfigException">It is no value.</exception>
    public static XlConfigValue Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new XlConfigParser(text).ParseSingleValue();
    }

    /// <summary>A text as a value.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="InvalidFieldException">See <see cref="FromText"/>.</exception>
    public static implicit operator XlConfigValue(string text) => FromText(text);

    /// <summary>A number as a value.</summary>
    /// <param name="number">The number.</param>
    public static implicit operator XlConfigValue(long number) => FromNumber(number);

    /// <summary>Reads the text as xl reads numbers: decimal, octal after <c>0</c>, hexadecimal after <c>0x</c>.</summary>
    /// <param name="number">The number.</param>
    /// <returns><see langword="false"/> for a list or a text that is no number of 64 bits.</returns>
    public bool TryGetNumber(out long number)
    {
        number = 0;
        return _text is not null && XlText.TryParseNumber(_text, out number);
    }

    /// <summary>Whether xl reads the same from both.</summary>
    /// <param name="other">The other value.</param>
    public bool Equals([NotNullWhen(true)] XlConfigValue? other) => other is not null
        && (ReferenceEquals(this, other)
            || (_items is null ? string.Equals(_text, other._text, StringComparison.Ordinal) : other._items is not null && _items.AsSpan().SequenceEqual(other._items)));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is XlConfigValue other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _items is null ? StringComparer.Ordinal.GetHashCode(_text!) : HashCode.Combine(_items.Length, _items.Length == 0 ? null : _items[0]);

    /// <summary>The value as it stands in an <c>xl.cfg</c>, quoted so that nothing of it can be read as anything else.</summary>
    public override string ToString()
    {
        var output = new StringBuilder();
        WriteTo(output);
        return output.ToString();
    }

    internal static XlConfigValue FromRead(string text) => new(text);

    internal void WriteTo(StringBuilder output)
    {
        if (_items is null)
        {
            XlText.Write(output, _text!);
            return;
        }

        output.Append('[');
        for (var index = 0; index < _items.Length; index++)
        {
            output.Append(index == 0 ? " " : ", ");
            _items[index].WriteTo(output);
        }

        output.Append(" ]");
    }
}
