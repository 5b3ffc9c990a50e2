using System.Text;

namespace Pengx.Client;

/// <summary>The name of elements, as text and as it arrives.</summary>
internal sealed class WireName
{
    /// <summary>How many places there are.</summary>
    internal const int Places = 128;

    public WireName(ReadOnlySpan<byte> utf8)
    {
        Utf8 = utf8.ToArray();
        Place = PlaceOf(utf8);

        // The names that shapes ask for are literals: the same instance is found faster.
        var text = Encoding.ASCII.GetString(utf8);
        Text = string.IsInterned(text) ?? text;
    }

    public byte[] Utf8 { get; }

    public string Text { get; }

    /// <summary>Below <see cref="Places"/>; the same for the same name.</summary>
    public int Place { get; }

    public static int PlaceOf(ReadOnlySpan<byte> utf8)
    {
        var hash = (uint)utf8.Length;
        foreach (var value in utf8)
        {
            hash = (hash * 31) + value;
        }

        return (int)(hash % Places);
    }
}
