namespace Pengx.Client;

/// <summary>Writes the elements of this wire: null is an empty element, a boolean <c>True</c> or <c>False</c>, a date ISO 8601 in UTC.</summary>
/// <param name="xml">Where the elements go.</param>
/// <param name="strict">Whether text that XML 1.0 cannot carry is refused (what we ask for) rather than replaced (what we answer).</param>
internal readonly struct WireWriter(Utf8XmlBuffer xml, bool strict)
{
    public void Begin(string name) => xml.Open(name);

    public void Begin(string name, Guid id) => xml.Open(name, id);

    public void Begin(string name, long id) => xml.Open(name, id);

    public void End() => xml.Close();

    public void Text(string name, string? value)
    {
        xml.Open(name);
        if (!string.IsNullOrEmpty(value))
        {
            if (strict)
            {
                Check(name, value);
            }

            xml.Text(value);
        }

        xml.Close();
    }

    public void Number(string name, long? value) => Value(name, value, default);

    public void Real(string name, double value) => Value(name, double.IsFinite(value) ? value : (double?)null, "0.##");

    public void Boolean(string name, bool? value)
    {
        xml.Open(name);
        if (value is { } known)
        {
            xml.Append(known ? "True"u8 : "False"u8);
        }

        xml.Close();
    }

    public void Uuid(string name, Guid? value) => Value(name, value, "D");

    public void Date(string name, DateTimeOffset? value) => Date(name, value, plain: false);

    public void PlainDate(string name, DateTimeOffset? value) => Date(name, value, plain: true);

    /// <summary>An empty element that only names another object: <c>&lt;vm id=".."&gt;&lt;/vm&gt;</c>.</summary>
    public void Reference(string name, Guid? id)
    {
        if (id is { } known)
        {
            xml.Open(name, known);
        }
        else
        {
            xml.OpenWithoutId(name);
        }

        xml.Close();
    }

    /// <summary>As <see cref="Text"/>, and nothing at all for null: how a request leaves a field out.</summary>
    public void OptionalText(string name, string? value)
    {
        if (value is not null)
        {
            Text(name, value);
        }
    }

    public void OptionalNumber(string name, long? value)
    {
        if (value is not null)
        {
            Number(name, value);
        }
    }

    public void OptionalBoolean(string name, bool? value)
    {
        if (value is not null)
        {
            Boolean(name, value);
        }
    }

    private void Date(string name, DateTimeOffset? value, bool plain)
    {
        xml.Open(name);
        if (value is { } known)
        {
            Span<byte> text = stackalloc byte[WireDates.Length];
            xml.Append(text[..WireDates.Write(known.UtcDateTime, plain, text)]);
        }

        xml.Close();
    }

    private void Value<T>(string name, T? value, ReadOnlySpan<char> format)
        where T : struct, IUtf8SpanFormattable
    {
        xml.Open(name);
        if (value is { } known)
        {
            xml.Value(known, format);
        }

        xml.Close();
    }

    private static void Check(string name, string value)
    {
        var at = WireText.FirstBad(value, 0);
        if (at >= 0)
        {
            throw new ArgumentException(
                $"Field '{name}' has the character U+{(int)value[at]:X4} at index {at}, which XML 1.0 cannot carry; leave it out.");
        }
    }
}
