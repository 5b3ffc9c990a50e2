using System.Globalization;
using System.Xml;

namespace Pengx.Client;

/// <summary>Writes the elements of this wire: null is an empty element, a boolean <c>True</c> or <c>False</c>, a date ISO 8601 in UTC.</summary>
/// <param name="xml">Where the elements go.</param>
/// <param name="strict">Whether text that XML 1.0 cannot carry is refused (what we ask for) rather than replaced (what we answer).</param>
internal readonly struct WireWriter(XmlWriter xml, bool strict)
{
    public void Begin(string name) => xml.WriteStartElement(name);

    public void Begin(string name, Guid id)
    {
        xml.WriteStartElement(name);
        xml.WriteAttributeString("id", id.ToString("D"));
    }

    public void Begin(string name, long id)
    {
        xml.WriteStartElement(name);
        xml.WriteAttributeString("id", id.ToString(CultureInfo.InvariantCulture));
    }

    public void End() => xml.WriteFullEndElement();

    public void Text(string name, string? value)
    {
        xml.WriteStartElement(name);
        if (!string.IsNullOrEmpty(value))
        {
            xml.WriteString(strict ? Checked(name, value) : WireText.Clean(value));
        }

        xml.WriteFullEndElement();
    }

    public void Number(string name, long? value) => Text(name, value?.ToString(CultureInfo.InvariantCulture));

    public void Real(string name, double value) =>
        Text(name, double.IsFinite(value) ? value.ToString("0.##", CultureInfo.InvariantCulture) : null);

    public void Boolean(string name, bool? value) => Text(name, value is { } known ? (known ? "True" : "False") : null);

    public void Uuid(string name, Guid? value) => Text(name, value?.ToString("D"));

    public void Date(string name, DateTimeOffset? value) => Text(name, value is { } date ? WireDates.Write(date) : null);

    public void PlainDate(string name, DateTimeOffset? value) => Text(name, value is { } date ? WireDates.WritePlain(date) : null);

    /// <summary>An empty element that only names another object: <c>&lt;vm id=".."&gt;&lt;/vm&gt;</c>.</summary>
    public void Reference(string name, Guid? id)
    {
        xml.WriteStartElement(name);
        xml.WriteAttributeString("id", id?.ToString("D") ?? "");
        xml.WriteFullEndElement();
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

    private static string Checked(string name, string value)
    {
        var at = WireText.FirstBad(value, 0);
        return at < 0
            ? value
            : throw new ArgumentException(
                $"Field '{name}' has the character U+{(int)value[at]:X4} at index {at}, which XML 1.0 cannot carry; leave it out.");
    }
}
