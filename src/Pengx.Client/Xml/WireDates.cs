using System.Globalization;

namespace Pengx.Client;

/// <summary>The dates of the wire: written in two forms, read in every form that a pengx3 server has been seen to write.</summary>
internal static class WireDates
{
    private static readonly string[] Formats =
    [
        "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK",
        "yyyy-MM-dd HH:mm:ss.FFFFFFFK",
        "yyyy-MM-dd'T'HH:mmK",
        "yyyy-MM-dd HH:mmK",
        "yyyy-MM-dd",
    ];

    // Django's default rendering uses the Associated Press's month names: the short months are never abbreviated.
    private static readonly string[] Months =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

    private static readonly string[] FullMonths =
    [
        "january", "february", "march", "april", "may", "june",
        "july", "august", "september", "october", "november", "december",
    ];

    /// <summary>The longest form that is written, in bytes.</summary>
    internal const int Length = 20;

    /// <summary>Writes <c>2026-11-23T06:23:00Z</c>, or plainly <c>2026-11-23 06:23:00</c>; the number of bytes.</summary>
    internal static int Write(DateTime utc, bool plain, Span<byte> text)
    {
        Digits(text[..4], utc.Year);
        text[4] = text[7] = (byte)'-';
        Digits(text[5..7], utc.Month);
        Digits(text[8..10], utc.Day);
        text[10] = (byte)(plain ? ' ' : 'T');
        Digits(text[11..13], utc.Hour);
        text[13] = text[16] = (byte)':';
        Digits(text[14..16], utc.Minute);
        Digits(text[17..19], utc.Second);
        text[19] = (byte)'Z';
        return plain ? Length - 1 : Length;

        static void Digits(Span<byte> text, int value)
        {
            for (var at = text.Length - 1; at >= 0; at--)
            {
                text[at] = (byte)('0' + (value % 10));
                value /= 10;
            }
        }
    }

    /// <summary>Reads the form that is written here, without making a text of it; false for every other.</summary>
    internal static bool TryRead(ReadOnlySpan<byte> utf8, out DateTimeOffset value)
    {
        value = default;
        if (utf8.Length != 20 || utf8[4] != '-' || utf8[7] != '-' || utf8[10] != 'T' || utf8[13] != ':' || utf8[16] != ':' || utf8[19] != 'Z'
            || Digits(utf8[..4]) is not (>= 1 and var year) || Digits(utf8[5..7]) is not (>= 1 and <= 12 and var month)
            || Digits(utf8[8..10]) is not (>= 1 and var day) || day > DateTime.DaysInMonth(year, month)
            || Digits(utf8[11..13]) is not (>= 0 and <= 23 and var hour) || Digits(utf8[14..16]) is not (>= 0 and <= 59 and var minute)
            || Digits(utf8[17..19]) is not (>= 0 and <= 59 and var second))
        {
            return false;
        }

        value = new DateTimeOffset(year, month, day, hour, minute, second, TimeSpan.Zero);
        return true;

        static int Digits(ReadOnlySpan<byte> digits)
        {
            var number = 0;
            foreach (var digit in digits)
            {
                if (digit is < (byte)'0' or > (byte)'9')
                {
                    return -1;
                }

                number = (number * 10) + digit - '0';
            }

            return number;
        }
    }

    /// <summary>Reads a date; one without a zone is UTC.</summary>
    internal static bool TryRead(string text, out DateTimeOffset value)
    {
        text = text.Trim();
        const DateTimeStyles Styles = DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal;
        return DateTimeOffset.TryParseExact(text, Formats, CultureInfo.InvariantCulture, Styles, out value)
            || TryReadDjango(text, out value);
    }

    /// <summary><c>Nov. 23, 2026, 6:23 a.m.</c>, <c>March 1, 2026, noon</c>, <c>Sept. 30, 2026, midnight</c>, <c>May 5, 2026, 6 p.m.</c></summary>
    private static bool TryReadDjango(string text, out DateTimeOffset value)
    {
        value = default;
        var parts = text.Split(',', StringSplitOptions.TrimEntries);
        if (parts.Length is < 2 or > 3)
        {
            return false;
        }

        var space = parts[0].IndexOf(' ', StringComparison.Ordinal);
        if (space < 0
            || !TryReadMonth(parts[0][..space], out var month)
            || !TryReadNumber(parts[0][(space + 1)..], out var day)
            || parts[1].Length != 4
            || !TryReadNumber(parts[1], out var year)
            || year == 0
            || day < 1
            || day > DateTime.DaysInMonth(year, month))
        {
            return false;
        }

        var (hour, minute) = (0, 0);
        if (parts.Length == 3 && !TryReadTime(parts[2], out hour, out minute))
        {
            return false;
        }

        value = new DateTimeOffset(year, month, day, hour, minute, 0, TimeSpan.Zero);
        return true;
    }

    private static bool TryReadMonth(string text, out int month)
    {
        var name = text.TrimEnd('.').ToLowerInvariant();
        month = name == "sept" ? 9 : Array.IndexOf(Months, name) + 1;
        if (month == 0)
        {
            month = Array.IndexOf(FullMonths, name) + 1;
        }

        return month != 0;
    }

    private static bool TryReadTime(string text, out int hour, out int minute)
    {
        (hour, minute) = (0, 0);
        if (text.Equals("midnight", StringComparison.OrdinalIgnoreCase))
        {
            return true;
        }

        if (text.Equals("noon", StringComparison.OrdinalIgnoreCase))
        {
            hour = 12;
            return true;
        }

        var half = text.Replace(".", "", StringComparison.Ordinal);
        var afternoon = half.EndsWith("pm", StringComparison.OrdinalIgnoreCase);
        if (!afternoon && !half.EndsWith("am", StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        var clock = half[..^2].Trim();
        var colon = clock.IndexOf(':', StringComparison.Ordinal);
        if (!TryReadNumber(colon < 0 ? clock : clock[..colon], out hour)
            || (colon >= 0 && !TryReadNumber(clock[(colon + 1)..], out minute))
            || hour is < 1 or > 12
            || minute > 59)
        {
            return false;
        }

        hour = (hour % 12) + (afternoon ? 12 : 0);
        return true;
    }

    private static bool TryReadNumber(string text, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
}
