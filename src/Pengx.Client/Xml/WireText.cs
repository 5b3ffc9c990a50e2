using System.Xml;

namespace Pengx.Client;

/// <summary>Which text XML 1.0 can carry, and what becomes of the rest.</summary>
internal static class WireText
{
    private const char Replacement = '\uFFFD';

    /// <summary>The text with every character that XML 1.0 cannot carry (control characters, lone surrogates, U+FFFE, U+FFFF) replaced by U+FFFD.</summary>
    internal static string Clean(string text)
    {
        var first = FirstBad(text, 0);
        if (first < 0)
        {
            return text;
        }

        return string.Create(text.Length, (text, first), static (span, state) =>
        {
            state.text.CopyTo(span);
            for (var at = state.first; at >= 0; at = FirstBad(state.text, at + 1))
            {
                span[at] = Replacement;
            }
        });
    }

    /// <summary>The index of the first character that XML 1.0 cannot carry, or -1.</summary>
    internal static int FirstBad(string text, int from)
    {
        for (var at = from; at < text.Length; at++)
        {
            if (XmlConvert.IsXmlChar(text[at]))
            {
                continue;
            }

            if (char.IsHighSurrogate(text[at]) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1]))
            {
                at++;
                continue;
            }

            return at;
        }

        return -1;
    }
}
