using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>Texts made to break out of where they are put.</summary>
internal static class Hostile
{
    private static readonly string[] s_pieces =
    [
        "\"", "'", "\\", "\\\\", "\\\"", "\\x41", "\\101", "\\n", ",", ";", "#", "[", "]", "=", ":", " ", "  ", "(", ")", "$(id)", "`id`", "|", "&", "*", "~",
        "target=", ",target=/etc/shadow", "format=", ",vdev=xvdb", "access=", "backendtype=", "script=", "mac=", "bridge=", ",ip=", "cdrom", "vnc=1,",
        "raw:", "phy:", "nbd:", "json:{", "\" \n name = \"other", "\"]", "+=", "%s", "%n", "..", "--", "-f", "é", "漢", "🦀", "\u202e", "\u2028", "a", "B", "7", "xvda", "/",
    ];

    private static readonly string[] s_controls = ["\n", "\r", "\t", "\0", "\u0001", "\u001b[31m", "\u007f", "\a", "\v"];

    /// <summary>A text without control characters.</summary>
    public static Gen<string> Printable { get; } = Pick(s_pieces).Array[0, 8].Select(string.Concat);

    /// <summary>A text with anything in it, half of a character included.</summary>
    public static Gen<string> Text { get; } = Gen.Frequency(
        (6, Printable),
        (2, Pick([.. s_pieces, .. s_controls]).Array[0, 8].Select(string.Concat)),
        (1, Printable.Select(text => text + "\ud83e")),
        (1, Gen.String[0, 20]));

    /// <summary>One of some values.</summary>
    public static Gen<T> Pick<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(index => values[index]);

    /// <summary>An ordinary word or a hostile text.</summary>
    public static Gen<string> Or(params string[] ordinary) => Gen.Frequency((3, Pick(ordinary)), (1, Text));
}
