using System.Globalization;
using System.Text;

namespace Pengx.Xen;

/// <summary>Texts and numbers as xl's configuration grammar has them.</summary>
internal static class XlText
{
    // Twelve digits are a number to everybody; a longer row of digits is rather a name or a password.
    private const int MaxBareDigits = 12;

    /// <summary>Why a text cannot be written, or <see langword="null"/> when it can.</summary>
    /// <param name="text">The text.</param>
    public static string? FindUnwritable(string text)
    {
        for (var index = 0; index < text.Length; index++)
        {
            var character = text[index];
            if (char.IsControl(character) && Escape(character) == '\0' && character < '\u0080')
            {
                return "it holds a control character, which xl.cfg has no way to write.";
            }

            if (char.IsSurrogate(character))
            {
                if (!char.IsHighSurrogate(character) || index + 1 == text.Length || !char.IsLowSurrogate(text[index + 1]))
                {
                    return "it holds half of a character (a lone surrogate).";
                }

                index++;
            }
        }

        return null;
    }

    /// <summary>Writes a text, bare where it is a plain decimal number, else quoted.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="text">The text.</param>
    public static void Write(StringBuilder output, string text)
    {
        if (IsPlainNumber(text))
        {
            output.Append(text);
            return;
        }

        output.Append('"');
        foreach (var character in text)
        {
            if (character is '"' or '\\')
            {
                output.Append('\\').Append(character);
            }
            else if (Escape(character) is var escape && escape != '\0')
            {
                output.Append('\\').Append(escape);
            }
            else
            {
                output.Append(character);
            }
        }

        output.Append('"');
    }

    /// <summary>The character that an escape stands for, or <see langword="null"/> for one that xl refuses or misreads.</summary>
    /// <param name="escape">The character after the backslash.</param>
    public static char? Unescape(char escape) => escape switch
    {
        '"' or '\'' or '\\' => escape,
        'a' => '\a',
        'b' => '\b',
        'f' => '\f',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\v',
        _ => null,
    };

    /// <summary>Reads a number as C's <c>strtol</c> does with base 0.</summary>
    /// <param name="text">The text.</param>
    /// <param name="number">The number.</param>
    public static bool TryParseNumber(string text, out long number)
    {
        number = 0;
        var digits = text.AsSpan().TrimStart(" \t\n\v\f\r");
        var negative = digits is ['-', ..];
        if (negative || digits is ['+', ..])
        {
            digits = digits[1..];
        }

        ulong magnitude;
        if (digits is ['0', 'x' or 'X', ..])
        {
            if (!ulong.TryParse(digits[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out magnitude))
            {
                return false;
            }
        }
        else if (digits is ['0', _, ..])
        {
            if (!TryParseOctal(digits[1..], out magnitude))
            {
                return false;
            }
        }
        else if (!ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out magnitude))
        {
            return false;
        }

        var limit = negative ? 1UL << 63 : long.MaxValue;
        if (magnitude > limit)
        {
            return false;
        }

        number = negative ? unchecked(-(long)magnitude) : (long)magnitude;
        return true;
    }

    private static bool TryParseOctal(ReadOnlySpan<char> digits, out ulong value)
    {
        value = 0;
        foreach (var digit in digits)
        {
            if (digit is < '0' or > '7' || value >> 61 != 0)
            {
                return false;
            }

            value = (value << 3) | (uint)(digit - '0');
        }

        return true;
    }

    private static bool IsPlainNumber(string text)
    {
        if (text.Length is 0 or > MaxBareDigits || (text[0] == '0' && text.Length > 1))
        {
            return false;
        }

        foreach (var character in text)
        {
            if (!char.IsAsciiDigit(character))
            {
                return false;
            }
        }

        return true;
    }

    private static char Escape(char character) => character switch
    {
        '\a' => 'a',
        '\b' => 'b',
        '\f' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\v' => 'v',
        _ => '\0',
    };
}
