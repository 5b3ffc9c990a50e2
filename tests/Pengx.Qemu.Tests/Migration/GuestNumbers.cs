using System.Globalization;
using System.Text.RegularExpressions;

namespace Pengx.Qemu.Tests;

/// <summary>The numbers that a test guest says it has flushed.</summary>
internal static partial class GuestNumbers
{
    /// <summary>All of them must be there once and in order, over the consoles that the guest has had one after another: then it ran on one
    /// side at a time, and was never started anew.</summary>
    /// <param name="consoles">What was printed.</param>
    /// <returns>The last one.</returns>
    public static long AssertOneGuest(params string[] consoles)
    {
        var numbers = Flushed().Matches(string.Concat(consoles)).Select(Read).ToList();
        Assert.NotEmpty(numbers);
        Assert.Equal(Enumerable.Range(0, numbers.Count).Select(index => numbers[0] + index), numbers);
        return numbers[^1];
    }

    /// <summary>The last one; 0 for none.</summary>
    /// <param name="console">What was printed.</param>
    public static long Last(string console) => Flushed().Matches(console).LastOrDefault() is { } match ? Read(match) : 0;

    private static long Read(Match match) => long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex("PENGX-GUEST flushed ([0-9]+)\r?\n")]
    private static partial Regex Flushed();
}
