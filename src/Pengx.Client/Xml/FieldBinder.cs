using System.Globalization;
using System.Text;

namespace Pengx.Client;

/// <summary>Reads a request's fields and collects what is wrong with them, so that one answer names everything.</summary>
internal sealed class FieldBinder
{
    private const int LongestShown = 80;
    private readonly WireElement _root;
    private readonly string _path;
    private readonly List<RequestFieldError> _errors;

    internal FieldBinder(WireElement root)
        : this(root, "", [])
    {
    }

    private FieldBinder(WireElement root, string path, List<RequestFieldError> errors)
    {
        _root = root;
        _path = path;
        _errors = errors;
    }

    public string? Text(string name) => _root.Find(name)?.Text;

    public string RequiredText(string name) => Text(name) ?? Missing(name, "");

    public long? Number(string name)
    {
        var text = Text(name);
        if (text is null)
        {
            return null;
        }

        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value))
        {
            return value;
        }

        Refuse(name, text, $"must be a whole number from 0 to {long.MaxValue}");
        return null;
    }

    public long RequiredNumber(string name) => Text(name) is null ? Missing(name, 0L) : Number(name) ?? 0;

    public int? Integer(string name)
    {
        var text = Text(name);
        if (text is null)
        {
            return null;
        }

        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value))
        {
            return value;
        }

        Refuse(name, text, $"must be a whole number from 0 to {int.MaxValue}");
        return null;
    }

    public int RequiredInteger(string name) => Text(name) is null ? Missing(name, 0) : Integer(name) ?? 0;

    public bool? Boolean(string name)
    {
        var text = Text(name);
        if (text is null)
        {
            return null;
        }

        if (WireReading.TryBoolean(text, out var value))
        {
            return value;
        }

        Refuse(name, text, "must be True or False");
        return null;
    }

    public Guid? Uuid(string name)
    {
        var text = Text(name);
        if (text is null)
        {
            return null;
        }

        if (WireReading.TryUuid(text, out var value))
        {
            return value;
        }

        Refuse(name, text, "must be a UUID");
        return null;
    }

    public Guid RequiredUuid(string name) => Text(name) is null ? Missing(name, Guid.Empty) : Uuid(name) ?? Guid.Empty;

    /// <summary>The text of every <c>&lt;list-item&gt;</c> in every element of that name; one without items counts as an item itself.</summary>
    public IReadOnlyList<string> Items(string name)
    {
        var items = new List<string>();
        foreach (var element in _root.FindAll(name))
        {
            if (element.Children.Count == 0)
            {
                if (element.Text is { } text)
                {
                    items.Add(text);
                }

                continue;
            }

            foreach (var item in element.FindAll("list-item"))
            {
                if (item.Text is { } text)
                {
                    items.Add(text);
                }
            }
        }

        return items;
    }

    /// <summary>Every element of that name, each bound by itself.</summary>
    public IReadOnlyList<T> Elements<T>(string name, Func<FieldBinder, T> bind)
    {
        var list = new List<T>();
        foreach (var element in _root.FindAll(name))
        {
            list.Add(bind(new FieldBinder(element, $"{_path}{name}/", _errors)));
        }

        return list;
    }

    /// <summary>Every element of that name, each bound by itself; at least one is asked for.</summary>
    public IReadOnlyList<T> RequiredElements<T>(string name, Func<FieldBinder, T> bind)
    {
        var list = Elements(name, bind);
        return list.Count == 0 ? Missing<IReadOnlyList<T>>(name, list) : list;
    }

    public void ThrowIfInvalid()
    {
        if (_errors.Count > 0)
        {
            throw new InvalidRequestException(_errors);
        }
    }

    /// <summary>A peer's text as a message may show it: short, and without characters that would break a line or a log.</summary>
    internal static string Shown(string text)
    {
        var shown = new StringBuilder(Math.Min(text.Length, LongestShown) + 1);
        foreach (var rune in text.EnumerateRunes())
        {
            if (shown.Length >= LongestShown)
            {
                shown.Append('…');
                break;
            }

            if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format
                or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
            {
                shown.Append('\uFFFD');
            }
            else
            {
                shown.Append(rune.ToString());
            }
        }

        return shown.ToString();
    }

    private T Missing<T>(string name, T value)
    {
        Refuse(name, null, "is required");
        return value;
    }

    private void Refuse(string name, string? text, string rule) =>
        _errors.Add(new RequestFieldError(_path + name, text is null ? null : Shown(text), rule));
}
