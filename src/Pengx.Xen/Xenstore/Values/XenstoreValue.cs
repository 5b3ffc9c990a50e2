using System.Globalization;
using System.Text;

namespace Pengx.Xen;

/// <summary>What a node holds: any bytes, by custom ASCII text.</summary>
public readonly struct XenstoreValue : IEquatable<XenstoreValue>
{
    /// <summary>A value of bytes, which must not change afterwards.</summary>
    /// <param name="bytes">The bytes.</param>
    public XenstoreValue(ReadOnlyMemory<byte> bytes) => Bytes = bytes;

    /// <summary>A value of text, as UTF-8 without a NUL byte at its end.</summary>
    /// <param name="text">The text.</param>
    public XenstoreValue(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Bytes = Encoding.UTF8.GetBytes(text);
    }

    /// <summary>The value of a directory: no bytes.</summary>
    public static XenstoreValue Empty => default;

    /// <summary>The bytes.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>How many bytes.</summary>
    public int Length => Bytes.Length;

    /// <summary>Whether there are none.</summary>
    public bool IsEmpty => Bytes.IsEmpty;

    /// <summary>Text as a value.</summary>
    /// <param name="text">The text.</param>
    public static implicit operator XenstoreValue(string text) => new(text);

    /// <summary>Whether two values hold the same bytes.</summary>
    /// <param name="left">One value.</param>
    /// <param name="right">The other.</param>
    public static bool operator ==(XenstoreValue left, XenstoreValue right) => left.Equals(right);

    /// <summary>Whether two values differ.</summary>
    /// <param name="left">One value.</param>
    /// <param name="right">The other.</param>
    public static bool operator !=(XenstoreValue left, XenstoreValue right) => !left.Equals(right);

    /// <summary>Text as a value.</summary>
    /// <param name="text">The text.</param>
    public static XenstoreValue FromString(string text) => new(text);

    /// <summary>A whole number as a value, in decimal.</summary>
    /// <param name="number">The number.</param>
    public static XenstoreValue FromInt64(long number) => new(number.ToString(CultureInfo.InvariantCulture));

    /// <summary>Reads the value as a whole decimal number; false if it is none.</summary>
    /// <param name="number">The number.</param>
    public bool TryGetInt64(out long number) => long.TryParse(Bytes.Span, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number);

    /// <inheritdoc/>
    public bool Equals(XenstoreValue other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is XenstoreValue other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    /// <summary>The value read as UTF-8; bytes that are none become U+FFFD.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Bytes.Span);
}
