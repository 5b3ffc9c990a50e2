using System.Buffers.Binary;
using System.Text;

namespace Pengx.Client;

/// <summary>Short texts that come again and again in a list (<c>RUNNING</c>, <c>eth0</c>): the last one of each place is kept.</summary>
internal sealed class WireStrings
{
    private const int Longest = 12;
    private readonly string?[] _kept = new string?[256];

    public string Get(ReadOnlySpan<byte> utf8)
    {
        if (utf8.Length > Longest)
        {
            return Encoding.UTF8.GetString(utf8);
        }

        var hash = (uint)utf8.Length;
        if (utf8.Length >= sizeof(uint))
        {
            hash += (BinaryPrimitives.ReadUInt32LittleEndian(utf8) * 2654435761u) ^ BinaryPrimitives.ReadUInt32LittleEndian(utf8[^sizeof(uint)..]);
            hash *= 2246822519u;
        }
        else
        {
            foreach (var value in utf8)
            {
                hash = (hash * 2654435761u) + value;
            }
        }

        ref var kept = ref _kept[hash >> 24];
        if (kept is null || !Ascii.Equals(utf8, kept))
        {
            kept = Encoding.UTF8.GetString(utf8);
        }

        return kept;
    }
}
