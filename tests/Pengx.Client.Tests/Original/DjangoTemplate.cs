using System.Collections;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Pengx.Client.Tests;

/// <summary>
/// As much of Django's template language as the reference's answers use, rendered as Django does by default: a missing value is nothing, None
/// is <c>None</c>, a date is <c>Nov. 23, 2026, 6:23 a.m.</c>, and an end tag without its beginning, as the reference has some, is nothing.
/// </summary>
internal static partial class DjangoTemplate
{
    public static string Render(string template, IReadOnlyDictionary<string, object?> context)
    {
        var parts = Tag().Split(template);
        var text = new StringBuilder();
        for (var at = 0; at < parts.Length; at++)
        {
            Render(parts, ref at, new(context), text, write: true);
        }

        return text.ToString();
    }

    private static string? Render(string[] parts, ref int at, Dictionary<string, object?> context, StringBuilder text, bool write)
    {
        for (; at < parts.Length; at++)
        {
            var part = parts[at];
            if (part.StartsWith("{{", StringComparison.Ordinal))
            {
                if (write)
                {
                    text.Append(Value(part[2..^2].Trim(), context));
                }
            }
            else if (part.StartsWith("{%", StringComparison.Ordinal))
            {
                var words = part[2..^2].Split(' ', StringSplitOptions.RemoveEmptyEntries);
                switch (words[0])
                {
                    case "for":
                        RenderFor(parts, ref at, context, text, words, write);
                        break;
                    case "if":
                        RenderIf(parts, ref at, context, text, words, write);
                        break;
                    default:
                        // The end of what is open; where nothing is open, the caller goes on behind it.
                        return words[0] is "elif" ? $"elif {words[1]}" : words[0];
                }
            }
            else if (write)
            {
                text.Append(part);
            }
        }

        return null;
    }

    private static void RenderFor(string[] parts, ref int at, Dictionary<string, object?> context, StringBuilder text, string[] words, bool write)
    {
        var start = ++at;
        var items = write ? ((IEnumerable?)Find(words[3], context))?.Cast<object?>().ToList() ?? [] : [];
        foreach (var item in items)
        {
            at = start;
            Render(parts, ref at, new(context) { [words[1]] = item }, text, write: true);
        }

        if (items.Count == 0)
        {
            Render(parts, ref at, context, text, write: false);
        }
    }

    private static void RenderIf(string[] parts, ref int at, Dictionary<string, object?> context, StringBuilder text, string[] words, bool write)
    {
        var done = false;
        var condition = words[1];
        while (true)
        {
            at++;
            var holds = !done && Find(condition, context) is not (null or "" or Missing);
            done |= holds;
            var end = Render(parts, ref at, context, text, write && holds);
            if (end?.StartsWith("elif ", StringComparison.Ordinal) != true)
            {
                return;
            }

            condition = end[5..];
        }
    }

    private static string Value(string expression, Dictionary<string, object?> context)
    {
        var parts = expression.Split('|', 2);
        var value = Find(parts[0].Trim(), context);
        var filter = parts.Length == 1 ? "" : parts[1];
        var text = value switch
        {
            Missing => "",
            null => filter.StartsWith("default_if_none", StringComparison.Ordinal) ? "" : "None",
            DateTime date when filter.StartsWith("date:", StringComparison.Ordinal) => date.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
            DateTime date => Django(date),
            bool truth => truth ? "True" : "False",
            _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
        };
        return text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal)
            .Replace("\"", "&quot;", StringComparison.Ordinal).Replace("'", "&#x27;", StringComparison.Ordinal);
    }

    private static object? Find(string path, IReadOnlyDictionary<string, object?> context)
    {
        object? value = context;
        foreach (var name in path.Split('.'))
        {
            if (value is null)
            {
                return null;
            }

            value = value is IReadOnlyDictionary<string, object?> known && known.TryGetValue(name, out var found) ? found : Missing.Value;
            if (value is Missing)
            {
                return path.Split('.').Length > 2 ? null : value;
            }
        }

        return value;
    }

    private static string Django(DateTime date)
    {
        string[] months = ["Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec."];
        var time = (date.Hour, date.Minute) switch
        {
            (0, 0) => "midnight",
            (12, 0) => "noon",
            _ => $"{(date.Hour + 11) % 12 + 1}{(date.Minute == 0 ? "" : $":{date.Minute:00}")} {(date.Hour < 12 ? "a.m." : "p.m.")}",
        };
        return $"{months[date.Month - 1]} {date.Day}, {date.Year}, {time}";
    }

    [GeneratedRegex(@"(\{\{.*?\}\}|\{%.*?%\})")]
    private static partial Regex Tag();

    private sealed class Missing
    {
        public static readonly Missing Value = new();
    }
}
