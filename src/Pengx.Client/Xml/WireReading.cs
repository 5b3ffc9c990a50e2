using System.Buffers.Text;
using System.Globalization;

namespace Pengx.Client;

/// <summary>Lenient reading of answers: what is missing, empty, <c>None</c> or not of its kind is null, for the shape to settle.</summary>
internal static class WireReading
{
    public static string? Optional(this WireElement element, string name)
    {
        var text = element.Find(name)?.Text;
        return text is null or "None" ? null : text;
    }

    public static string Required(this WireElement element, string name) =>
        element.Find(name)?.Text ?? "";

    public static Guid RequiredUuid(this WireElement element) =>
        TryUuid(element.IdUtf8, out var id) || TryUuid(element.Id, out id)
            ? id
            : throw new XmlRefusedException(XmlRefusal.Malformed, $"The <{element.Name}> of the answer has no UUID as its id.");

    public static int RequiredInteger(this WireElement element) =>
        int.TryParse(element.Id, NumberStyles.None, CultureInfo.InvariantCulture, out var id)
            ? id
            : throw new XmlRefusedException(XmlRefusal.Malformed, $"The <{element.Name}> of the answer has no number as its id.");

    public static Guid? Uuid(this WireElement element, string name) =>
        TryUuid(element.Find(name)?.Text, out var id) ? id : null;

    /// <summary>The id of an element that only names another object, given as its attribute or as its text.</summary>
    public static Guid? Reference(this WireElement element, string name)
    {
        var found = element.Find(name);
        return found is not null
            && (TryUuid(found.IdUtf8, out var id) || TryUuid(found.TextUtf8, out id) || TryUuid(found.Id, out id) || TryUuid(found.Text, out id))
                ? id
                : null;
    }

    public static long? Number(this WireElement element, string name) =>
        element.Find(name) is not { } found ? null
        : TryDigits(found.TextUtf8, out var digits) ? digits
        : long.TryParse(found.TextUtf8, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole) ? whole
        : Number(found.Text);

    /// <summary>Every element of that name in a list's element, each read.</summary>
    public static IReadOnlyList<T> Items<T>(this WireElement element, string list, string name, Func<WireElement, T> read)
    {
        if (element.Find(list)?.Children is not { Count: > 0 } children)
        {
            return [];
        }

        var items = new T[children.Count];
        var count = 0;
        for (var at = 0; at < children.Count; at++)
        {
            if (string.Equals(children[at].Name, name, StringComparison.Ordinal))
            {
                items[count++] = read(children[at]);
            }
        }

        return count == items.Length ? items : items[..count];
    }

    public static int? Integer(this WireElement element, string name) =>
        element.Number(name) is { } value and >= int.MinValue and <= int.MaxValue ? (int)value : null;

    public static double Real(this WireElement element, string name) =>
        double.TryParse(element.Find(name)?.Text?.TrimEnd('%', ' '), NumberStyles.Float, CultureInfo.InvariantCulture, out var value)
        && double.IsFinite(value)
            ? value
            : 0;

    public static bool Boolean(this WireElement element, string name) =>
        TryBoolean(element.Find(name)?.Text, out var value) && value;

    public static DateTimeOffset? Date(this WireElement element, string name) =>
        element.Find(name) is { HasText: true } found
        && (WireDates.TryRead(found.TextUtf8, out var value) || (found.Text is { } text && WireDates.TryRead(text, out value)))
            ? value
            : null;

    public static bool TryUuid(ReadOnlySpan<byte> utf8, out Guid id)
    {
        id = default;
        return utf8.Length is 36 or 32
            && Utf8Parser.TryParse(utf8, out id, out var consumed, utf8.Length == 36 ? 'D' : 'N')
            && consumed == utf8.Length;
    }

    public static bool TryUuid(string? text, out Guid id)
    {
        id = default;
        return text is not null && (Guid.TryParseExact(text, "D", out id) || Guid.TryParseExact(text, "N", out id));
    }

    public static bool TryBoolean(string? text, out bool value)
    {
        value = text is not null
            && (text.Equals("true", StringComparison.OrdinalIgnoreCase)
                || text.Equals("yes", StringComparison.OrdinalIgnoreCase)
                || text == "1");
        return value
            || (text is not null
                && (text.Equals("false", StringComparison.OrdinalIgnoreCase)
                    || text.Equals("no", StringComparison.OrdinalIgnoreCase)
                    || text == "0"));
    }

    private static bool TryDigits(ReadOnlySpan<byte> utf8, out long value)
    {
        value = 0;
        foreach (var digit in utf8)
        {
            var next = digit - '0';
            if ((uint)next > 9)
            {
                return false;
            }

            value = (value * 10) + next;
        }

        return utf8.Length is > 0 and <= 18;
    }

    private static long? Number(string? text)
    {
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole))
        {
            return whole;
        }

        // A Python server may render a division as "512.0".
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var real) && Math.Abs(real) < 1e15
            ? (long)real
            : null;
    }
}
