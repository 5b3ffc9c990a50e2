using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;

namespace Pengx;

/// <summary>A 48-bit Ethernet address of one network interface (never a group address).</summary>
public readonly record struct MacAddress
{
    private const ulong XenVendor = 0x00163e_000000;

    private MacAddress(ulong value) => Value = value;

    /// <summary>The address as a number, first octet highest.</summary>
    public ulong Value { get; }

    /// <summary>Makes a random address in Xen's range, 00:16:3e:00:00:00 to 00:16:3e:7f:ff:ff.</summary>
    /// <remarks>The upper half of the vendor's range is left to other users of it, as the Xen wiki asks.</remarks>
    public static MacAddress NewXen() => new(XenVendor | (uint)RandomNumberGenerator.GetInt32(0, 0x80_0000));

    /// <summary>Reads six pairs of hexadecimal digits, separated by <c>:</c> or <c>-</c> throughout.</summary>
    /// <param name="text">The text to read.</param>
    /// <param name="address">The address read.</param>
    /// <returns><see langword="false"/> for any other text, a group address or the zero address.</returns>
    public static bool TryParse([NotNullWhen(true)] string? text, out MacAddress address)
    {
        address = default;
        var span = text.AsSpan().Trim();
        if (span.Length != 17)
        {
            return false;
        }

        ulong value = 0;
        for (var octet = 0; octet < 6; octet++)
        {
            var at = octet * 3;
            if (octet > 0 && (span[at - 1] is not (':' or '-') || span[at - 1] != span[2]))
            {
                return false;
            }

            if (!byte.TryParse(span.Slice(at, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var part))
            {
                return false;
            }

            value = (value << 8) | part;
        }

        var group = (value >> 40 & 1) == 1;
        address = new(value);
        return !group && value != 0;
    }

    /// <summary>Reads an address.</summary>
    /// <param name="text">The text to read.</param>
    /// <exception cref="FormatException">The text is no address of a single interface.</exception>
    public static MacAddress Parse(string text) => TryParse(text, out var address)
        ? address
        : throw new FormatException($"'{text}' is not a MAC address of one interface, such as 00:16:3e:12:34:56.");

    /// <summary>The address in lower case, separated by colons.</summary>
    public override string ToString() => string.Create(17, Value, static (span, value) =>
    {
        for (var octet = 0; octet < 6; octet++)
        {
            ((byte)(value >> (40 - (8 * octet)))).TryFormat(span[(octet * 3)..], out _, "x2", CultureInfo.InvariantCulture);
            if (octet < 5)
            {
                span[(octet * 3) + 2] = ':';
            }
        }
    });
}
